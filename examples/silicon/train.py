"""What a small cell and a Hessian are worth: one network trained on four sets of DFT data of silicon.

    python examples/silicon/train.py                 12 trainings, about ten minutes of a core; table and figure
    python examples/silicon/train.py --quick         a few steps of each, to see that all of it runs
    python examples/silicon/train.py --full          makes the DFT data anew first (abinit; hours)

Perturbed 1x1x1, 2x2x2 and 3x3x3 repeats of the two-atom cell, and the 1x1x1 frames together with the DFPT dynamical
matrices of a 4x4x4 grid of wave vectors; the same network, steps and seeds for each. Compared are D(q), bands,
and where along the path the error lies: a supercell teaches the wave vectors that it folds to Γ.
After the first figure of Fang, Geiger, Checkelsky, Smidt, arXiv:2403.11347.
"""

import argparse
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from ase_phonax import PhonaxCalculator, frequencies_thz, read_frames, train

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
SETS = {"1x1x1": False, "2x2x2": False, "3x3x3": False, "1x1x1 + Hessian": True}
MODELS = Path("runs/silicon/models")
COLOURS = {"1x1x1": "#999999", "2x2x2": "#56b4e9", "3x3x3": "#009e73", "1x1x1 + Hessian": "#d55e00"}
NETWORK = {
    "cutoff": 5.0,
    "hidden_irreps": "16x0e + 16x0o + 12x1o + 12x1e + 8x2e + 8x2o",
    "n_layers": 2,
    "l_max": 2,
    "radial_sizes": [32],
    "average_neighbors": 28.0,
    "scale": 1.0,
}
ZONE = 7  # points along each direction of the mesh where D(q) is compared: none but Γ is on the grid of the labels
POINTS = 37  # on each segment: those at 1/2 and 1/3 of the reciprocal vectors among them
PATH = ("Γ", (0, 0, 0)), ("X", (0.5, 0, 0.5)), ("K", (0.375, 0.375, 0.75)), ("Γ", (0, 0, 0)), ("L", (0.5, 0.5, 0.5))


def reference():
    """phonopy of the DFPT constants, translational invariance imposed."""
    import phonopy

    found = phonopy.load(str(DATA / "phonopy_params.yaml"), log_level=0)
    found.symmetrize_force_constants()
    return found


def available() -> list[str]:
    """The sets whose frames are there; what is missing is said."""
    there = {name: (DATA / f"frames_{name.split()[0]}.extxyz").exists() for name in SETS}
    for name, found in there.items():
        if not found:
            print(f"{name}: no frames in {DATA}; examples/silicon/generate.py makes them")
    return [name for name, found in there.items() if found]


def labels(name: str, phonopy) -> list:
    frames = read_frames(DATA / f"frames_{name.split()[0]}.extxyz")
    if SETS[name]:
        from ase_phonax.training.labels.phonopy_labels import frame_of_phonopy

        frames += [frame_of_phonopy(phonopy, "DFPT")] * len(frames)
    return frames


