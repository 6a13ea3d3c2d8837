"""Makes a network that predicts densities of states from the structure, and measures it.

    PHONAX_DATA=... python examples/density_of_states/make.py [label] [train] [measure]
    python examples/density_of_states/make.py --quick              two epochs on a few crystals, to see that it runs

Data: 1521 crystals by PBEsol DFPT (G. Petretto et al., Scientific Data 5, 180065 (2018)) with the split into parts of
Z. Chen et al., Adv. Sci. 8, 2004214 (2021), in PHONAX_DATA/data/phonon_dos. Settings are chosen by the part to validate
(`--choose`); the test part is looked at when a model is finished.

`label` asks a potential for the partial densities of the crystals to learn from, by exact D(q) on a mesh: what is
learned beside DFT's total ones. Half an hour of one core for nequix-mp-1-pft; each crystal is kept, so that it goes on.
`pack` puts them into data/teacher.npz, from where they are read; what stands there is not computed again.
"""

import argparse
import ast
import csv
import gzip
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from ase.build import bulk

from ase_phonax import (
    DensityOfStates,
    Frame,
    PhonaxCalculator,
    density_heat,
    exact_density,
    load_model,
    mean_frequency,
    predict_density,
)
from ase_phonax.base.units import CM1_PER_THZ
from ase_phonax.models.spectra.densities import GRID_CM1, N_POINTS, UNKNOWN

STEPS = ("label", "train", "measure")
PACKED, ROUNDED = HERE / "data/teacher.npz", 65535  # shares as whole numbers of 1/65535
KNOWN = 51  # points of the published densities, up to 1000 1/cm
COPIES, MOVED = 4, 0.02  # of each crystal to learn from, its atoms moved at random [Å]
MEMBERS = 2
ABOVE = 5e-3  # share of a teacher's modes above 1000 1/cm, below which there are none
SMALL = {"hidden_irreps": "4x0e + 4x1o + 4x1e + 2x2e", "radial_sizes": [8], "embedding": 8}  # of --quick


