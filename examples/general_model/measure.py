"""Errors of the general model against its teacher on crystals held out and on crystals it was trained on.

Geometry: relaxed with the teacher (the equilibrium frames of the labels). Measured on a Gamma-centred mesh of wave
vectors, all of them exact: relative error of D(q), Frobenius norm of the difference over that of the teacher's, mean
over the mesh; the lowest and highest frequency of both; the mean absolute difference of frequencies. Besides, how the
volume changes when the model relaxes the crystal.

Each crystal is a file under teacher/ and a line of errors-MODEL.jsonl in --output, both with the fingerprint of the
model that they are of; a second start goes on from there.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms

LENGTH = 12.0  # Å: a mesh of n points along a vector a has n |a| of at least this, and is odd
UNSTABLE_THZ = -0.1  # below: an unstable crystal
N_TRAINED = 93  # crystals of the training set to measure beside those held out


def mesh(atoms: Atoms) -> np.ndarray:
    """(n_q, 3) wave vectors, Γ among them."""
    lengths = atoms.cell.lengths()
    counts = [1 if length > LENGTH else 2 * int(np.ceil((LENGTH / length - 1) / 2)) + 1 for length in lengths]
    axes = [(np.arange(n) - n // 2) / n for n in counts]
    return np.array(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).T


def relaxed_crystals(folder: Path) -> dict[str, tuple[bool, Atoms]]:
    """Name of the frame -> whether it is held out, and the crystal at the teacher's geometry."""
    import ase.io
    from crystals import is_validated

    from ase_phonax import read_frames

    structures = ase.io.read(folder / "structures.extxyz", ":")
    paths = sorted((folder / "labels/frames").glob("*.h5"))
    of = {p.stem: structures[int(p.name.split("-")[0])] for p in paths}
    found = {p.stem: (of[p.stem].info["held_out"], p) for p in paths}
    trained = [name for name, (held, _) in found.items() if not held and not is_validated(of[name])]
    drawn = {trained[k] for k in np.random.default_rng(0).permutation(len(trained))[:N_TRAINED]}
    return {n: (held, read_frames(p)[0].atoms) for n, (held, p) in found.items() if held or n in drawn}


def teacher_matrices(folder: Path, teacher: str, crystals: dict) -> dict[str, Path]:
    """D(q) of the teacher on the mesh of each crystal, kept in files."""
    from ase_phonax import PhonaxCalculator

    calc = PhonaxCalculator(teacher, "float32")
    kept = folder / "teacher" / calc.potential.fingerprint()[:12]
    kept.mkdir(parents=True, exist_ok=True)
    for name, (_, atoms) in crystals.items():
        path = kept / f"{name}.npz"
        if not path.exists():
            matrices = calc.get_dynamical_matrix(atoms, mesh(atoms))
            part = path.with_suffix(".part.npz")
            np.savez(part, matrices=matrices.astype(np.complex64))
            part.replace(path)
    return {name: kept / f"{name}.npz" for name in crystals}


def errors(model: str, crystals: dict, teacher: dict[str, Path], results: Path) -> list[dict]:
    """A row for each crystal."""
    from ase_phonax import PhonaxCalculator, frequencies_thz

    calc = PhonaxCalculator(model)
    fingerprint = calc.potential.fingerprint()[:12]
    rows = [row for row in read_rows(results) if row["model"] == fingerprint]
    results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = {row["name"] for row in rows}
    for name, (held_out, atoms) in crystals.items():
        if name in done:
            continue
        with np.load(teacher[name]) as file:
            theirs = file["matrices"].astype(complex)
        ours = calc.get_dynamical_matrix(atoms, mesh(atoms))
        difference = np.linalg.norm(ours - theirs, axis=(1, 2)) / np.linalg.norm(theirs, axis=(1, 2))
        a, b = (frequencies_thz((m + m.conj().transpose(0, 2, 1)) / 2) for m in (theirs, ours))
        row = {
            "name": name,
            "model": fingerprint,
            "formula": atoms.get_chemical_formula("metal", empirical=True),
            "held_out": bool(held_out),
            "n_atoms": len(atoms),
            "relative_error": float(difference.mean()),
            "lowest_thz": [float(a.min()), float(b.min())],
            "highest_thz": [float(a.max()), float(b.max())],
            "mae_thz": float(np.abs(a - b).mean()),
            "forces_rms": float(np.sqrt(np.mean(calc.get_forces(atoms) ** 2))),
            "volume_change": volume_change(atoms, calc),
        }
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        rows.append(row)
    return rows


def volume_change(atoms: Atoms, calc) -> float | None:
    """Relative, from the teacher's volume to the model's; None where relaxation does not end."""
    from ase_phonax import PhonaxError, relax

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            relaxed, _ = relax(atoms, calc, fmax=2e-3, smax=2e-4)
        except PhonaxError:
            return None
    return float(relaxed.cell.volume / atoms.cell.volume - 1)


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def confusion(rows: list[dict]) -> dict[str, int]:
    """Crystals by stability: the teacher's word first."""
    counts = dict.fromkeys(("stable, stable", "stable, unstable", "unstable, stable", "unstable, unstable"), 0)
    for row in rows:
        teacher, model = ("unstable" if x < UNSTABLE_THZ else "stable" for x in row["lowest_thz"])
        counts[f"{teacher}, {model}"] += 1
    return counts


def summary(rows: list[dict]) -> dict:
    relative = np.array([row["relative_error"] for row in rows])
    changes = [abs(row["volume_change"]) for row in rows if row["volume_change"] is not None]
    return {
        "model": rows[0]["model"],
        "crystals": len(rows),
        "relative_error_median": float(np.median(relative)),
        "relative_error_tertiles": np.quantile(relative, [1 / 3, 2 / 3]).tolist(),
        "mae_thz_median": float(np.median([row["mae_thz"] for row in rows])),
        "volume_change_median": float(np.median(changes)) if changes else None,
        "volume_changes_beyond_a_tenth": len(rows) - sum(change < 0.1 for change in changes),
        "stability": confusion(rows),
    }


def run(options: argparse.Namespace) -> dict:
    """Measure what has been trained; the summary is written beside the rows, and keeps what it says of other models."""
    folder = options.output
    crystals = relaxed_crystals(folder)
    teacher = teacher_matrices(folder, options.teacher, crystals)
    path = folder / "summary.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for side in options.sides:
        model = folder / side / "model.h5"
        if not model.exists():
            continue
        rows = errors(str(model), crystals, teacher, folder / f"errors-{side}.jsonl")
        for which, held in (("held out", True), ("trained on", False)):
            own = [row for row in rows if row["held_out"] == held]
            if own:
                found[f"{side}, {which}"] = summary(own)
                s = found[f"{side}, {which}"]
                print(
                    f"{side}, {which}: {s['crystals']} crystals, relative error of D(q) median "
                    f"{s['relative_error_median']:.3f}, tertiles {s['relative_error_tertiles'][0]:.3f} and "
                    f"{s['relative_error_tertiles'][1]:.3f}; frequencies {s['mae_thz_median']:.2f} THz; volumes "
                    f"{s['volume_change_median']:.3f} (median), {s['volume_changes_beyond_a_tenth']} beyond 0.1; "
                    + ", ".join(f"{k}: {n}" for k, n in s["stability"].items())
                )
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1) + "\n")
    part.replace(path)
    return found
