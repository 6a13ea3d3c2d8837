"""Makes the molecular model that ships: learned from GFN2-xTB, corrected by PBE/def2-SVP, measured on unseen molecules.

    python examples/molecular_model/make.py                     everything; hours, and a second start goes on
    python examples/molecular_model/make.py xtb pbe             labels: needs pip install rdkit tblite pyscf
    python examples/molecular_model/make.py train measure card  the rest: ase-phonax alone
    python examples/molecular_model/make.py --quick             a few steps on the labels in data/, to see that it runs

Which molecules: molecules.py. Labels: xtb.py, pbe.py. With PHONAX_DATA set, frames of ethanol with PBE/def2-SVP
Hessians are taken as well. What was found is in README.md.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from ase import Atoms

STEPS = ("xtb", "pbe", "train", "measure", "card")
NAME = "phonax-molecules"
MODELS = HERE.parents[1] / "models"
PACKED = HERE / "data/pbe.npz"  # labels that took hours
LEVEL = "imitates PBE/def2-SVP (PySCF); learned on from GFN2-xTB"
CITATION = (
    "its labels: GFN2-xTB, C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019); PySCF, Q. Sun "
    "et al., J. Chem. Phys. 153, 024109 (2020)"
)
SMALL = {"hidden_irreps": "8x0e + 4x1o", "n_layers": 1, "l_max": 1, "radial_sizes": [8]}  # of --quick
SOURCES = ("xtb", "pbe")
ETHANOL = 60  # frames with Hessians of the published set
EV_PER_HARTREE, ANGSTROM_PER_BOHR = 27.211386245988, 0.529177210903


def xtb(options: argparse.Namespace) -> None:
    """Labels by GFN2-xTB."""
    if options.quick:
        return
    from molecules import molecules, split_of
    from xtb import label_all

    splits = {smiles: split_of(smiles) for smiles in molecules()}
    (HERE / "data/splits.json").write_text(json.dumps(splits, indent=0) + "\n")
    label_all(options.labels / "xtb")


def pbe(options: argparse.Namespace) -> None:
    """Labels by PBE/def2-SVP."""
    if options.quick:
        return
    from pbe import label_all, pack

    unpack(PACKED, options.labels / "pbe")
    label_all(options.labels / "pbe", options.labels / "xtb")
    pack(options.labels / "pbe", PACKED)


def unpack(path: Path, folder: Path) -> None:
    """A file for each molecule, as `pbe.label_all` writes it, where there is none yet."""
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(path) as file:
        names = sorted({key.split("/")[0] for key in file})
        for name in names:
            if not (folder / f"{name}.npz").exists():
                arrays = {key.split("/")[1]: file[key] for key in file if key.startswith(f"{name}/")}
                np.savez_compressed(folder / f"{name}.npz", **arrays)


def read_labels(folder: Path) -> list[tuple[str, str, list]]:
    """(SMILES, split, frames) of each molecule labelled."""
    from ase_phonax import frame_of_hessian

    splits = json.loads((HERE / "data/splits.json").read_text())
    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            smiles = str(file["smiles"])
            if "numbers" not in file:
                continue
            frames = [
                frame_of_hessian(
                    Atoms(numbers, positions), hessian, energy=float(energy), forces=forces, origin=f"{path.name}@{k}"
                )
                for k, (numbers, positions, hessian, energy, forces) in enumerate(
                    zip(*(file[key] for key in ("numbers", "positions", "hessian", "energy", "forces")), strict=True)
                )
            ]
        found.append((smiles, splits[smiles], frames))
    return found


def ethanol_frames() -> list:
    """Some of the published configurations at the same level, drawn once for all."""
    from ase_phonax import frame_of_hessian

    if "PHONAX_DATA" not in os.environ:
        print("PHONAX_DATA is not set: no frames of ethanol")
        return []
    folder = Path(os.environ["PHONAX_DATA"])
    folder = folder / "data" if (folder / "data").is_dir() else folder
    with np.load(folder / "ethanol_pbe_def2svp_efh_train.npz") as file:
        chosen = np.random.default_rng(0).permutation(len(file["R"]))[:ETHANOL]
        numbers, arrays = file["Z"], [file[key][chosen] for key in "RHEG"]
    return [
        frame_of_hessian(
            Atoms(numbers, r),
            h.transpose(0, 2, 1, 3) * EV_PER_HARTREE / ANGSTROM_PER_BOHR**2,
            energy=float(e) * EV_PER_HARTREE,
            forces=-g * EV_PER_HARTREE / ANGSTROM_PER_BOHR,
        )
        for r, h, e, g in zip(*arrays, strict=True)
    ]


def train(options: argparse.Namespace) -> None:
    """From nothing on GFN2-xTB, then on from there on PBE/def2-SVP."""
    from ase_phonax import fine_tune
    from ase_phonax import train as run
    from ase_phonax.base.settings import read_yaml

    settings = read_yaml(HERE / "train.yaml")
    for stage, source in zip(("first", "second"), SOURCES, strict=True):
        folder = options.output / stage
        if (folder / "model.h5").exists():
            continue
        if source == "pbe" and not options.quick:
            unpack(PACKED, options.labels / "pbe")
        labels = read_labels(options.labels / source)
        training = [f for _, split, frames in labels if split == "train" for f in frames]
        valid = [f for _, split, frames in labels if split == "held out" for f in frames]
        if source == "pbe" and not options.quick:
            training += ethanol_frames()
        own = settings[stage]
        own["run"] = settings["run"] | {"output": str(folder), "devices": "all"} | own.get("run", {})
        own["data"] = {"valid": 0}
        if options.quick:
            own["optimiser"] |= {"epochs": 2}
            if stage == "first":
                own["network"] |= SMALL
        print(f"{source}: {len(training)} frames, {len(valid)} to validate", flush=True)
        resume = (folder / "checkpoint.h5").exists()
        if stage == "first":
            run(own, frames=(training, valid), resume=resume, report=show)
        else:
            fine_tune(options.output / "first/model.h5", own, frames=(training, valid), resume=resume, report=show)


def show(row: dict) -> None:
    """One line an epoch; the one before the first has no loss."""
    loss = f"  loss {row['loss']:.5f}" if "loss" in row else ""
    valid = f"  validation {row['valid_loss']:.4f}" if "valid_loss" in row else ""
    print(f"epoch {row['epoch']:3d}{loss}{valid}  {row.get('seconds', 0):.0f} s", flush=True)


def measure(options: argparse.Namespace) -> None:
    """Errors on molecules never trained on, against the level of theory itself."""
    import measure as measuring

    measuring.run(options)


def card(options: argparse.Namespace) -> None:
    """The model and what is known of it, where named models lie; a quick one stays in the output folder."""
    from ase.data import chemical_symbols

    from ase_phonax import load_model, save_model

    to = options.output if options.quick else MODELS
    learned = load_model(options.output / "second/model.h5")
    measured = json.loads((options.output / "summary.json").read_text())
    if measured["failed"] and not options.quick:
        sys.exit(f"not fit to ship: it takes {', '.join(measured['failed'])} apart")
    measured["rows"] = [
        {k: v for k, v in row.items() if not k.endswith("_cm1") or k == "rms_cm1"} for row in measured["rows"]
    ]
    labels = [read_labels(options.labels / source) for source in SOURCES]
    counts = [sum(split == "train" and bool(frames) for _, split, frames in found) for found in labels]
    content = {
        "name": NAME,
        "elements": [chemical_symbols[z] for z in learned.numbers],
        "level_of_theory": LEVEL,
        "n_parameters": learned.n_parameters,
        "training_set": f"{counts[0]} molecules by GFN2-xTB, {counts[1]} of them and {ETHANOL} frames of ethanol by "
        "PBE/def2-SVP; energies, forces, Hessians",
        "licence": "MIT",
        "citation": CITATION,
        "purpose": "molecules",
        "summary": "ships with the package; vibrations of organic molecules near equilibrium. Not for crystals, "
        "ions, radicals, reactions, nitro groups, peroxides or elements outside its list; torsions of dienes and "
        "esters are unreliable",
        "errors": f"on {measured['molecules']} unseen molecules, against PBE/def2-SVP: frequencies "
        f"{measured['rms_cm1']:.0f} cm⁻¹ RMS, bonds {1000 * measured['bonds_rms']:.0f} mÅ; forces of "
        f"{measured['molecules_forces']} displaced ones {1000 * measured['forces_mae']:.0f} meV/Å (mean absolute)",
        "how_to_make_it_again": "PHONAX_DATA=... python examples/molecular_model/make.py",
        "measured": measured,
    }
    # In the file too: every summary.json takes it from there.
    known = {key: content[key] for key in ("level_of_theory", "training_set", "licence", "citation")}
    potential = replace(learned, name=NAME, provenance=replace(learned.provenance, **known))
    save_model(potential, to / f"{NAME}.h5", overwrite=True)
    part = to / f"{NAME}.part"
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    part.replace(to / f"{NAME}.json")
    print(f"{NAME}: {potential.n_parameters:,} parameters, {(to / f'{NAME}.h5').stat().st_size / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="two epochs on the few labels in data/")
    parser.add_argument("--output", type=Path, default=Path("runs/molecular"), help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="devices to train on; default: all cores")
    options = parser.parse_args()
    if unknown := set(options.steps) - set(STEPS):
        parser.error(f"there is no step {', '.join(sorted(unknown))}; steps are {', '.join(STEPS)}")
    # JAX takes a processor for one device unless told; set before it is imported.
    n_devices = f"--xla_force_host_platform_device_count={options.workers}"
    os.environ["XLA_FLAGS"] = f"{n_devices} {os.environ.get('XLA_FLAGS', '')}"
    options.labels = HERE / "data/quick" if options.quick else options.output
    options.output.mkdir(parents=True, exist_ok=True)
    for step in options.steps or STEPS:
        globals()[step](options)


if __name__ == "__main__":
    main()
