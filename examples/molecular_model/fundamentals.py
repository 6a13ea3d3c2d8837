"""Measured fundamentals of molecules against harmonic frequencies of the molecular model, by one scaling factor.

    PHONAX_DATA=... python examples/molecular_model/fundamentals.py [MODEL]

Lines of grades A to C of T. Shimanouchi's tables (../spectrum_fine_tuning/measured.py); no model has been trained on
them, and the last column says of which molecules a model has seen PBE labels. The factor, for harmonic frequencies are
higher than fundamentals, is the least-squares one over molecules without deuterium, and taken for all.
Shifts are those of fully deuterated molecules, matched by species and rank among its lines.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "spectrum_fine_tuning")]

import measured

from ase_phonax import PhonaxCalculator
from ase_phonax.base.units import CM1_PER_THZ
from ase_phonax.training.labels.line_lists import AssignedLines

PLAIN = measured.LEARNED | measured.OTHERS
HEAVY = measured.ISOTOPOLOGUES | {
    "Methan-d3-ol": ("CH3OH", 0),
    "[2H]formic [2]acid": ("HCOOH", "CO"),
    "Propyne-3,3,3-d1": ("C3H4_C3v", 0),
    "Acetylene-d2": ("C2H2", "C"),
    "Acetylene-d1": ("C2H2", (2,)),
    "Methyl formate-d3": ("HCOOCH3", 0),
}
WHOLE = {"deuterium oxide": "Water", "Benzene-D6": "Benzene", "Ethane-d6": "Ethane"}
OF_TESTED = ("CH3CHO", "CH3CN", "CH3COCH3", "CH3OCH3", "C4H4O", "H3CNH2")  # tested.py; names of the G2 set
UNSEEN = {name for name, (there, _) in (PLAIN | HEAVY).items() if there in OF_TESTED}


def pairs(found: AssignedLines) -> np.ndarray:
    """(n, 2) line and harmonic frequency of the model [cm⁻¹]."""
    return np.array([(own.line.at, CM1_PER_THZ * own.level.frequency) for own in found.assignments])


def by_species(found: AssignedLines) -> dict[str, np.ndarray]:
    """The same, of each species, ascending by the model."""
    result = defaultdict(list)
    for own in found.assignments:
        result[own.level.label].append((own.line.at, CM1_PER_THZ * own.level.frequency))
    return {label: np.array(sorted(rows, key=lambda row: row[1])) for label, rows in result.items()}


def shifts(heavy: AssignedLines, light: AssignedLines, factor: float) -> np.ndarray:
    """Errors of the shifts of lines, where a species has as many in both tables [cm⁻¹]."""
    errors, one, other = [], by_species(heavy), by_species(light)
    for label in set(one) & set(other):
        if len(one[label]) == len(other[label]):
            change = other[label] - one[label]
            errors += (factor * change[:, 1] - change[:, 0]).tolist()
    return np.array(errors)


def rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="phonax-molecules")
    calc = PhonaxCalculator(parser.parse_args().model)
    plain = {name: found for name, (_, found) in measured.fundamentals(PLAIN, calc).items()}
    heavy = {name: found for name, (_, found) in measured.fundamentals(HEAVY, calc).items()}
    every = np.concatenate([pairs(found) for found in plain.values()])
    factor = float(every[:, 0] @ every[:, 1] / (every[:, 1] @ every[:, 1]))

    def errors(found: AssignedLines) -> np.ndarray:
        own = pairs(found)
        return factor * own[:, 1] - own[:, 0]

    for name, found in (plain | heavy).items():
        known = "" if name in UNSEEN else "PBE labels"
        print(f"{name:32s} {len(found.assignments):3d} lines {rms(errors(found)):6.1f} cm⁻¹  {known}")
    groups = {
        "without deuterium": list(plain.values()),
        "without deuterium or PBE labels": [found for name, found in plain.items() if name in UNSEEN],
        "with deuterium": list(heavy.values()),
        "with deuterium, without PBE labels": [found for name, found in heavy.items() if name in UNSEEN],
        "all": [*plain.values(), *heavy.values()],
    }
    print(f"scaling factor {factor:.4f}")
    for name, members in groups.items():
        own = np.concatenate([errors(found) for found in members])
        print(f"{name}: {len(members)} molecules, {len(own)} lines, {rms(own):.1f} cm⁻¹ RMS, median {median(own):.1f}")
    own = np.concatenate([shifts(heavy[a], plain[b], factor) for a, b in WHOLE.items() if {a, b} <= {*heavy, *plain}])
    print(f"shifts of full deuteration: {len(own)} lines, {rms(own):.1f} cm⁻¹ RMS, median {median(own):.1f}")


def median(errors: np.ndarray) -> float:
    """Of their sizes."""
    return float(np.median(np.abs(errors)))


if __name__ == "__main__":
    main()
