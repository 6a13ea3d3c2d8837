"""Makes phonax-polar, which predicts Born charges and dielectric tensors of crystals, and measures it.

    PHONAX_DATA=... python examples/polar/make.py [train] [measure] [card]
    python examples/polar/make.py --quick                  two epochs on a few crystals, to see that it runs

Data: 1365 insulators by PBEsol DFPT (G. Petretto et al., Scientific Data 5, 180065 (2018)), in PHONAX_DATA/data. They
are split by reduced formula, so that no polymorph of a test crystal is learned from: a tenth to choose settings by
(`--choose`), and a tenth that is looked at when a model is finished, by `measure`. The model that ships has learned
from all but that tenth.
"""

import argparse
import json
import os
import sys
import zlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.formula import Formula
from ase.io import read
from matplotlib.figure import Figure

from ase_phonax import Frame, load_model, predict_charges, save_figure
from ase_phonax.models.committee import save_committee
from ase_phonax.models.fields import as_components
from ase_phonax.models.polarity import dielectric_tensor, log_susceptibility
from ase_phonax.models.potential import Potential

NAME = "phonax-polar"
MODELS = HERE.parents[1] / "models"
STEPS = ("train", "measure", "card")
SMALL = {"hidden_irreps": "4x0e + 4x1o + 4x1e + 2x2e", "n_layers": 2, "l_max": 2, "radial_sizes": [8]}  # of --quick
DATA = "G. Petretto, S. Dwaraknath, H. P. C. Miranda, D. Winston et al., Scientific Data 5, 180065 (2018)"
MEMBERS = 2  # of the committee that answers: networks that learned the same from other beginnings
# Each crystal is learned from four times, its atoms moved at random, with the charges that it has at rest: networks
# that learn geometries by heart are worse elsewhere (README.md).
COPIES, MOVED = 4, 0.02  # Å
GAPS = (4.0, 8.0)  # classes of mean eps: wide, middle and small gaps


def crystals(quick: bool) -> list[tuple[str, Frame]]:
    """Part ("train", "chosen by" or "test") and labels of each."""
    if quick:
        born = np.array([1.9, -1.9])[:, None, None] * np.eye(3)
        salts = [bulk("MgO", "rocksalt", a=a) for a in (4.1, 4.2, 4.3)]
        labels = {"crystal_charges": born, "log_susceptibility": log_susceptibility(3.1 * np.eye(3))}
        return [(part, Frame(salt, **labels)) for part, salt in zip(("train", "train", "test"), salts, strict=True)]
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: it is the folder that has data/born_dielectric_pbesol_train.xyz")
    found = []
    for k, given in enumerate(read(Path(os.environ["PHONAX_DATA"]) / "data/born_dielectric_pbesol_train.xyz", ":")):
        charges, eps = given.arrays["becs"].reshape(-1, 3, 3), given.info["eps"].reshape(3, 3)
        formula = Formula(given.get_chemical_formula()).reduce()[0].format("hill")
        tenth = zlib.crc32(f"polar {formula}".encode()) % 10
        frame = Frame(
            Atoms(given.numbers, given.positions, cell=given.cell, pbc=True),
            crystal_charges=charges - charges.mean(axis=0),  # their sums are 1e-8 e
            log_susceptibility=log_susceptibility(eps),
            origin=f"{k} {formula}",
        )
        found.append((("test", "chosen by")[tenth] if tenth < 2 else "train", frame))
    return found


def folders(options: argparse.Namespace) -> list[Path]:
    """Of the members."""
    return [options.output / f"member-{k}" for k in range(1, MEMBERS + 1)]


def train(options: argparse.Namespace) -> None:
    """Each member, from nothing."""
    from ase_phonax import train as run
    from ase_phonax.base.settings import read_yaml

    parts = defaultdict(list)
    for part, frame in crystals(options.quick):
        parts[part].append(frame)
    learned = parts["train"] + ([] if options.choose else parts["chosen by"])
    print(f"{len(learned)} crystals to learn from", flush=True)
    for k, folder in enumerate(folders(options)):
        if (folder / "model.h5").exists():
            continue
        settings = read_yaml(HERE / "train.yaml")
        settings["run"] |= {"output": str(folder), "devices": "all", "seed": k}
        settings["data"] = {"valid": 0}
        if options.quick:
            settings["network"] |= SMALL
            settings["optimiser"]["epochs"] = 2
        frames = moved(learned, k), parts["chosen by"] if options.choose else []
        run(settings, frames=frames, resume=(folder / "checkpoint.h5").exists(), report=show)


def moved(frames: list[Frame], seed: int) -> list[Frame]:
    """Copies of crystals with their atoms moved at random, and the labels that they have at rest."""
    rng, copies = np.random.default_rng(seed), []
    for frame in frames * COPIES:
        atoms = frame.atoms.copy()
        atoms.positions += rng.normal(0, MOVED, atoms.positions.shape)
        copies.append(replace(frame, atoms=atoms))
    return copies


def show(row: dict) -> None:
    """One line an epoch."""
    shown = [f"epoch {row['epoch']:3d}", f"loss {row.get('loss', np.nan):.5f}"]
    shown += [f"{name} {row[name]:.4f}" for name in ("crystal_charges_mae", "log_susceptibility_mae") if name in row]
    print("  ".join([*shown, f"{row.get('seconds', 0):.0f} s"]), flush=True)


