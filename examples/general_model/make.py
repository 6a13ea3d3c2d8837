"""Makes the model that ships, from its teacher and a list of crystals, and measures it.

    PHONAX_DATA=... python examples/general_model/make.py                 everything; hours, and a second start goes on
    PHONAX_DATA=... python examples/general_model/make.py structures label train measure     some of it
    python examples/general_model/make.py --quick                         a few crystals and steps, to see that it runs

Crystals are those of `crystals.py`, the teacher labels them by `recipe.yaml`; two trainings by `train.yaml` differ in
nothing but second derivatives, a third is of a small MACE. What is measured, and how, is in `measure.py`; what was
found is in README.md.
"""

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

STEPS = ("structures", "label", "train", "measure", "figure", "card")
NAME = "phonax-small"
MODELS = HERE.parents[1] / "models"
SIDES = ("hessians", "forces", "mace")


def structures(options: argparse.Namespace) -> None:
    """Crystals, those held out marked."""
    import crystals

    path = options.output / "structures.extxyz"
    if not path.exists():
        crystals.write_structures(path, data_folder() / "born_dielectric_pbesol_train.xyz", options.quick)


def label(options: argparse.Namespace) -> None:
    """Frames of all of them, by `ase-phonax label`."""
    from ase_phonax.cli import main

    arguments = ["label", options.output / "structures.extxyz", "--model", options.teacher, "--dtype", "float32"]
    arguments += ["--recipe", HERE / "recipe.yaml", "--output", options.output / "labels"]
    arguments += ["--workers", options.workers, *(["--quiet"] if options.quick else [])]
    if main([str(a) for a in arguments]):
        sys.exit("nothing could be labelled")


def frames(options: argparse.Namespace, second: bool = True) -> tuple[list, list]:
    """Frames of crystals to train on and to validate with; without second derivatives if wished.

    An unstable relaxation leaves labels that are right but of a structure nobody would call a crystal: `is_sane`.
    """
    from dataclasses import replace

    import ase.io
    import crystals

    from ase_phonax import read_frames

    structures = ase.io.read(options.output / "structures.extxyz", ":")
    training: list = []
    validation: list = []
    for path in sorted((options.output / "labels/frames").glob("*.h5")):
        atoms = structures[int(path.name.split("-")[0])]
        if not atoms.info["held_out"]:
            own = [f if second else replace(f, second=None) for f in read_frames(path) if is_sane(f)]
            (validation if crystals.is_validated(atoms) else training).extend(own)
    return training, validation


LARGEST_FORCE = 20.0  # eV/Å: beyond, two atoms have been pushed into each other


def is_sane(frame) -> bool:
    import numpy as np

    return bool(np.abs(frame.forces).max() < LARGEST_FORCE)


def train(options: argparse.Namespace) -> None:
    """The model, an identical run without second derivatives, and one of a small MACE on the same labels."""
    from ase_phonax import train as run
    from ase_phonax.settings import read_yaml

    for side in options.sides:
        settings = read_yaml(options.settings)
        mace = settings.pop("mace", None)
        folder = options.output / side
        settings["run"] |= {"output": str(folder), "devices": "all"}
        if side == "forces":
            settings["loss"] |= {"curvature": 0.0}
        if side == "mace":
            settings["network"] = mace
        if options.quick:
            settings["optimiser"] |= {"epochs": 2}
        if options.epochs:
            settings["optimiser"] |= {"epochs": options.epochs}
        if (folder / "model.h5").exists():
            continue
        training, validation = frames(options, second=side != "forces")
        print(f"{side}: {len(training)} frames, {len(validation)} to validate", flush=True)
        resume = (folder / "checkpoint.h5").exists()
        run(settings, frames=(training, validation), resume=resume, report=show)


def show(row) -> None:
    validation = f"  validation {row['valid_loss']:.5f}" if row.get("valid_loss") else ""
    print(f"epoch {row['epoch']:3d}  loss {row['loss']:.5f}{validation}  {row['seconds']:.0f} s", flush=True)


def measure(options: argparse.Namespace) -> None:
    """Errors against the teacher."""
    import measure as measuring

    measuring.run(options)


def figure(options: argparse.Namespace) -> None:
    """Distribution of the errors, and bands from each third of them."""
    import figures

    options.figures = options.output if options.quick else HERE
    figures.run(options)


def card(options: argparse.Namespace) -> None:
    """The model and what is known of it, where named models lie; a quick one stays in the output folder."""
    import json
    from dataclasses import replace

    from ase.data import chemical_symbols

    from ase_phonax import load_model, save_model

    to = options.output if options.quick else MODELS
    potential = replace(load_model(options.output / "hessians/model.h5"), name=NAME)
    measured = json.loads((options.output / "summary.json").read_text())
    held = measured.get("hessians, held out", {})
    n_labelled = sum(1 for _ in (options.output / "labels/frames").glob("*.h5"))
    content = {
        "name": NAME,
        "elements": [chemical_symbols[z] for z in potential.numbers],
        "level_of_theory": potential.provenance.level_of_theory,
        "n_parameters": potential.n_parameters,
        "training_set": f"{potential.provenance.training_set}, labelled by {options.teacher}; {n_labelled} crystals, "
        f"{held.get('crystals', 0)} of them held out by formula",
        "licence": "MIT",
        "summary": "ships with the package; quick; crystals near equilibrium. Not for molecules, surfaces, liquids or "
        "elements outside its list",
        "errors": f"against its teacher on {held.get('crystals', 0)} crystals it never saw: D(q) "
        f"{100 * held.get('relative_error_median', float('nan')):.0f} % (median), frequencies "
        f"{held.get('mae_thz_median', float('nan')):.2f} THz",
        "how_to_make_it_again": "PHONAX_DATA=... python examples/general_model/make.py",
        "measured": measured,
    }
    save_model(potential, to / f"{NAME}.h5", overwrite=True)
    part = to / f"{NAME}.part"
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.replace(to / f"{NAME}.json")
    print(f"{NAME}: {potential.n_parameters:,} parameters, {(to / f'{NAME}.h5').stat().st_size / 1e6:.2f} MB")


def data_folder() -> Path:
    folder = Path(os.environ["PHONAX_DATA"])
    return folder / "data" if (folder / "data").is_dir() else folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a few crystals, the model that ships as teacher")
    parser.add_argument("--teacher", default="nequix-mp-1-pft", help="a name or a file; default: %(default)s")
    parser.add_argument("--settings", type=Path, default=HERE / "train.yaml", help="of the training")
    parser.add_argument("--epochs", type=int, help="other than the settings say")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES, help="trainings; default: both")
    parser.add_argument("--output", type=Path, default=Path("runs/general"), help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes; default: all cores")
    options = parser.parse_args()
    if unknown := set(options.steps) - set(STEPS):
        parser.error(f"there is no step {', '.join(sorted(unknown))}; steps are {', '.join(STEPS)}")
    if "PHONAX_DATA" not in os.environ:
        print("PHONAX_DATA is not set: it is the folder that holds born_dielectric_pbesol_train.xyz (README.md)")
        return
    if options.quick:
        options.teacher, options.workers = "interim", 1
    # JAX takes a processor for one device unless told; set before it is imported.
    n_devices = f"--xla_force_host_platform_device_count={options.workers}"
    os.environ["XLA_FLAGS"] = f"{n_devices} {os.environ.get('XLA_FLAGS', '')}"
    options.output.mkdir(parents=True, exist_ok=True)
    for step in options.steps or STEPS:
        globals()[step](options)


if __name__ == "__main__":
    main()
