"""Makes the molecular model that ships: a potential of crystals learns PBE/def2-SVP, measured on unseen molecules.

    python examples/molecular_model/make.py                     everything; a day, and a second start goes on
    python examples/molecular_model/make.py xtb pbe             labels: needs pip install rdkit tblite pyscf
    python examples/molecular_model/make.py energies            energies alone, from Nequix: two hours
    python examples/molecular_model/make.py train measure card  the rest; without `energies`, of the model that ships
    python examples/molecular_model/make.py --quick             a few steps on the labels in data/, to see that it runs

Which molecules: molecules.py. Geometries: xtb.py; labels: pbe.py. With PHONAX_DATA set, frames of ethanol with
PBE/def2-SVP Hessians are taken as well. What was found is in README.md.
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

import labels
import numpy as np
from labels import Labelled
from tested import TESTED_KINDS

from ase_phonax import Frame

STEPS = ("xtb", "pbe", "energies", "train", "measure", "card")
NAME = "phonax-molecules"
MODELS = HERE.parents[1] / "models"
START = "nequix-mp-1"
LEVEL = "imitates PBE/def2-SVP (PySCF); learned on from Nequix (PBE, Materials Project)"
CITATION = (
    "learned on from Nequix, T. Koker, M. Kotak, T. Smidt, arXiv:2508.16067 (weights nequix-mp-1, MIT licence); its "
    "labels: PySCF, Q. Sun et al., J. Chem. Phys. 153, 024109 (2020)"
)
KEPT = 7  # every seventh dipole is learned on beside Born charges
SMALL = {"cutoff": 5.0, "hidden_irreps": "8x0e + 4x1o + 2x2e", "n_layers": 1, "radial_sizes": [8]}  # of --quick
IN_FIELDS = (
    "; on {molecules} unseen molecules dipoles {dipole_mae_debye:.3f} D (components), polarizabilities "
    "{polarizability_percent:.1f} %, strong lines along its own modes {infrared_percent:.0f} % in infrared, "
    "{raman_percent:.0f} % in Raman"
)


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

    unpack(labels.HESSIANS, options.labels / "pbe")
    label_all(options.labels / "pbe", options.labels / "xtb")
    pack(options.labels / "pbe", labels.HESSIANS)


def unpack(path: Path, folder: Path) -> None:
    """A file for each molecule, as `pbe.label_all` writes it, where there is none yet."""
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(path) as file:
        names = sorted({key.split("/")[0] for key in file})
        for name in names:
            if not (folder / f"{name}.npz").exists():
                arrays = {key.split("/")[1]: file[key] for key in file if key.startswith(f"{name}/")}
                np.savez_compressed(folder / f"{name}.npz", **arrays)


def labelled(options: argparse.Namespace) -> list[Labelled]:
    """All frames."""
    if options.quick:
        return [own for path in sorted((options.labels / "pbe").glob("*.npz")) for own in labels.of_file(path)]
    return labels.of_pbe()


def energies(options: argparse.Namespace) -> None:
    """A network that knows energies alone: Nequix, fine-tuned to PBE/def2-SVP; from nothing for a quick one."""
    known = [own for own in labelled(options) if own.frame.energy is not None]
    training, valid = by_split(known)
    stage(options, "energies", None if options.quick else options.start, training + ethanol(options), valid)


def train(options: argparse.Namespace) -> None:
    """Dipoles and polarizabilities of a network that knows energies, which stay as they are, bit for bit."""
    known = options.output / "energies/model.h5"
    training, valid = by_split(labels.of_pbe())
    in_fields = [frame for frame in training if frame.born_charges is not None]
    if options.quick:
        training = [frame for frame in training if frame.polarizability is not None and max(frame.atoms.numbers) < 9]
        training, valid, in_fields = training[:4], [], training[:4]
    dipoles = [frame for frame in training if frame.dipole is not None]
    watched = [frame for frame in valid if frame.dipole is not None]
    first = stage(options, "outputs", known if known.exists() else MODELS / f"{NAME}.h5", dipoles, watched)
    # Without some of the others, dipoles of molecules that have no more would be forgotten.
    others = [frame for frame in dipoles if frame.born_charges is None][::KEPT]
    stage(options, "responses", first, in_fields + others, watched)


def by_split(known: list[Labelled]) -> tuple[list[Frame], list[Frame]]:
    """Frames to learn from, and those held out."""
    return tuple([own.frame for own in known if own.split == split] for split in ("train", "held out"))


def ethanol(options: argparse.Namespace) -> list[Frame]:
    """Those of the reference data, where they are."""
    return [] if options.quick else labels.of_ethanol()


def stage(options: argparse.Namespace, name: str, start: str | Path | None, training: list, valid: list) -> Path:
    """The model of one stage of train.yaml, trained unless it is there."""
    from ase_phonax import fine_tune
    from ase_phonax import train as from_nothing
    from ase_phonax.base.settings import read_yaml

    folder = options.output / name
    if (folder / "model.h5").exists():
        return folder / "model.h5"
    settings = read_yaml(HERE / "train.yaml")
    own = settings[name]
    own["run"] = settings["run"] | {"output": str(folder), "devices": "all"} | own["run"]
    own["optimiser"] = settings["optimiser"] | own["optimiser"]
    own["data"] = {"valid": 0}
    if options.quick:
        own["optimiser"]["epochs"] = 2
    print(f"{name}: {len(training)} frames, {len(valid)} to validate", flush=True)
    how = {"frames": (training, valid), "resume": (folder / "checkpoint.h5").exists(), "report": show}
    if start is None:
        own |= {"network": SMALL, "fine_tune": {}}
        from_nothing(own, **how)
    else:
        fine_tune(start, own, **how)
    return folder / "model.h5"


def show(row: dict) -> None:
    """One line an epoch; the one before the first has no loss."""
    loss = f"  loss {row['loss']:.5f}" if "loss" in row else ""
    valid = f"  validation {row['valid_loss']:.4f}" if "valid_loss" in row else ""
    print(f"epoch {row['epoch']:3d}{loss}{valid}  {row.get('seconds', 0):.0f} s", flush=True)


def measure(options: argparse.Namespace) -> None:
    """Errors on molecules never trained on, against the level of theory itself."""
    import measure as measuring
    import measure_fields

    measuring.run(options)
    if not options.quick:
        measure_fields.run(options)


def card(options: argparse.Namespace) -> None:
    """The model and what is known of it, where named models lie; a quick one stays in the output folder."""
    from ase.data import chemical_symbols

    from ase_phonax import load_model, save_model

    to = options.output if options.quick else MODELS
    learned = load_model(options.output / "responses/model.h5")
    measured = json.loads((options.output / "summary.json").read_text())
    if set(measured["failed"]) - set(TESTED_KINDS.values()) and not options.quick:
        sys.exit(f"not fit to ship: it takes {', '.join(measured['failed'])} apart")
    measured["rows"] = [
        {k: v for k, v in row.items() if not k.endswith("_cm1") or k == "rms_cm1"} for row in measured["rows"]
    ]
    learned_from = {own.smiles for own in labels.of_pbe() if own.split == "train"}
    content = {
        "name": NAME,
        "elements": [chemical_symbols[z] for z in learned.numbers],
        "level_of_theory": LEVEL,
        "n_parameters": learned.n_parameters,
        "training_set": f"{len(learned_from)} molecules and {labels.ETHANOL} frames of ethanol by PBE/def2-SVP, after "
        "crystals by PBE (MPtrj); energies, forces, Hessians, dipoles, polarizabilities and their derivatives",
        "licence": "MIT",
        "citation": CITATION,
        "purpose": "molecules",
        "summary": "ships with the package; vibrations of organic molecules near equilibrium. Not for crystals, "
        "ions, radicals, reactions or elements outside its list; torsions of groups that turn all but freely are "
        "unreliable",
        "errors": f"on {measured['molecules']} unseen molecules, against PBE/def2-SVP: frequencies "
        f"{measured['rms_cm1']:.1f} cm⁻¹ RMS, bonds {1000 * measured['bonds_rms']:.1f} mÅ; on "
        f"{measured['molecules_of_kinds']} of rarer kinds {measured['rms_cm1_of_kinds']:.1f} cm⁻¹, "
        f"{measured['imaginary_of_kinds']} imaginary; forces of "
        f"{measured['molecules_forces']} displaced ones {1000 * measured['forces_mae']:.0f} meV/Å (mean absolute)",
        "how_to_make_it_again": "PHONAX_DATA=... python examples/molecular_model/make.py",
        "measured": measured,
    }
    if (path := options.output / "in_fields.json").exists():
        measured["in_fields"] = in_fields = json.loads(path.read_text())
        content["errors"] += IN_FIELDS.format(**in_fields)
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
    parser.add_argument("--start", default=START, help="what energies are learned on from (default: %(default)s)")
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
