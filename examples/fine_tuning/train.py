"""Force constants of four crystals make a universal potential better on crystals it was not tuned on.

    PHONAX_DATA=... python examples/fine_tuning/train.py --model nequix-mp-1.nqx [--epochs 20]
    ... --report                    table and figure from what has been computed
    python examples/fine_tuning/train.py --quick     the same steps with the model that ships, in a minute

Tuned on the force constants of NaCl, TiO2 (anatase), MgB2 and Si (PBE, phonopy's examples), with frames of other
crystals that the model has labelled itself mixed in, so that it keeps what it knew. Measured before and after:
frequencies of the crystals of phononDB (PBE; NaCl left out) at DFT's lattice, and forces of four elements (PBE
molecular dynamics, strained and defective cells; mlearn).
"""

import argparse
import csv
import gzip
import json
import lzma
import os
import warnings
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import phonopy
from ase import Atoms

from ase_phonax import (
    PhonaxCalculator,
    fine_tune,
    frame_of_atoms,
    frame_of_phonopy,
    get_phonopy,
    load_model,
    read_frames,
    relax,
)

HERE = Path(__file__).resolve().parent
CRYSTALS = ("NaCl", "TiO2-anatase", "MgB2")
ELEMENTS = ("Si", "Ge", "Li", "Mo")
KINDS = {225: "", 216: "zincblende", 186: "wurtzite"}
FORCE_FRAMES = 12  # of each element
REMEMBERED = 24  # crystals whose labels are the model's own


def force_constants(data: Path) -> list:
    """The primitive cells with D(q) at the wave vectors of phonopy's supercells."""
    found = [f for name in CRYSTALS for f in read_frames(data / "phonopy" / name / "phonopy_disp.yaml")]
    silicon = phonopy.load(data / "phonopy/Si/phonopy_disp.yaml", primitive_matrix="auto", log_level=0)
    silicon.forces = [ase.io.read(data / "phonopy/Si/vasprun.xml").get_forces()]
    return [frame for frame in found if frame.second is not None] + [frame_of_phonopy(silicon, "Si")]


def own_labels(model, structures: list[Atoms], rng: np.random.Generator) -> list:
    """Displaced and strained structures with the model's own energy, forces and stress."""
    calc, frames = PhonaxCalculator(model, dtype="float32"), []
    for atoms in structures:
        for _ in range(2):
            moved = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
            moved.set_cell(moved.cell.array @ (np.eye(3) + rng.normal(0, 0.01, (3, 3))), scale_atoms=True)
            moved.positions += rng.normal(0, 0.06, moved.positions.shape)
            moved.calc = calc
            moved.get_forces(), moved.get_stress()
            frames.append(frame_of_atoms(moved, origin=atoms.get_chemical_formula()))
    return frames


def other_structures(data: Path, known: tuple[int, ...], rng: np.random.Generator) -> list[Atoms]:
    """Small crystals, none of them among those tuned or tested on."""
    tested = {a.get_chemical_formula("hill") for a in ase.io.read(data / "phonondb_pbe_structures.extxyz", ":")}
    tested = {Atoms(f).get_chemical_formula("hill", empirical=True) for f in tested}
    found = [
        atoms
        for atoms in ase.io.read(data / "born_dielectric_pbesol_train.xyz", ":")
        if len(atoms) <= 5
        and set(atoms.numbers) <= set(known)
        and atoms.get_chemical_formula("hill", empirical=True) not in tested
    ]
    return [found[k] for k in rng.permutation(len(found))[:REMEMBERED]]


