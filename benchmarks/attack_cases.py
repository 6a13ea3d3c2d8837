"""The kinds of cases: a valid input, damage done to it, and the command that reads it, cut short before it computes."""

import argparse
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import attack_damage as damage
import attack_inputs as inputs
import yaml
from attack_calls import QUICK, command, cut, in_words
from attack_runner import Attempt, Maker


def originals(seeds: Path) -> dict[str, str]:
    """Numbers of the undamaged sealed files."""
    return json.loads((seeds / inputs.NUMBERS).read_text(encoding="utf-8"))


def spoilt(path: Path, rng: Random, target: Path) -> str:
    """A damaged copy of a file, as text or as bytes; what was done, in words."""
    data = path.read_bytes()
    try:
        as_text = b"\0" not in data and data.decode("utf-8")
    except UnicodeDecodeError:
        as_text = ""
    changed, what = (
        damage.damage_text(as_text, rng) if as_text and rng.random() < 0.85 else damage.damage_bytes(data, rng)
    )
    target.write_bytes(changed)
    return f"{path.name}: {what}"


def structure(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A damaged structure, or a sound one with a wrong ending, read by `phonons` (now and then to the end)."""
    path = rng.choice(sorted((seeds / inputs.STRUCTURES).iterdir()))
    target = folder / path.name
    if rng.random() < 0.06:
        target = folder / f"x{rng.choice(['.cif', '.xyz', '.extxyz', '.json', '.traj', '.vasp', '.txt', '', '.h5'])}"
        shutil.copyfile(path, target)
        what = f"{path.name} named {target.name}"
    else:
        what = spoilt(path, rng, target)
    model = str(seeds / inputs.MODELS / "tiny.h5")
    run = command("phonons", str(target), "--model", model, *QUICK, "--output", "out")
    return Attempt(what, run if rng.random() < 0.04 else cut(run))


def molecule(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A damaged molecule."""
    path = rng.choice(sorted((seeds / inputs.STRUCTURES).glob("H2O*")))
    target = folder / path.name
    what = spoilt(path, rng, target)
    model = str(seeds / inputs.MODELS / "tiny.h5")
    run = command("molecule", str(target), "--model", model, "--no-relax", "--no-cell", "--output", "out")
    return Attempt(what, run)


def labelled(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A damaged structure, labelled."""
    path = rng.choice(sorted((seeds / inputs.STRUCTURES).glob("[SNHm]*")))
    target, recipe = folder / path.name, folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"relax": False, "perturbations": [{"waves": 0}]}), encoding="utf-8")
    what = spoilt(path, rng, target)
    model = str(seeds / inputs.MODELS / "tiny.h5")
    argv = ("label", str(target), "--model", model, "--recipe", str(recipe), "--workers", "1", "--output", "out")
    # A structure that fails is noted in the folder, which stays; all of them failing is exit code 2 in words.
    return Attempt(what, _noted(command(*argv)))


def _noted(run: Callable[[], int]) -> Callable[[], int]:
    """Exit code 0 where `label` names its failures in the folder: that is its way to refuse a structure."""
    return lambda: 0 if (code := run()) == 2 and Path("out/failures.csv").exists() else code


def model(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A damaged model file, by bytes or by HDF5's own means."""
    path = rng.choice(sorted((seeds / inputs.MODELS).glob("*.h5")))
    target = folder / path.name
    if rng.random() < 0.45:
        shutil.copyfile(path, target)
        what = f"{path.name}: {damage.damage_hdf5(target, rng)}"
    elif rng.random() < 0.2:
        what = _other_header(path, target, rng)
    else:
        what = spoilt(path, rng, target)
    sealed = not (rng.random() < 0.3 and damage.seal_again(target))
    what += "" if sealed else ", sealed again"
    numbers: list[Any] = []
    argv = ("phonons", str(seeds / inputs.STRUCTURES / "Si.vasp"), "--model", str(target), *QUICK, "--output", "out")
    original = originals(seeds)[path.name] if sealed else None
    return Attempt(what, cut(command(*argv), numbers), original=original, numbers=numbers)


def _other_header(path: Path, target: Path, rng: Random) -> str:
    """A model whose header says something else."""
    import h5py

    shutil.copyfile(path, target)
    with h5py.File(target, "r+") as file:
        changed, what = damage.damage_settings(json.loads(file.attrs["header"]), rng)
        # YAML of plain values is nearly JSON; what is not shall be refused.
        try:
            text = json.dumps(yaml.safe_load(changed))
        except Exception:
            text = changed.decode("utf-8", "replace").replace("\0", "")[:60_000]
        file.attrs["header"] = text
    return f"{path.name}: header, {what}"


def nequix(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A damaged Nequix checkpoint: refused, or read with a warning that nothing vouches for it."""
    import warnings

    path = rng.choice(sorted((seeds / inputs.MODELS).glob("*.nqx")))
    target = folder / path.name
    if rng.random() < 0.4:
        first, rest = path.read_bytes().split(b"\n", 1)
        changed, what = damage.damage_text(first.decode() + "\n", rng)
        target.write_bytes(changed + rest)
    else:
        changed, what = damage.damage_bytes(path.read_bytes(), rng)
        target.write_bytes(changed)
    numbers: list[Any] = []

    def run() -> int:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = inputs.model_numbers(target)
        if not said:
            numbers.append(found)
        return 0

    return Attempt(f"{path.name}: {what}", in_words(run), original=originals(seeds)[path.name], numbers=numbers)


def frames(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A damaged file of labelled frames."""
    path = rng.choice(sorted((seeds / inputs.FRAMES).iterdir()))
    target, numbers = folder / path.name, list[Any]()
    sealed = path.name == "store.h5"
    if path.suffix == ".h5" and rng.random() < 0.6:
        shutil.copyfile(path, target)
        what = f"{path.name}: {damage.damage_hdf5(target, rng)}"
        if rng.random() < 0.6 and damage.seal_again(target):
            what, sealed = what + ", sealed again", False  # the contents still have to be frames
    elif path.suffix in (".yaml", ".json") and rng.random() < 0.6:
        changed, what = damage.damage_settings(yaml.safe_load(path.read_text(encoding="utf-8")), rng)
        target.write_bytes(changed)
        what = f"{path.name}: {what}"
    else:
        what = spoilt(path, rng, target)
    run = cut(command("evaluate", str(seeds / inputs.MODELS / "tiny.h5"), str(target)), numbers)
    return Attempt(what, run, original=originals(seeds).get(path.name) if sealed else None, numbers=numbers)


def born(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """Damaged Born charges."""
    what = spoilt(seeds / inputs.BORN / "BORN", rng, folder / "BORN")
    argv = ("phonons", str(seeds / inputs.STRUCTURES / "NaCl.vasp"), "--model", str(seeds / inputs.MODELS / "tiny.h5"))
    return Attempt(what, cut(command(*argv, *QUICK, "--born", str(folder / "BORN"), "--output", "out")))


def spectrum(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A damaged spectrum."""
    path = rng.choice(sorted((seeds / inputs.SPECTRA).iterdir()))
    what = spoilt(path, rng, folder / path.name)

    def run() -> int:
        from ase_phonax import read_spectrum

        read_spectrum(folder / path.name)
        return 0

    return Attempt(what, in_words(run))


def _settings(values: dict[str, Any], rng: Random, path: Path) -> str:
    changed, what = damage.damage_settings(values, rng)
    path.write_bytes(changed)
    return what


def training(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A configuration of `train` or `fine-tune` that is none."""
    for name in ("store.h5", "frames.extxyz"):
        shutil.copyfile(seeds / inputs.FRAMES / name, folder / name)
    values = json.loads(json.dumps(inputs.TRAIN))
    values["run"]["output"] = os.path.relpath("out", folder)
    argv = ["train"]
    if rng.random() < 0.35:
        del values["network"]
        values["fine_tune"] = {"frozen": ["layer_0/*"], "energies": "shift"}
        argv = ["fine-tune", str(seeds / inputs.MODELS / "tiny.h5")]
    what = _settings(values, rng, folder / "config.yaml")
    return Attempt(f"{argv[0]}: {what}", cut(command(*argv, str(folder / "config.yaml"), "--quiet")))


def checkpoint(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A damaged checkpoint, gone on from."""
    shutil.copytree(seeds / inputs.CHECKPOINT, folder, dirs_exist_ok=True)
    path, numbers = seeds / inputs.CHECKPOINT / "out/checkpoint.h5", list[Any]()
    target = folder / "out/checkpoint.h5"
    what = damage.damage_hdf5(target, rng) if rng.random() < 0.4 else spoilt(path, rng, target)
    run = cut(command("train", str(folder / "config.yaml"), "--resume", "--quiet"), numbers)
    return Attempt(what, run, original=originals(seeds)["checkpoint.h5"], numbers=numbers)


def config(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A file for `--config` that is none."""
    values = inputs.PHONONS | {"model": str(seeds / inputs.MODELS / "tiny.h5")}
    what = _settings(values, rng, folder / "config.yaml")
    argv = ("phonons", str(seeds / inputs.STRUCTURES / "Si.vasp"), "--config", str(folder / "config.yaml"))
    return Attempt(what, cut(command(*argv)), outputs=("out", "Si-phonons"))


def recipe(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A recipe of `label` that is none."""
    what = _settings(inputs.RECIPE, rng, folder / "recipe.yaml")
    argv = ("label", str(seeds / inputs.STRUCTURES / "Si.vasp"), "--model", str(seeds / inputs.MODELS / "tiny.h5"))
    run = command(*argv, "--recipe", str(folder / "recipe.yaml"), "--workers", "1", "--output", "out")
    return Attempt(what, _noted(run))


BASES: dict[str, tuple[str, ...]] = {
    "phonons": ("Si.vasp", *QUICK),
    "molecule": ("H2O.xyz", "--no-relax"),
    "gruneisen": ("Si.vasp", "--supercell", "1"),
    "qha": ("Si.vasp", "--supercell", "1"),
    "label": ("Si.vasp", "--workers", "1"),
    "evaluate": ("Si.vasp",),
}


def option(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A value of an option that is absurd; options are those that the parsers have."""
    from ase_phonax.cli import _parser

    _, commands = _parser()
    name = rng.choice([*["phonons"] * 5, *BASES])
    actions = [a for a in commands[name]._actions if a.option_strings and a.nargs != 0 and a.dest not in ("help",)]
    action = rng.choice(actions)
    values = [rng.choice(damage.ABSURD[:-1]) for _ in range(_count(action, rng))]
    base = [str(seeds / inputs.STRUCTURES / BASES[name][0]), *_without(BASES[name][1:], action, commands[name])]
    if name == "evaluate":
        base = [str(seeds / inputs.MODELS / "tiny.h5"), str(seeds / inputs.FRAMES / "store.h5")]
    elif action.dest != "model":
        base += ["--model", str(seeds / inputs.MODELS / "tiny.h5")]
    if action.dest != "output" and name != "evaluate":
        base += ["--output", "out"]
    argv = [name, *base, action.option_strings[-1], *values]
    written = {v for v in values if v and action.dest in ("output", "log", "json", "csv")}
    run = cut(command(*argv)) if name in ("gruneisen", "qha") else command(*argv)
    return Attempt(" ".join(argv[:1] + argv[-1 - len(values) :])[:200], run, outputs=("out", *written))


def _count(action: argparse.Action, rng: Random) -> int:
    return action.nargs if isinstance(action.nargs, int) else rng.choice([1, 1, 3]) if action.nargs else 1


def _without(base: tuple[str, ...], action: argparse.Action, parser: argparse.ArgumentParser) -> list[str]:
    """Options of a base, without the one that is attacked and those that exclude it."""
    groups = [g._group_actions for g in parser._mutually_exclusive_groups if action in g._group_actions]
    names = {s for a in [action, *(a for g in groups for a in g)] for s in a.option_strings}
    kept, leaving = list[str](), False
    for word in base:
        leaving = word in names if word.startswith("--") else leaving
        kept += [] if leaving else [word]
    return kept


def path(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """A path that leads nowhere, or elsewhere than it seems, in any place where a path may stand."""
    from attack_paths import attempt

    return attempt(rng, seeds, folder)


# Name -> what makes a case, and how many there are in the whole attack.
KINDS: dict[str, tuple[Maker, int]] = {
    "structure": (structure, 420),
    "molecule": (molecule, 50),
    "label": (labelled, 70),
    "model": (model, 260),
    "nequix": (nequix, 60),
    "frames": (frames, 230),
    "training": (training, 170),
    "checkpoint": (checkpoint, 50),
    "config": (config, 120),
    "recipe": (recipe, 60),
    "born": (born, 80),
    "spectrum": (spectrum, 120),
    "option": (option, 150),
    "path": (path, 150),
}
