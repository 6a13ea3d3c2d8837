"""Makes the model that ships, from its teacher and a list of crystals, and measures it.

    python examples/general_model/make.py                 everything; hours, and a second start goes on
    python examples/general_model/make.py structures label imitate train     some of it
    python examples/general_model/make.py --quick                         a few crystals and steps, to see that it runs

Crystals are those of `crystals.py`, the teacher labels them by `recipe.yaml`. Of five trainings by `train.yaml` the
first is the model that ships and the second differs in nothing but second derivatives; the next two are such a pair
from random parameters, without imitation, with second derivatives of crystals at rest alone; the last is of a small
MACE. What is measured, and how, is in `measure.py`; what was found is in README.md.
"""

import argparse
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

STEPS = ("structures", "label", "imitate", "train", "measure", "figure", "card")
NAME = "phonax-small"
MODELS = HERE.parents[1] / "models"
CITATION = (
    "its teacher: T. Koker, M. Kotak, T. Smidt, arXiv:2508.16067; T. Koker et al., arXiv:2601.07742; its crystals: "
    "G. Petretto et al., Scientific Data 5, 180065 (2018)"
)
SIDES = ("hessians", "forces", "random-hessians", "random-forces", "mace")
QUICK_SIDES = ("hessians", "forces", "mace")  # every kind of start, label and network


def structures(options: argparse.Namespace) -> None:
    """Crystals, those held out marked: as the teacher has relaxed them, or as they were published."""
    import gzip

    import crystals

    path = options.output / "structures.extxyz"
    if path.exists():
        return
    if options.quick or options.relax:
        crystals.write_structures(path, data_folder() / "born_dielectric_pbesol_train.xyz", options.quick)
        return
    part = path.with_suffix(".part")
    part.write_bytes(gzip.decompress((HERE / "crystals.extxyz.gz").read_bytes()))
    part.replace(path)


def label(options: argparse.Namespace) -> None:
    """Frames of all of them, by `ase-phonax label`; then D(q) of one strained frame of each that is not held out."""
    import ase.io

    from ase_phonax.base.settings import read_yaml

    settings = read_yaml(HERE / "recipe.yaml")
    label_by(settings | {"relax": options.quick or options.relax}, "structures", "labels", options)
    path = options.output / "moved.extxyz"
    if not path.exists():
        part = path.with_suffix(".part")
        ase.io.write(part, [displaced[-1].atoms for _, _, displaced in learned_crystals(options)], format="extxyz")
        part.replace(path)
    label_by({"relax": False, "perturbations": [{"waves": 1}], "seed": settings["seed"] + 1}, "moved", "bent", options)


def label_by(settings: dict, structures: str, labels: str, options: argparse.Namespace) -> None:
    from ase_phonax.cli import main

    recipe = options.output / f"{labels}.yaml"
    recipe.write_text(json.dumps(settings) + "\n")  # JSON is YAML
    arguments = ["label", options.output / f"{structures}.extxyz", "--model", options.teacher, "--dtype", "float32"]
    arguments += ["--recipe", recipe, "--output", options.output / labels]
    arguments += ["--workers", options.workers, *(["--quiet"] if options.quick else [])]
    if main([str(a) for a in arguments]):
        sys.exit("nothing could be labelled")


def learned_crystals(options: argparse.Namespace):
    """Of each crystal that is not held out: the structure, its frame at rest, and two of the four displaced ones.

    By turns along the labels the first and third or the second and fourth; of both pairs the last is strained.
    """
    import ase.io

    from ase_phonax import read_frames

    structures = ase.io.read(options.output / "structures.extxyz", ":")
    for k, path in enumerate(sorted((options.output / "labels/frames").glob("*.h5"))):
        atoms = structures[int(path.name.split("-")[0])]
        if not atoms.info["held_out"]:
            first, *moved = read_frames(path)
            yield atoms, first, moved[k % 2 :: 2]


def frames(options: argparse.Namespace, second: bool = True, bent: bool = False) -> tuple[list, list]:
    """Frames of crystals to train on and to validate with: the same frames always, with more or fewer labels.

    Second derivatives are weighed against the size of all that are there. An unstable relaxation leaves labels that are
    right but of a structure nobody would call a crystal: `is_sane`.

    Args:
        second: whether crystals at rest have their second derivatives.
        bent: whether one of the two displaced frames of each that is trained on has them, too.
    """
    from dataclasses import replace

    import crystals

    paths = (options.output / "bent/frames").glob("*.h5") if bent else ()
    more = {int(path.name.split("-")[0]): path for path in paths}
    training: list = []
    validation: list = []
    for k, (atoms, first, moved) in enumerate(learned_crystals(options)):
        validated = crystals.is_validated(atoms)
        if k in more and not validated:
            moved[-1] = replace(moved[-1], second=second_of(moved[-1], more[k]))
        own = [f if second else replace(f, second=None) for f in (first, *moved) if is_sane(f)]
        (validation if validated else training).extend(own)
    typical = typical_size(training)
    return weighted(training, typical), weighted(validation, typical)