def configuration(output: Path, seed: int, n_frames: int, options: argparse.Namespace) -> dict:
    batch = 2
    steps = 40 if options.quick else options.steps
    return {
        "network": NETWORK,
        "loss": {"energy": 1.0, "forces": 1.0, "stress": 0.3, "curvature": 30.0},
        "optimiser": {
            "epochs": max(1, steps * batch // n_frames),
            "batch_size": batch,
            "learning_rate": 2e-2,
            "ema": 0.99,
        },
        "run": {"output": str(output), "seed": seed, "n_shapes": 1, "name": "silicon", "checkpoint_seconds": 300},
    }


def trained(name: str, seed: int, phonopy, options: argparse.Namespace) -> Path:
    """The model file of a set and seed, trained unless it is there."""
    folder = options.output / f"{name.replace(' ', '')}-{seed}"
    model = folder / "model.h5"
    if not model.exists():
        frames = labels(name, phonopy)
        resume = (folder / "checkpoint.h5").exists()
        config = configuration(folder, seed, len(frames), options)
        result = train(config, frames=(frames, []), resume=resume)
        print(f"{name}, seed {seed}: loss {result.history[-1]['loss']:.2e}", flush=True)
    return model


def zone_mesh() -> np.ndarray:
    """A mesh of the whole zone, half of it by time reversal."""
    steps = np.arange(ZONE) / ZONE
    mesh = np.array([(a, b, c) for a in steps for b in steps for c in steps])
    return mesh[: len(mesh) // 2 + 1]


def path_points(n: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Wave vectors along the path, their distances, and where its corners lie."""
    points, places, corners = [], [], [0.0]
    reciprocal = np.linalg.inv(reference().primitive.cell).T
    for (_, a), (_, b) in pairwise(PATH):
        a, b = np.array(a), np.array(b)
        length = np.linalg.norm((b - a) @ reciprocal)
        part = np.linspace(0, 1, n)
        points += [a + t * (b - a) for t in part]
        places += (corners[-1] + part * length).tolist()
        corners.append(corners[-1] + length)
    return np.array(points), np.array(places), corners


def measure(model: Path, phonopy, atoms) -> dict:
    """Errors against DFPT, at the lattice of DFPT."""
    from ase_phonax.phonons.supercell.constants import interpolated_dynamical_matrices

    calc = PhonaxCalculator(model)
    mesh, (path, _, _) = zone_mesh(), path_points(POINTS)

    def both(points):
        return calc.get_dynamical_matrix(atoms, points), interpolated_dynamical_matrices(phonopy, points)

    exact, known = both(mesh)
    along, along_known = both(path)
    bands, bands_known = frequencies_thz(along), frequencies_thz(along_known)
    return {
        "rms_dynamical_matrix": float(np.sqrt(np.mean(np.abs(exact - known) ** 2))),
        "relative": float(np.mean(np.linalg.norm(exact - known, axis=(1, 2)) / np.linalg.norm(known, axis=(1, 2)))),
        "bands_mae_thz": float(np.abs(bands - bands_known).mean()),
        "bands_thz": bands.round(5).tolist(),
        "error_along_path": np.linalg.norm(along - along_known, axis=(1, 2)).tolist(),
    }


def report(found: dict, phonopy, to: Path) -> None:
    """Table, numbers and figure."""
    print(f"{'trained on':18s} {'RMS error of D(q)':>24s} {'relative':>10s} {'bands, MAE':>16s}")
    for name in (name for name in SETS if name in found):
        runs = list(found[name].values())
        rms, relative, bands = (
            np.array([r[key] for r in runs]) for key in ("rms_dynamical_matrix", "relative", "bands_mae_thz")
        )
        print(
            f"{name:18s} {rms.mean():10.5f} ± {rms.std():.5f} eV/Å²/amu {100 * relative.mean():7.1f} % "
            f"{bands.mean():8.3f} ± {bands.std():.3f} THz"
        )
    draw(found, phonopy, to / "silicon.png")


def draw(found: dict, phonopy, path: Path) -> None:
    from matplotlib.figure import Figure

    from ase_phonax.phonons.supercell.constants import interpolated_dynamical_matrices

    points, places, corners = path_points(POINTS)
    dense, where, _ = path_points(101)
    known = frequencies_thz(interpolated_dynamical_matrices(phonopy, dense))
    figure = Figure(figsize=(10.5, 5.4), layout="constrained")
    names = [name for name in SETS if name in found]
    axes = figure.subplots(2, len(names), sharex=True, sharey="row", height_ratios=(2, 1))
    for column, name in enumerate(names):
        top, bottom = axes[:, column]
        top.plot(where, known, color="0.2", lw=0.8, label="DFPT")
        for run in found[name].values():
            top.plot(places, run["bands_thz"], color=COLOURS[name], lw=0.9, alpha=0.7)
            bottom.plot(places, run["error_along_path"], color=COLOURS[name], lw=0.9, alpha=0.7)
        repeats = int(name[0])
        folded = np.all(np.abs(points * repeats - np.rint(points * repeats)) < 1e-6, axis=1)
        bottom.plot(places[folded], np.zeros(folded.sum()), "k^", ms=5, clip_on=False, zorder=5)
        top.set_title(name, fontsize=11, color=COLOURS[name])
        for axis in (top, bottom):
            for x in corners:
                axis.axvline(x, color="0.85", lw=0.7, zorder=0)
            axis.set_xlim(0, corners[-1])
        bottom.set_xticks(corners, [label for label, _ in PATH])
        top.axhline(0, color="0.6", lw=0.6)
    axes[1, 0].set_ylim(bottom=0)  # after everything is drawn: it would end the choice of the top
    axes[0, 0].set_ylabel("frequency [THz]")
    axes[1, 0].set_ylabel("|ΔD(q)| [eV/Å²/amu]")
    figure.suptitle(
        "silicon: DFPT in black, networks in colour; triangles: wave vectors that the cell folds to Γ",
        fontsize=10,
    )
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--output", type=Path, default=MODELS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    if options.full:
        subprocess.run([sys.executable, str(HERE / "generate.py")], check=True)
    phonopy = reference()
    from ase import Atoms

    p = phonopy.primitive
    atoms = Atoms(p.numbers, positions=p.positions, cell=p.cell, masses=p.masses, pbc=True)
    options.output.mkdir(parents=True, exist_ok=True)
    sets = available()
    results = options.output / "results.json"
    found = json.loads(results.read_text()) if results.exists() else {}
    for seed in range(1 if options.quick else options.seeds):
        for name in sets:
            if str(seed) in found.setdefault(name, {}):
                continue
            found[name][str(seed)] = measure(trained(name, seed, phonopy, options), phonopy, atoms)
            part = results.with_suffix(".part")
            part.write_text(json.dumps(found))
            os.replace(part, results)
            print(f"{name}, seed {seed}: bands {found[name][str(seed)]['bands_mae_thz']:.3f} THz", flush=True)
    report(found, phonopy, HERE if options.output == MODELS and not options.quick else options.output)


if __name__ == "__main__":
    main()
