"""Errors of the molecular model on molecules it never saw, against PBE/def2-SVP itself.

Each tested molecule is relaxed with the model from the PBE geometry, and its frequencies there are compared with those
of PBE at PBE's own minimum: what a user would get against what the level of theory says. Frequencies are paired in
ascending order within each irreducible representation. Forces are compared on the displaced molecules held out.
"""

import argparse
import json

import numpy as np
from ase import Atoms
from ase.neighborlist import natural_cutoffs, neighbor_list
from ase.vibrations import VibrationsData
from tested import TESTED_KINDS


def run(options: argparse.Namespace) -> dict:
    """Measure, print and write the summary."""
    from make import labelled

    from ase_phonax import PhonaxCalculator
    from ase_phonax.base.errors import PhonaxError

    calc = PhonaxCalculator(str(options.output / "responses/model.h5"))
    rows, forces, failed = [], [], []
    for smiles, split, frame in labelled(options):
        if split == "held out" and frame.forces is not None:
            forces.append(calc.get_forces(frame.atoms) - frame.forces)
        if split == "tested":
            try:
                rows.append(one(smiles, frame, calc))
            except PhonaxError as error:  # a molecule that the model takes apart
                failed.append(smiles)
                print(f"{smiles}: {error.what}")
                continue
            print(
                "{smiles:18s} rms {rms_cm1:5.1f} cm⁻¹, largest {largest_cm1:6.1f}, bonds {bonds_rms:.4f} Å".format(
                    **rows[-1]
                )
            )
    kinds = [row for row in rows if row["smiles"] in TESTED_KINDS.values()]
    found = summary([row for row in rows if row not in kinds])
    found |= {f"{name}_of_kinds": value for name, value in summary(kinds).items() if name != "rows"}
    found |= {
        "failed": failed,
        "forces_mae": float(np.abs(np.concatenate(forces)).mean()) if forces else float("nan"),
        "molecules_forces": len(forces),
        "rows": rows,
    }
    print("{molecules} molecules: {rms_cm1:.1f} cm⁻¹ RMS, {imaginary} imaginary modes".format(**found))
    print("{molecules_of_kinds} of other kinds: {rms_cm1_of_kinds:.1f}, {imaginary_of_kinds}".format(**found))
    print(f"{len(forces)} molecules held out: forces {1000 * found['forces_mae']:.0f} meV/Å mean absolute error")
    part = options.output / "summary.part"
    part.write_text(json.dumps(found, indent=1) + "\n")
    part.replace(options.output / "summary.json")
    return found


def summary(rows: list[dict]) -> dict:
    """Errors over all frequencies of some molecules; NaN where there are none."""
    differences = np.concatenate([row["differences_cm1"] for row in rows]) if rows else np.array([np.nan])
    bonds = [row["bonds_rms"] ** 2 for row in rows] or [np.nan]
    return {
        "molecules": len(rows),
        "rms_cm1": float(np.sqrt(np.mean(differences**2))),
        "mean_cm1": float(differences.mean()),
        "bonds_rms": float(np.sqrt(np.mean(bonds))),
        "imaginary": sum(row["imaginary"] for row in rows),
    }


def one(smiles: str, frame, calc) -> dict:
    """A molecule: frequencies and geometry against those of the label, which is at PBE's minimum."""
    from ase_phonax import modes_of_vibrations, stationary_modes

    atoms, n = frame.atoms, len(frame.atoms)
    theirs = modes_of_vibrations(VibrationsData(atoms, frame.second.matrices[0].real.reshape(n, 3, n, 3)))
    modes, _ = stationary_modes(atoms, calc)
    return {
        "smiles": smiles,
        "point_groups": [theirs.point_group.symbol, modes.point_group.symbol],
        "reference_cm1": theirs.wavenumbers.tolist(),
        "model_cm1": modes.wavenumbers.tolist(),
        "differences_cm1": (d := paired(theirs, modes)),
        "rms_cm1": float(np.sqrt(np.mean(np.square(d)))),
        "largest_cm1": float(np.abs(d).max()),
        "imaginary": len(modes.imaginary),
        "bonds_rms": bond_error(atoms, modes.atoms),
    }


def paired(theirs, ours) -> list[float]:
    """Differences within each representation; over all where the point groups differ."""
    if theirs.point_group.symbol != ours.point_group.symbol:
        return (ours.wavenumbers - theirs.wavenumbers).tolist()
    found = []
    for label in {s.label for s in theirs.sets}:
        a, b = (sorted(w for s in modes.sets if s.label == label for w in s.wavenumbers) for modes in (theirs, ours))
        found += (np.array(b) - np.array(a)).tolist()
    return found


def bond_error(before: Atoms, after: Atoms) -> float:
    """RMS difference of bond lengths [Å]."""
    i, j = neighbor_list("ij", before, natural_cutoffs(before, mult=1.2))
    lengths = [np.linalg.norm(a.positions[i] - a.positions[j], axis=1) for a in (before, after)]
    return float(np.sqrt(np.mean((lengths[1] - lengths[0]) ** 2)))