def measure(options: argparse.Namespace) -> dict:
    """Errors on formulas that were never learned from: by crystal, by element and by class of gap."""
    members = [load_model(folder / "model.h5") for folder in folders(options)]
    rows, by_element, pairs = [], defaultdict(list), defaultdict(list)
    for part, frame in crystals(options.quick):
        if part != "test":
            continue
        found = predict_charges(frame.atoms, members)
        eps = dielectric_tensor(as_components(frame.log_susceptibility))
        off = np.abs(found.charges - frame.crystal_charges)
        pairs["Born charges (e)"].append((frame.crystal_charges.ravel(), found.charges.ravel()))
        pairs["ε∞"].append((eps[np.triu_indices(3)], found.dielectric[np.triu_indices(3)]))
        for symbol, own in zip(frame.atoms.symbols, off, strict=True):
            by_element[symbol].append(float(own.mean()))
        rows.append(
            {
                "crystal": frame.origin,
                "eps": float(np.trace(eps)) / 3,
                "charges": float(off.mean()),
                "components": off.size,
                "eps_off": float(np.abs(found.dielectric - eps).mean()),
                "spread": None if found.charges_spread is None else float(found.charges_spread.mean()),
                "doubt": found.doubt,
            }
        )
    charges, eps, off = (np.array([row[key] for row in rows]) for key in ("charges", "eps", "eps_off"))
    weights = np.array([row["components"] for row in rows])
    classes = np.digitize(eps, GAPS)
    result = {
        "crystals": len(rows),
        "charges_mae": float(np.average(charges, weights=weights)),
        "charges_median_crystal": float(np.median(charges)),
        "eps_median": float(np.median(off)),
        "eps_relative_median": float(np.median(off / eps)),
        "single_networks_charges_mae": [alone(member, options.quick) for member in members],
        "doubted": sum(row["doubt"] is not None for row in rows),
        "classes": [
            {
                "eps": ("below 4", "4 to 8", "above 8")[k],
                "crystals": int((classes == k).sum()),
                "charges_mae": float(np.average(charges[classes == k], weights=weights[classes == k])),
                "eps_median": float(np.median(off[classes == k])),
            }
            for k in sorted(set(classes.tolist()))
        ],
        "elements": {symbol: [len(own), float(np.mean(own))] for symbol, own in sorted(by_element.items())},
        "rows": rows,
    }
    print(json.dumps({key: value for key, value in result.items() if key not in ("rows", "elements")}, indent=1))
    draw(pairs, options.output / "polar_parity")
    part = options.output / "measured.part"
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(options.output / "measured.json")
    return result


def alone(model: Potential, quick: bool) -> float:
    """Mean absolute error of charges by one network [e]."""
    test = [frame for part, frame in crystals(quick) if part == "test"]
    off = [np.abs(predict_charges(frame.atoms, model).charges - frame.crystal_charges).ravel() for frame in test]
    return float(np.concatenate(off).mean())


def draw(pairs: dict[str, list], stem: Path) -> None:
    """Components by the network over those by DFPT."""
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    for axes, (name, found) in zip(figure.subplots(1, 2), pairs.items(), strict=True):
        theirs, ours = (np.concatenate(parts) for parts in zip(*found, strict=True))
        if name == "ε∞":
            axes.set(xscale="symlog", yscale="symlog")  # small gaps have tensors without bounds
        ends = [min(theirs.min(), ours.min()), max(theirs.max(), ours.max())]
        axes.plot(ends, ends, color="0.6", lw=0.8)
        axes.plot(theirs, ours, ".", ms=3, alpha=0.4, color="tab:blue", markeredgewidth=0)
        axes.set(
            xlabel=f"{name}, PBEsol DFPT", ylabel=f"{name}, {NAME}", title=f"{len(found)} crystals", aspect="equal"
        )
    print("wrote " + ", ".join(map(str, save_figure(figure, stem))))


def card(options: argparse.Namespace) -> None:
    """The model and what is known of it, where named models lie; a quick one stays in the output folder."""
    from ase.data import chemical_symbols

    to = options.output if options.quick else MODELS
    members = [load_model(folder / "model.h5") for folder in folders(options)]
    learned = members[0]
    measured = json.loads((options.output / "measured.json").read_text())
    del measured["rows"]
    content = {
        "name": NAME,
        "elements": [chemical_symbols[z] for z in learned.numbers],
        "level_of_theory": "imitates PBEsol DFPT (ABINIT)",
        "n_parameters": learned.n_parameters,
        "n_members": MEMBERS,
        "training_set": "Born charges and dielectric tensors of nine tenths of 1365 insulators, split by formula",
        "licence": "MIT",
        "citation": f"its labels: {DATA}",
        "purpose": "charges",
        "summary": "Born charges and dielectric tensors of insulating crystals; no energies",
        "errors": f"on {measured['crystals']} crystals of formulas it never saw: Born charges "
        f"{measured['charges_mae']:.3f} e per component (median crystal {measured['charges_median_crystal']:.3f}), "
        f"dielectric tensor {measured['eps_median']:.2f} (median)",
        "how_to_make_it_again": "PHONAX_DATA=... python examples/polar/make.py",
        "measured": measured,
    }
    size = save_committee(members, content, to)
    print(f"{NAME}: {MEMBERS} networks of {learned.n_parameters:,} parameters, {size / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="two epochs on a few crystals")
    parser.add_argument("--choose", action="store_true", help="keep a tenth to choose settings by, and show its errors")
    parser.add_argument("--output", type=Path, default=Path("runs/polar"), help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="devices to train on; default: all cores")
    options = parser.parse_args()
    if unknown := set(options.steps) - set(STEPS):
        parser.error(f"there is no step {', '.join(sorted(unknown))}; steps are {', '.join(STEPS)}")
    # JAX takes a processor for one device unless told; set before it is imported.
    count = f"--xla_force_host_platform_device_count={options.workers}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {count}".strip()
    for step in options.steps or STEPS:
        globals()[step](options)


if __name__ == "__main__":
    main()
