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

import labels
import measured
from ase.vibrations import VibrationsData

from ase_phonax import PhonaxCalculator, modes_of_vibrations, normal_modes
from ase_phonax.base.units import CM1_PER_THZ
from ase_phonax.molecules.normal_modes import NormalModes
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
OF_TESTED = {  # of tested.py, by their names in the G2 set
    "CH3CHO": "CC=O",
    "CH3CN": "CC#N",
    "CH3COCH3": "CC(C)=O",
    "CH3OCH3": "COC",
    "C4H4O": "c1ccoc1",
    "H3CNH2": "CN",
}
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


def of_theory(found: dict[str, AssignedLines], calc: PhonaxCalculator) -> np.ndarray:
    """(n, 3) line, harmonic frequency of the model and of PBE/def2-SVP itself [cm⁻¹], of molecules that are tested.

    A line that belongs to the k-th level of a species of the model belongs to the k-th of PBE.
    """
    frames, rows = {own.smiles: own.frame for own in labels.of_pbe() if own.split == "tested"}, []
    for name, own in found.items():
        frame = frames[OF_TESTED[PLAIN[name][0]]]
        n = len(frame.atoms)
        vibrations = VibrationsData(frame.atoms, frame.second.matrices[0].real.reshape(n, 3, n, 3))
        both = [levels(modes) for modes in (normal_modes(own.atoms, calc), modes_of_vibrations(vibrations))]
        for line, frequency, label in zip(*pairs(own).T, (own.level.label for own in own.assignments), strict=True):
            rank = int(np.argmin(np.abs(np.array(both[0][label]) - frequency)))
            rows.append((line, *(own[label][rank] for own in both)))
    return np.array(rows)


def levels(modes: NormalModes) -> dict[str, list[float]]:
    """Wavenumbers of each species, ascending."""
    return {
        label: sorted(s.wavenumber for s in modes.sets if s.label == label) for label in {s.label for s in modes.sets}
    }


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
    lines, *frequencies = of_theory({name: found for name, found in plain.items() if name in UNSEEN}, calc).T
    for name, known in zip(("the model", "PBE/def2-SVP itself"), frequencies, strict=True):
        best = lines @ known / (known @ known)
        print(f"of tested molecules {name}: {len(lines)} lines, {rms(best * known - lines):.1f} cm⁻¹ RMS by {best:.4f}")
    print(f"shifts of full deuteration: {len(own)} lines, {rms(own):.1f} cm⁻¹ RMS, median {median(own):.1f}")


def median(errors: np.ndarray) -> float:
    """Of their sizes."""
    return float(np.median(np.abs(errors)))


if __name__ == "__main__":
    main()
