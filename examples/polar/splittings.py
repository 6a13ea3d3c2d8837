"""What predicted charges do to LO frequencies: against DFT with its own charges, and against DFPT's charges.

    PHONAX_DATA=... python examples/polar/splittings.py [--charges MODEL] [--model MODEL]

1. Cubic binary crystals of the phonon database (PBE, 19x19x19 mesh): LO at the smallest wave vector from DFT's own TO
   and predicted Z*² / eps: LO² = TO² + 4 pi F Z*² / (eps V mu).
2. Crystals that the charges were not learned from: frequencies at Gamma, approached along five directions, of one and
   the same dynamical matrix, with predicted charges and with DFPT's.
"""

import argparse
import warnings

import numpy as np
from make import crystals
from widths import THZ2, cubic_binaries

from ase_phonax import PhonaxCalculator, PolarCalculator, predict_charges
from ase_phonax.base.errors import PhonaxError, UnstableWarning
from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.models.fields import as_components
from ase_phonax.models.polarity import dielectric_tensor
from ase_phonax.phonons.polar import NAC_FACTOR

DIRECTIONS = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]])  # reduced


def against_dft(charges: str) -> None:
    """The first comparison, a line for each crystal."""
    off = []
    for own, cell in cubic_binaries():
        q = 2 * np.pi * np.array(own["qpoints"]) @ cell.cell.reciprocal()[:]
        nearest = np.argsort(np.linalg.norm(q, axis=1))[1]
        frequencies = np.array(own["frequencies"])[nearest]
        try:
            found = predict_charges(cell, charges)
        except PhonaxError as error:
            print(f"{own['name']}: {error.what}")
            continue
        squared = np.trace(found.charges[0]) ** 2 / 9 / (np.trace(found.dielectric) / 3)
        inverse_mass = (1 / cell.get_masses()).sum()
        splitting = 4 * np.pi * NAC_FACTOR * squared * inverse_mass / cell.cell.volume * THZ2
        lo = np.sqrt((frequencies[3:5] ** 2).mean() + splitting)
        off.append(lo - frequencies[5])
        print(
            f"{own['name']:5s} {own['symm.no']}  LO {frequencies[5]:6.2f} THz, predicted {lo - frequencies[5]:+.2f}"
            + (f"  doubted: {found.doubt}" if found.doubt else "")
        )
    off = np.abs(off)
    print(f"{len(off)} cubic crystals: LO off by {off.mean():.3f} THz (mean absolute), {np.median(off):.3f} (median)")


def against_dfpt(charges: str, name: str) -> None:
    """The second comparison."""
    warnings.simplefilter("ignore", UnstableWarning)
    calc, medians = PhonaxCalculator(name), []
    for part, frame in crystals(quick=False):
        atoms = frame.atoms
        if part != "test" or not set(atoms.numbers) <= set(calc.potential.numbers):
            continue
        eps = dielectric_tensor(as_components(frame.log_susceptibility))
        try:
            known = PolarCalculator(calc, atoms, {"born": frame.crystal_charges, "dielectric": eps})
            predicted = PolarCalculator(calc, atoms, predict_charges(atoms, charges))
            off = [
                frequencies_thz(own.get_dynamical_matrix(atoms, [0, 0, 0], direction=d))[0]
                for d in DIRECTIONS
                for own in (known, predicted)
            ]
        except PhonaxError:
            continue
        pairs = np.array(off).reshape(len(DIRECTIONS), 2, -1)
        plain = frequencies_thz(calc.get_dynamical_matrix(atoms, [0, 0, 0]))[0]
        moved = np.abs(pairs[:, 0] - plain) > 0.05  # what charges move at all
        if moved.any():
            medians.append(float(np.abs(pairs[:, 1] - pairs[:, 0])[moved].mean()))
    print(
        f"{len(medians)} crystals never learned from: frequencies that charges move are off by"
        f" {np.median(medians):.3f} THz (median over crystals; mean {np.mean(medians):.3f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--charges", default="phonax-polar", help="model of charges; default: %(default)s")
    parser.add_argument("--model", default="phonax-small", help="model of energies; default: %(default)s")
    options = parser.parse_args()
    against_dft(options.charges)
    against_dfpt(options.charges, options.model)


if __name__ == "__main__":
    main()
