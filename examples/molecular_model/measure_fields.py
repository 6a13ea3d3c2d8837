"""Errors of dipoles, polarizabilities and spectra of the molecular model, on the twenty molecules of unseen.py.

Geometries are those of the labels: PBE's minima of ten molecules, and for the others those of the model shipped first.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_phonax import PhonaxCalculator, normal_modes
from ase_phonax.models.fields import CUBIC_ANGSTROM, DEBYE
from ase_phonax.molecules.intensities import infrared_intensities, levels_of, raman_invariants

UNSEEN = Path(__file__).resolve().parent / "data/unseen.npz"
STRONG = 0.2  # of the strongest line of a molecule


def run(options: argparse.Namespace) -> dict:
    """Measure, print and write the summary."""
    calculator = PhonaxCalculator(options.output / "responses/model.h5")
    with np.load(UNSEEN) as stored:
        labels = dict(stored)
    rows = []
    for k in sorted({key.split("/")[0] for key in labels if "/" in key}):
        own = {key.split("/")[1]: values for key, values in labels.items() if key.startswith(f"{k}/")}
        rows.append(one(calculator, own))
        print(
            "{smiles:18s} dipole {dipole:.3f} D, polarizability {polarizability:.1f} %, strong lines: infrared "
            "{infrared:.0f} %, Raman {raman:.0f} %".format(**rows[-1]),
            flush=True,
        )
    result = {
        "molecules": len(rows),
        "dipole_mae_debye": float(np.mean([row["dipole_components"] for row in rows])),
        "dipole_vector_debye": float(np.mean([row["dipole"] for row in rows])),
        "polarizability_percent": float(np.mean([row["polarizability"] for row in rows])),
        "born_charges_mae": float(np.mean([row["born_charges"] for row in rows])),
        "infrared_percent": float(np.mean([row["infrared"] for row in rows])),
        "raman_percent": float(np.mean([row["raman"] for row in rows])),
        "rows": rows,
    }
    print(json.dumps({name: value for name, value in result.items() if name != "rows"}, indent=1))
    part = options.output / "in_fields.part"
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(options.output / "in_fields.json")
    return result


def one(calculator: PhonaxCalculator, labels: dict[str, np.ndarray]) -> dict:
    """Errors of one molecule: dipole [D] as a vector, the rest in percent but Born charges [e].

    Lines are those of the calculator's own modes at the geometry of the labels, with its charges and tensors and with
    the labels': how far modes themselves are from PBE's is not in it.
    """
    atoms = Atoms(labels["numbers"], labels["positions"])
    modes = normal_modes(atoms, calculator)
    charges, alpha = calculator.get_born_charges(atoms), calculator.get_polarizability(atoms)
    levels = [np.array(level) - 1 for level in levels_of(modes)]
    infrared = [infrared_intensities(modes.displacements, z) for z in (charges, labels["born_charges"])]
    gradients = (calculator.get_polarizability_gradient(atoms), labels["polarizability_gradient"])
    invariants = [raman_invariants(modes.displacements, CUBIC_ANGSTROM * gradient) for gradient in gradients]
    raman = [np.array((45, 7)) @ own for own in invariants]
    difference = calculator.get_dipole_moment(atoms) - labels["dipole"]
    return {
        "smiles": str(labels["smiles"]),
        "dipole": float(np.linalg.norm(difference)) / DEBYE,
        "dipole_components": float(np.abs(difference).mean()) / DEBYE,
        "polarizability": 100
        * float(np.linalg.norm(alpha - labels["polarizability"]))
        / float(np.linalg.norm(labels["polarizability"])),
        "born_charges": float(np.abs(charges - labels["born_charges"]).mean()),
        "infrared": _of_strong(*(np.array([own[level].sum() for level in levels]) for own in infrared)),
        "raman": _of_strong(*(np.array([own[level].sum() for level in levels]) for own in raman)),
    }


def _of_strong(learned: np.ndarray, known: np.ndarray) -> float:
    """Mean relative error of the lines that PBE has strong [%]."""
    strong = known > STRONG * known.max()
    return 100 * float(np.mean(np.abs(learned - known)[strong] / known[strong]))