def second_of(frame, path: Path):
    """Second derivatives from another file, of the same structure."""
    import numpy as np

    from ase_phonax import read_frames

    found = read_frames(path)[0]
    here, there = frame.atoms, found.atoms
    if list(here.numbers) != list(there.numbers) or not np.allclose(here.positions, there.positions, atol=1e-6):
        sys.exit(f"{path} is of another structure than its frame: remove moved.extxyz and bent/, and label again")
    return found.second


LARGEST_FORCE = 20.0  # eV/Å: beyond, two atoms have been pushed into each other
SOFTER, STIFFER = 10.0, 0.1  # largest and smallest weight of a crystal


def is_sane(frame) -> bool:
    import numpy as np

    return bool(np.abs(frame.forces).max() < LARGEST_FORCE)


def size_of(frame) -> float:
    """Root mean square entry of its second derivatives [eV/Å²]. So larger cells count more than by their columns."""
    import numpy as np

    return float(np.sqrt(np.mean(np.abs(frame.second.matrices) ** 2)))


def typical_size(frames: list) -> float:
    import numpy as np

    sizes = [size_of(f) for f in frames if f.second is not None]
    return float(np.sqrt(np.mean(np.square(sizes)))) if sizes else 1.0


def weighted(frames: list, typical: float) -> list:
    """The same, second derivatives of soft crystals counting more: what is wanted are errors relative to each crystal.

    By the power -1.5 of their size: errors relative to each alone (-2) would let a few very soft ones rule.
    """
    from dataclasses import replace

    import numpy as np

    def weight(frame) -> float:
        return float(np.clip(max(size_of(frame) / typical, 1e-3) ** -1.5, STIFFER, SOFTER))

    return [f if f.second is None else replace(f, weights=(("curvature", weight(f)),)) for f in frames]


def settings_of(options: argparse.Namespace) -> dict:
    """The file's, and its sections `mace` and `imitation` apart."""
    from ase_phonax.base.settings import read_yaml

    settings = read_yaml(options.settings)
    settings["run"] |= {"devices": "all"}
    if options.quick:
        settings["optimiser"] |= {"epochs": 2}
        settings["imitation"] |= {"epochs": 2}
        settings["mace_optimiser"] |= {"epochs": 2}
    if options.epochs:
        settings["optimiser"] |= {"epochs": options.epochs}
        settings["mace_optimiser"] |= {"epochs": options.epochs}
    return settings


def imitate(options: argparse.Namespace) -> None:
    """First parameters from what the teacher computes inside. No labels are used, and no second derivatives."""
    import numpy as np

    import ase_phonax

    path = options.output / "start.h5"
    if path.exists():
        return
    settings = settings_of(options)
    settings["optimiser"] = settings.pop("imitation")
    del settings["mace"], settings["mace_optimiser"]
    training, _ = frames(options)
    rng = np.random.default_rng(settings["run"]["seed"])
    structures = [disordered(f, rng) for f in training if f.second is not None or rng.random() < MOVED]
    print(f"{len(structures)} structures", flush=True)
    learned = ase_phonax.imitate(settings, options.teacher, training, structures, show_imitation)
    ase_phonax.save_model(learned, path)


MOVED = 0.5  # part of the displaced frames that are imitated
NOISE = 0.03  # Å


def disordered(frame, rng):
    """The structure; of a crystal at rest a pair of cells, the atoms moved: then no two are alike."""
    import numpy as np

    atoms = frame.atoms.copy()
    if frame.second is None:
        return atoms
    repeat = np.ones(3, int)
    repeat[np.argmin(atoms.cell.lengths())] = 2
    atoms = atoms.repeat(repeat)
    atoms.positions += NOISE * rng.standard_normal(atoms.positions.shape)
    return atoms


def show_imitation(row) -> None:
    print(f"epoch {row['epoch']:3d}  " + "  ".join(f"{k} {v:.4f}" for k, v in row.items() if k != "epoch"), flush=True)