def crystals(quick: bool) -> list[tuple[str, int, Atoms, np.ndarray]]:
    """Part ("train", "valid" or "test"), number, structure and density (KNOWN,) with the maximum 1 of each crystal."""
    if quick:
        salts = [bulk("MgO", "rocksalt", a=a) for a in (4.1, 4.2, 4.3, 4.4)]
        density = np.exp(-((GRID_CM1[:KNOWN] - 400) ** 2) / 2 / 100**2)
        parts = ("train", "train", "valid", "test")
        return [(part, k, salt, density) for k, (part, salt) in enumerate(zip(parts, salts, strict=True))]
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: it is the folder that has data/phonon_dos")
    folder = Path(os.environ["PHONAX_DATA"]) / "data/phonon_dos"
    csv.field_size_limit(10**9)
    with gzip.open(folder / "phdos_petretto_51pt.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    found = []
    for part in ("train", "valid", "test"):
        for k in map(int, (folder / f"idx_{part}.txt").read_text().split()):
            if k < len(rows):  # the last row is missing
                atoms = Atoms.fromdict(ast.literal_eval(rows[k]["structure"]))
                atoms.pbc = True
                density = np.maximum(ast.literal_eval(rows[k]["phdos"]), 0)
                found.append((part, k, atoms, density / density.max()))
    return found


def label(options: argparse.Namespace) -> None:
    """Partial densities by a potential, of each crystal to learn from that it knows."""
    folder = options.output / "teacher"
    folder.mkdir(parents=True, exist_ok=True)
    calc = PhonaxCalculator(options.teacher, dtype="float32")
    there = set() if options.quick else set(taught(options))
    wanted = [(k, atoms) for part, k, atoms, _ in crystals(options.quick) if part == "train" and k not in there]
    for done, (k, atoms) in enumerate(sorted(wanted, key=lambda pair: len(pair[1]))):
        path = folder / f"{k}.npz"
        if path.exists() or not set(atoms.numbers) <= set(calc.potential.numbers):
            continue
        part = path.with_suffix(".part.npz")
        np.savez(part, shares=shares_of(exact_density(atoms, calc)).astype(np.float32))
        part.replace(path)
        if done % 100 == 0:
            print(f"{done} of {len(wanted)}", flush=True)


MORE = 3000  # crystals that nobody published
MORE_LENGTH = 15.0  # Å
UNSTABLE = 0.01  # share of modes with imaginary frequencies above which a crystal is left out


def more(options: argparse.Namespace) -> None:
    """Crystals made of those to learn from, relaxed by the teacher, and what it says of them: MORE, or till stopped."""
    from substituted import formula, relaxed, substituted

    folder = options.output / "more"
    folder.mkdir(parents=True, exist_ok=True)
    calc = PhonaxCalculator(options.teacher, dtype="float32")
    all_of_them = crystals(options.quick)
    kept = {formula(atoms) for part, _, atoms, _ in all_of_them}
    learned = [atoms for part, _, atoms, _ in all_of_them if part == "train"]
    for k, atoms in enumerate(
        substituted(learned, kept, set(calc.potential.numbers), np.random.default_rng(options.seed))
    ):
        if k == MORE:
            break
        path = folder / f"{options.seed}-{k}.npz"
        if path.exists():
            continue
        try:
            rest = relaxed(atoms, calc)
            own = (
                {} if rest is None else {"numbers": rest.numbers, "positions": rest.positions, "cell": rest.cell.array}
            )
            if rest is not None:
                found = exact_density(rest, calc, mesh_length=MORE_LENGTH)
                own |= {"unstable": found.imaginary, "shares": shares_of(found).astype(np.float32)}
        except Exception as error:
            print(k, atoms.get_chemical_formula(), type(error).__name__, str(error)[:100], flush=True)
            own = {}
        part = path.with_suffix(".part.npz")
        np.savez(part, **own)
        part.replace(path)


def taught(options: argparse.Namespace) -> dict[int, np.ndarray]:
    """Number of a crystal -> shares (n, N_POINTS) of its atoms by the teacher, as far as they are made."""
    found = {}
    if PACKED.exists() and not options.quick:
        with np.load(PACKED) as packed:
            found = {int(k): packed[k] / ROUNDED for k in packed.files}
    for path in (options.output / "teacher").glob("*[0-9].npz"):
        found[int(path.stem)] = np.load(path)["shares"].astype(float)
    return {k: shares / shares.sum(axis=1, keepdims=True) for k, shares in found.items()}


def pack(options: argparse.Namespace) -> None:
    """All of them into one small file."""
    rounded = {str(k): np.rint(ROUNDED * own).astype(np.uint16) for k, own in sorted(taught(options).items())}
    part = PACKED.with_suffix(".part.npz")
    PACKED.parent.mkdir(exist_ok=True)
    np.savez_compressed(part, **rounded)
    part.replace(PACKED)
    print(f"{len(rounded)} crystals, {PACKED.stat().st_size / 1e6:.2f} MB")


def shares_of(density: DensityOfStates) -> np.ndarray:
    """(n, N_POINTS) shares of each atom's modes at each frequency."""
    return density.by_atom / density.by_atom.sum(axis=1, keepdims=True)


def frames(options: argparse.Namespace, parts: tuple[str, ...], seed: int | None = None) -> list[Frame]:
    """Crystals with their labels; with a seed COPIES of each, moved at random."""
    found, teacher = [], taught(options)
    for part, k, atoms, density in crystals(options.quick):
        if part not in parts:
            continue
        total = np.full(N_POINTS, UNKNOWN)
        total[:KNOWN] = density
        shares = teacher.get(k) if part == "train" else None
        if shares is not None and shares[:, KNOWN:].sum(axis=1).mean() < ABOVE:
            total[KNOWN:] = 0
        found.append(Frame(atoms, density_of_states=total, partial_densities=shares, origin=str(k)))
    if seed is None:
        return found
    rng, copies = np.random.default_rng(seed), []
    for frame in found * COPIES:
        moved = frame.atoms.copy()
        moved.positions += rng.normal(0, MOVED, moved.positions.shape)
        copies.append(replace(frame, atoms=moved))
    return copies


def train(options: argparse.Namespace) -> None:
    """Each member, from nothing."""
    from ase_phonax import train as run
    from ase_phonax.base.settings import read_yaml

    for k in range(MEMBERS):
        folder = options.output / f"member-{k + 1}"
        if (folder / "model.h5").exists():
            continue
        settings = read_yaml(HERE / "train.yaml")
        settings["run"] |= {"output": str(folder), "devices": "all", "seed": k}
        settings["data"] = {"valid": 0}
        if options.quick:
            settings["network"] |= SMALL
            settings["optimiser"]["epochs"] = 2
        learned = frames(options, ("train",) if options.choose else ("train", "valid"), seed=k)
        if not any(frame.partial_densities is not None for frame in learned):
            settings["loss"]["partial_densities"] = 0.0
        resume = (folder / "checkpoint.h5").exists()
        valid = frames(options, ("valid",)) if options.choose else []
        run(settings, frames=(learned, valid), resume=resume, report=show)


def show(row: dict) -> None:
    """One line an epoch."""
    shown = [f"epoch {row['epoch']:3d}", f"loss {row.get('loss', np.nan):.5f}"]
    shown += [f"{name} {row[name]:.4f}" for name in ("density_of_states_mae", "partial_densities_mae") if name in row]
    print("  ".join([*shown, f"{row.get('seconds', 0):.0f} s"]), flush=True)


def measure(options: argparse.Namespace) -> dict:
    """Errors on a part, of densities with the maximum 1, and of what follows from them."""
    members = [load_model(options.output / f"member-{k + 1}" / "model.h5") for k in range(MEMBERS)]
    part = "valid" if options.choose else "test"
    grid = GRID_CM1[:KNOWN] / CM1_PER_THZ
    labels, found, rows = [], [], []
    for own, k, atoms, density in crystals(options.quick):
        if own != part:
            continue
        try:
            alone = [predict_density(atoms, member).total[:KNOWN] for member in members]
        except ValueError as error:  # an element that was never learned
            print(f"{k}: {error.args[0]}")
            continue
        total = np.mean(alone, axis=0)
        labels.append(density)
        found.append([own / own.max() for own in (*alone, total)])
        pair = [3 * g / (g.sum() * grid[1]) for g in (total, density)]
        heat = [float(density_heat(grid, g, 300.0).heat_capacity[0]) for g in pair]
        means = [CM1_PER_THZ * mean_frequency(grid, g) for g in pair]
        rows.append({"crystal": k, "mae": float(np.abs(found[-1][-1] - density).mean()), "heat": heat, "mean": means})
    y, p = np.array(labels), np.array(found).transpose(1, 0, 2)
    result = {
        "part": part,
        "crystals": len(rows),
        "mae": float(np.abs(p[-1] - y).mean()),
        "r2": float(1 - ((p[-1] - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()),
        "single_mae": [float(np.abs(own - y).mean()) for own in p[:-1]],
        "heat_capacity_300K_mae": float(np.mean([abs(a - b) for a, b in (row["heat"] for row in rows)])),
        "mean_frequency_cm1_mae": float(np.mean([abs(a - b) for a, b in (row["mean"] for row in rows)])),
        "rows": rows,
    }
    print(json.dumps({key: value for key, value in result.items() if key != "rows"}, indent=1))
    written = options.output / f"measured_{part}.part"
    written.write_text(json.dumps(result, indent=1) + "\n")
    written.replace(written.with_suffix(".json"))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="two epochs on a few crystals")
    parser.add_argument("--choose", action="store_true", help="validate, and leave the test part alone")
    parser.add_argument("--teacher", default="nequix-mp-1-pft", help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("runs/dos"), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the crystals that are made; default: 0")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="devices to train on; default: all cores")
    options = parser.parse_args()
    if options.quick:
        options.teacher = "phonax-small"
    if unknown := set(options.steps) - {*STEPS, "more", "pack"}:
        parser.error(f"there is no step {', '.join(sorted(unknown))}; steps are {', '.join(STEPS)} and pack")
    # JAX takes a processor for one device unless told; set before it is imported.
    count = f"--xla_force_host_platform_device_count={options.workers}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {count}".strip()
    for step in options.steps or STEPS:
        globals()[step](options)


if __name__ == "__main__":
    main()