def frequency_errors(model, data: Path, first: int | None) -> dict[str, float]:
    """Mean absolute error over all branches [THz] of each crystal of phononDB."""
    calc, result = PhonaxCalculator(model), {}
    with gzip.open(data / "phonondb_pbe_frequencies.json.gz") as file:
        reference = json.load(file)
    for atoms in ase.io.read(data / "phonondb_pbe_structures.extxyz", ":")[:first]:
        dft = reference[atoms.info["mp_id"]]
        if dft["name"].startswith("NaCl"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a 5 5 3 supercell is not cubic, and the like
            relaxed, _ = relax(atoms, calc, fix_cell=True)
            matrix = atoms.info.get("primitive_matrix", np.eye(3))
            harmonic = get_phonopy(relaxed, calc, atoms.info["fc2_supercell"], primitive_matrix=matrix)
        found = np.sort(harmonic.run_qpoints(dft["qpoints"]).frequencies, axis=1)
        error = np.abs(found - np.sort(dft["frequencies_thz"], axis=1)).mean(axis=1)
        name = f"{dft['name']} {KINDS[dft['space_group']]}".strip()
        result[name] = float(np.average(error, weights=dft["weights"]))
        print(f"{name:12s} {result[name]:.3f} THz", flush=True)
    return result


def force_errors(model, data: Path) -> dict[str, float]:
    """Mean absolute force error of each element [meV/Å]."""
    calc, result = PhonaxCalculator(model, dtype="float32"), {}
    for element in ELEMENTS:
        errors = []
        for atoms, forces in dft_forces(data / "elements", element):
            atoms.calc = calc
            errors.append(np.abs(atoms.get_forces() - forces).ravel())
        if errors:
            result[element] = 1e3 * float(np.concatenate(errors).mean())
    return result


def dft_forces(folder: Path, element: str) -> list[tuple[Atoms, np.ndarray]]:
    """Frames of the test set of an element, spread through it."""
    path = folder / f"{element}_test.json.xz"
    if not path.exists():
        return []
    with lzma.open(path) as file:
        entries = json.load(file)
    result = []
    for entry in entries[:: max(1, len(entries) // FORCE_FRAMES)]:
        structure = entry["structure"]
        sites = structure["sites"]
        atoms = Atoms(
            [site["species"][0]["element"] for site in sites],
            positions=[site["xyz"] for site in sites],
            cell=structure["lattice"]["matrix"],
            pbc=True,
        )
        result.append((atoms, np.array(entry["outputs"]["forces"])))
    return result


def configuration(output: Path, epochs: int, curvature: float, rate: float) -> dict:
    return {
        "loss": {"energy": 0.1, "forces": 1.0, "stress": 0.1, "curvature": curvature},
        "optimiser": {"epochs": epochs, "batch_size": 4, "learning_rate": rate, "ema": 0.99, "warmup": 0.05},
        "run": {"output": str(output), "n_shapes": 1, "checkpoint_seconds": 60, "name": "tuned"},
    }


def tune(options: argparse.Namespace, data: Path) -> None:
    rng = np.random.default_rng(0)
    base = load_model(options.model)
    constants = force_constants(data)
    if options.quick:
        constants = [frame for frame in constants if set(frame.atoms.numbers) <= set(base.numbers)]
    others = other_structures(data, base.numbers, rng)[: 2 if options.quick else None]
    remembered = own_labels(base, others, rng)
    repeat = 1 if options.quick else options.repeat
    training = [frame for frame in constants for _ in range(repeat)] + remembered
    config = configuration(options.output / "tuned", options.epochs, options.curvature, options.rate)
    done = (options.output / "tuned" / "checkpoint.h5").exists()
    fine_tune(base, config, frames=(training, []), resume=done, report=show)


def show(row) -> None:
    print(f"epoch {row['epoch']:3d}  loss {row['loss']:.5f}  {row['seconds']:.0f} s", flush=True)


def measure(options: argparse.Namespace, data: Path) -> None:
    """Errors before and after, each kept once computed."""
    models = {"before": load_model(options.model), "after": load_model(options.output / "tuned" / "model.h5")}
    first = 1 if options.quick else options.first
    for when, model in models.items():
        path = options.output / f"errors_{when}.json"
        if path.exists():
            continue
        model = replace(model, name=when)
        forces = {} if options.quick else force_errors(model, data)
        found = {"frequencies_thz": {} if options.quick else frequency_errors(model, data, first), "forces": forces}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1))
        os.replace(part, path)


def report(folder: Path, to: Path) -> None:
    """Table and figure."""
    before, after = (json.loads((folder / f"errors_{w}.json").read_text()) for w in ("before", "after"))
    names = [n for n in before["frequencies_thz"] if n in after["frequencies_thz"]]
    a, b = (np.array([x["frequencies_thz"][n] for n in names]) for x in (before, after))
    print(
        f"{len(names)} crystals: mean {a.mean():.3f} -> {b.mean():.3f} THz, median {np.median(a):.3f} -> "
        f"{np.median(b):.3f}; better on {(b < a).sum()}"
    )
    for element, value in before["forces"].items():
        new = after["forces"][element]
        print(f"  forces of {element}: {value:.1f} -> {new:.1f} meV/Å ({100 * (new / value - 1):+.0f} %)")
    with (to / "errors.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["what", "unit", "before", "after"])
        writer.writerows([n, "THz", f"{x:.4f}", f"{y:.4f}"] for n, x, y in zip(names, a, b, strict=True))
        writer.writerows(
            [f"forces {e}", "meV/Å", f"{v:.2f}", f"{after['forces'][e]:.2f}"] for e, v in before["forces"].items()
        )
    draw(names, a, b, to / "errors.png")


def draw(names, before, after, path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    axes = figure.subplots()
    ends = [0.9 * min(before.min(), after.min()), 1.1 * max(before.max(), after.max())]
    axes.loglog(ends, ends, color="0.7", lw=1)
    axes.scatter(before, after, s=16, color=np.where(after < before, "#0072b2", "#d55e00"))
    ratio = after / before
    for n, k in enumerate([*np.argsort(ratio)[:4], *np.argsort(ratio)[-2:]]):
        place = (4, 3 if n % 2 else -8)  # neighbours in that order lie close
        axes.annotate(names[k], (before[k], after[k]), xytext=place, textcoords="offset points", fontsize=7)
    axes.set(xlabel="before tuning: error [THz]", ylabel="after: error [THz]", xlim=ends, ylim=ends)
    axes.set_title(f"{len(names)} crystals not tuned on", fontsize=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([0.05, 0.1, 0.2, 0.5, 1, 2]))
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="phonax-small")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=12, help="times the force constants count in an epoch")
    parser.add_argument("--curvature", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--first", type=int, help="crystals of phononDB to measure; all by default")
    parser.add_argument("--output", type=Path, default=Path("runs/fine_tuning"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if "PHONAX_DATA" not in os.environ:
        print("PHONAX_DATA is not set: there are no force constants to tune on")
        return
    data = Path(os.environ["PHONAX_DATA"])
    if "data" in {p.name for p in data.iterdir()}:
        data = data / "data"
    if options.quick:
        options.epochs = 2
    if not options.report:
        tune(options, data)
        measure(options, data)
    if not options.quick:
        report(options.output, HERE)


if __name__ == "__main__":
    main()