def train(options: argparse.Namespace) -> None:
    """The model, an identical run without second derivatives, both from random parameters, and a small MACE."""
    from ase_phonax import fine_tune
    from ase_phonax import train as run

    for side in options.sides:
        second, imitated = "forces" not in side, side in ("hessians", "forces")
        settings = settings_of(options)
        del settings["imitation"]
        mace, optimiser = settings.pop("mace"), settings.pop("mace_optimiser")
        folder = options.output / side
        settings["run"] |= {"output": str(folder)}
        if not second:
            settings["loss"] |= {"curvature": 0.0}
        if side == "mace":
            settings["network"] = mace
            settings["optimiser"] |= optimiser
        if imitated:
            del settings["network"]
            settings["fine_tune"] = {"energies": "shift"}
        if (folder / "model.h5").exists():
            continue
        training, validation = frames(options, second, bent=side == "hessians")
        print(f"{side}: {len(training)} frames, {len(validation)} to validate", flush=True)
        resume = (folder / "checkpoint.h5").exists()
        if imitated:
            start = options.output / "start.h5"
            fine_tune(start, settings, frames=(training, validation), resume=resume, report=show)
        else:
            run(settings, frames=(training, validation), resume=resume, report=show)


def show(row) -> None:
    validation = f"  validation {row['valid_loss']:.5f}" if row.get("valid_loss") else ""
    loss = f"  loss {row['loss']:.5f}" if "loss" in row else ""  # epoch 0 is the model as it was
    print(f"epoch {row['epoch']:3d}{loss}{validation}  {row['seconds']:.0f} s", flush=True)


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
    from dataclasses import replace

    from ase.data import chemical_symbols

    from ase_phonax import load_model, save_model

    to = options.output if options.quick else MODELS
    learned = load_model(options.output / "hessians/model.h5")
    counts = learned.provenance.training["labels"]["train"]
    measured = json.loads((options.output / "summary.json").read_text())
    held = measured.get("hessians, held out", {})
    if not options.quick and held.get("model") != learned.fingerprint()[:12]:
        sys.exit("this model has not been measured: run the step measure")
    teacher = Path(options.teacher).stem
    n_labelled = sum(1 for _ in (options.output / "labels/frames").glob("*.h5"))
    content = {
        "name": NAME,
        "elements": [chemical_symbols[z] for z in learned.numbers],
        "level_of_theory": learned.provenance.level_of_theory,
        "n_parameters": learned.n_parameters,
        "training_set": f"{counts['forces']} frames: energies, forces and stresses, D(q) of {counts['curvature']} of "
        f"them, at rest and displaced; labelled by {teacher}; of {n_labelled} crystals {held.get('crystals', 0)} held "
        "out by formula",
        "licence": "MIT",
        "purpose": "crystals",
        "summary": "ships with the package; quick; crystals near equilibrium. Not for molecules, surfaces, liquids, "
        "soft metals (Li, Na, K, Rb, Cs, Sr, Ba) or elements outside its list",
        "citation": CITATION,
        "errors": f"against its teacher on {held.get('crystals', 0)} crystals it was not trained on: D(q) "
        f"{100 * held.get('relative_error_median', float('nan')):.0f} % (median), frequencies "
        f"{held.get('mae_thz_median', float('nan')):.2f} THz",
        "how_to_make_it_again": "python examples/general_model/make.py",
        "measured": {k: found for k, found in measured.items() if k.split(",")[0] in ("hessians", "forces")},
    }
    # In the file too: every summary.json takes it from there.
    known = {key: content[key] for key in ("level_of_theory", "training_set", "licence", "citation")}
    potential = replace(learned, name=NAME, provenance=replace(learned.provenance, **known))
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
    parser.add_argument("--relax", action="store_true", help="crystals as published, relaxed anew: half an hour more")
    parser.add_argument("--settings", type=Path, default=HERE / "train.yaml", help="of the training")
    parser.add_argument("--epochs", type=int, help="other than the settings say")
    parser.add_argument("--sides", nargs="+", choices=SIDES, help="trainings; default: all, three with --quick")
    parser.add_argument("--output", type=Path, default=Path("runs/general"), help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes; default: all cores")
    options = parser.parse_args()
    if unknown := set(options.steps) - set(STEPS):
        parser.error(f"there is no step {', '.join(sorted(unknown))}; steps are {', '.join(STEPS)}")
    if "PHONAX_DATA" not in os.environ and (options.quick or options.relax):
        print("PHONAX_DATA is not set: it is the folder that holds born_dielectric_pbesol_train.xyz (README.md)")
        return
    options.sides = options.sides or (QUICK_SIDES if options.quick else SIDES)
    if options.quick:
        options.teacher, options.workers = "phonax-small", 1
    # JAX takes a processor for one device unless told; set before it is imported.
    n_devices = f"--xla_force_host_platform_device_count={options.workers}"
    os.environ["XLA_FLAGS"] = f"{n_devices} {os.environ.get('XLA_FLAGS', '')}"
    options.output.mkdir(parents=True, exist_ok=True)
    if not options.quick:  # a second start compiles nothing
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(options.output.resolve() / "compiled"))
    for step in options.steps or STEPS:
        globals()[step](options)


if __name__ == "__main__":
    main()
