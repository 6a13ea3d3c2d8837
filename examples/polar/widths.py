"""Where the reach of a model ends: L of the interaction of dipoles, fitted to DFT with charges.

    PHONAX_DATA=... python examples/polar/widths.py [MODEL ...]      (a minute each)

Reference: dispersions of the cubic binary crystals of the phonon database (PBE, with non-analytic correction, 19x19x19
mesh; A. Togo, L. Chaput, T. Tadano, I. Tanaka, J. Phys.: Condens. Matter 35, 353001 (2023)), in PHONAX_DATA/data. No
charges are needed: in a cubic crystal of two atoms Z²/eps is what DFT's own splitting at Gamma says. For each L the
model's exact D(q) at the lattice of DFT, with dipoles, is compared with DFT in the highest branch. NaCl is left out: it
is what the choice is judged by, with anatase and AlN (bands.py).
"""

import argparse
import gzip
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from ase_phonax import PhonaxCalculator
from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.phonons.polar import NAC_FACTOR, DipoleInteraction
from ase_phonax.phonons.supercell.constants import crystal_atoms
from ase_phonax.phonons.supercell.objects import build_phonopy

LEFT_OUT = "NaCl"
SPLIT = 0.25  # LO² - TO² in units of TO²: crystals that split by less say little
FARTHEST = 0.6  # 1/Å: beyond, every model knows all
WIDTHS = np.round(np.arange(0.08, 0.2205, 0.001), 3)  # 1/Å
THZ2 = frequencies_thz(np.eye(1))[0] ** 2  # THz² of 1 eV/Å²/amu


def cubic_binaries() -> Iterator[tuple[dict, Atoms]]:
    """What the database says of each ("name", "qpoints" reduced, "frequencies" in THz), and its primitive cell."""
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: it is the folder that has data/kappa_phonondb_nac_52.json.gz")
    folder = Path(os.environ["PHONAX_DATA"]) / "data"
    known = json.loads(gzip.decompress((folder / "kappa_phonondb_nac_52.json.gz").read_bytes()))
    for atoms in read(folder / "phonondb_pbe_structures.extxyz", ":"):
        own = known[atoms.info["mp_id"]]
        if own["symm.no"] in (216, 225):
            made = build_phonopy(atoms, 1, primitive_matrix=atoms.info["primitive_matrix"])
            yield own, crystal_atoms(made.primitive)


def crystals(numbers: set[int]) -> list[dict]:
    """Those whose elements a model knows: primitive cell, wave vectors, frequencies [THz]."""
    found = []
    for own, primitive in cubic_binaries():
        if own["name"] == LEFT_OUT or not set(primitive.numbers) <= numbers:
            continue
        q, frequencies = np.array(own["qpoints"]), np.array(own["frequencies"])
        k = np.linalg.norm(2 * np.pi * q @ primitive.cell.reciprocal()[:], axis=1)
        nearest = np.argsort(k)[1]
        transverse = (frequencies[nearest, 3:5] ** 2).mean()
        splitting = frequencies[nearest, 5] ** 2 - transverse
        if splitting < SPLIT * transverse:
            continue
        counts = (k > 0) & (k < FARTHEST)
        found.append(
            {
                "name": own["name"],
                "atoms": primitive,
                "splitting": splitting,
                "qpoints": q[counts],
                "highest": frequencies[counts, 5],
                # As densely from every distance from Gamma.
                "weights": np.array(own["weights"])[counts] / k[counts] ** 2,
            }
        )
    return found


def errors(calc: PhonaxCalculator, crystal: dict) -> np.ndarray:
    """Mean error of the highest branch [THz] without dipoles and for each width."""
    atoms, q = crystal["atoms"], crystal["qpoints"]
    model, roots = calc.get_dynamical_matrix(atoms, q), np.repeat(np.sqrt(atoms.get_masses()), 3)
    volume, reduced = atoms.cell.volume, 1 / (1 / atoms.get_masses()).sum()
    charge = np.sqrt(crystal["splitting"] / THZ2 * volume * reduced / (4 * np.pi * NAC_FACTOR))
    charges = np.array([charge, -charge])[:, None, None] * np.eye(3)
    scaled = atoms.get_scaled_positions(wrap=False)
    result = []
    for width in (None, *WIDTHS):
        matrices = model
        if width is not None:
            dipoles = DipoleInteraction(atoms.cell.array, scaled, charges, np.eye(3), float(width), NAC_FACTOR)
            matrices = model + dipoles.matrices(q) / np.outer(roots, roots)
        off = np.abs(frequencies_thz(matrices)[:, -1] - crystal["highest"])
        result.append(np.average(off, weights=crystal["weights"]))
    return np.array(result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["phonax-small"], metavar="MODEL")
    for name in parser.parse_args().models:
        calc = PhonaxCalculator(name)
        known = crystals(set(calc.potential.numbers))
        found = np.array([errors(calc, crystal) for crystal in known])
        mean = found.mean(axis=0)
        best = 1 + int(mean[1:].argmin())
        # What the choice of crystals does to it: drawn again, with repetition.
        rng = np.random.default_rng(0)
        draws = [found[rng.integers(len(found), size=len(found))].mean(axis=0)[1:].argmin() for _ in range(200)]
        print(
            f"{calc.potential.name}: {len(known)} crystals, highest branch off by {mean[0]:.3f} THz without dipoles;"
            f" least at L = {WIDTHS[best - 1]:.3f} +- {WIDTHS[draws].std():.3f} 1/Å, {mean[best]:.3f} THz"
        )


if __name__ == "__main__":
    main()
