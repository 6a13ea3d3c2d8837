"""Paths that lead nowhere, in every place of the command line and of configurations where a path may stand."""

import ctypes
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import attack_inputs as inputs
import yaml
from attack_calls import QUICK, command, cut
from attack_runner import Attempt

# What a path means where a file is read, and where one is written; the folder of the case is made for it.
ODD_NAMES = (
    *(
        "",
        ".",
        "..",
        "/",
        "~",
        "~/x",
        "-",
        "--",
        "a\nb",
        " ",
        "*",
        "?",
        "[x]",
        "x@0",
        "x@:",
        "@",
        "a%sb",
        "#",
        "\\",
        "'",
    ),
    *("é.h5", "\udcff\udcfe", "\udcff.h5", "x" * 300, "x/" * 3000, "a/b/c/d", "\U0001f600", "CON", ".hidden"),
)
DEVICES = ("/dev/null", "/dev/full", "/dev/zero", "/proc/self/mem", "/proc/self/fd/0", "/dev/stdout/x", "/sys/kernel")


def _made(kind: str, good: Path | None, folder: Path) -> Path:
    """A path of a kind; `good` is what a sound path would lead to."""
    name, folder = good.name if good is not None else "target", folder / "odd"
    folder.mkdir()
    target = folder / name
    if kind == "loop":
        target.symlink_to(target)
    elif kind == "dangling":
        target.symlink_to(folder / "nothing")
    elif kind == "folder":
        target.mkdir()
    elif kind == "full folder":
        target.mkdir()
        (target / "mine").write_text("mine", encoding="utf-8")
    elif kind == "fifo":
        os.mkfifo(target)
    elif kind == "link to folder":
        (folder / "real").mkdir()
        target.symlink_to(folder / "real")
    elif kind == "below a file":
        target.write_text("x", encoding="utf-8")
        target = target / "x"
    elif kind == "a file":
        target.write_text("mine", encoding="utf-8")
    elif kind == "not ours":
        (folder / "closed").mkdir()
        target = folder / "closed" / name
        if good is not None:
            shutil.copyfile(good, target)
            target.chmod(0)
        (folder / "closed").chmod(0o555)
    return target


KINDS = (
    *("loop", "dangling", "folder", "full folder", "fifo", "link to folder", "below a file", "a file", "not ours"),
    *("missing", "name", "name", "name", "device"),
)


def _roles(seeds: Path, folder: Path) -> dict[str, tuple[Path | None, Callable[[str], list[str]]]]:
    """Place of a path -> (a sound file there, or None where one is written; the command line around a path)."""
    silicon, water = str(seeds / inputs.STRUCTURES / "Si.vasp"), str(seeds / inputs.STRUCTURES / "H2O.xyz")
    tiny, store = str(seeds / inputs.MODELS / "tiny.h5"), str(seeds / inputs.FRAMES / "store.h5")
    run = ["phonons", silicon, "--model", tiny, *QUICK]
    label = ["label", silicon, "--model", tiny, "--workers", "1"]
    recipe = folder / "sound.yaml"
    recipe.write_text(yaml.safe_dump({"relax": False, "perturbations": [{"waves": 0}]}), encoding="utf-8")
    quick = ["--recipe", str(recipe)]

    def trained(path: str, where: str) -> list[str]:
        values: dict[str, Any] = yaml.safe_load(yaml.safe_dump(inputs.TRAIN))
        values["data"] = {"train": [path if where == "data" else store], "valid": 0.25}
        values["run"]["output"] = path if where == "output" else str(Path("out").resolve())
        (folder / "training.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        return ["train", str(folder / "training.yaml"), "--quiet"]

    return {
        "phonons STRUCTURE": (Path(silicon), lambda p: ["phonons", p, "--model", tiny, *QUICK, "--output", "out"]),
        "phonons --model": (Path(tiny), lambda p: ["phonons", silicon, "--model", p, *QUICK, "--output", "out"]),
        "phonons --born": (seeds / inputs.BORN / "BORN", lambda p: [*run, "--born", p, "--output", "out"]),
        "phonons --config": (recipe, lambda p: [*run, "--config", p, "--output", "out"]),
        "phonons --output": (None, lambda p: [*run, "--output", p]),
        "phonons --overwrite": (None, lambda p: [*run, "--output", p, "--overwrite"]),
        "phonons --log": (None, lambda p: [*run, "--output", "out", "--log", p]),
        "label STRUCTURES": (Path(silicon), lambda p: ["label", p, "--model", tiny, *quick, "--output", "out"]),
        "label --recipe": (recipe, lambda p: [*label, "--recipe", p, "--output", "out"]),
        "label --output": (None, lambda p: [*label, *quick, "--output", p]),
        "molecule --output": (None, lambda p: ["molecule", water, "--model", tiny, "--no-relax", "--output", p]),
        "evaluate MODEL": (Path(tiny), lambda p: ["evaluate", p, store]),
        "evaluate DATA": (Path(store), lambda p: ["evaluate", tiny, p]),
        "evaluate --json": (None, lambda p: ["evaluate", tiny, store, "--json", p]),
        "evaluate --csv": (None, lambda p: ["evaluate", tiny, store, "--csv", p]),
        "train CONFIG": (recipe, lambda p: ["train", p]),
        "train data.train": (Path(store), lambda p: trained(p, "data")),
        "train run.output": (None, lambda p: trained(p, "output")),
        "fine-tune MODEL": (Path(tiny), lambda p: ["fine-tune", p, str(recipe)]),
        "convert MODEL": (Path(tiny), lambda p: ["convert", p, "out.h5", "--trust"]),
        "models get": (None, lambda p: ["models", "get", p]),
    }


def attempt(rng: Random, seeds: Path, folder: Path) -> Attempt:
    """One path in one place."""
    roles = _roles(seeds, folder)
    role, kind = rng.choice(list(roles)), rng.choice(KINDS)
    good, argv = roles[role]
    if kind == "fifo" and good is None:
        kind = "missing"  # to write into one is a wish, and waits for its reader
    if kind == "name":
        name = rng.choice(ODD_NAMES)
        path = name
        if good is not None and name.strip(".") and not {"/", "\0", "~"} & set(name) and rng.random() < 0.5:
            path = str(folder / name)  # a sound file of an odd name
            if len(os.fsencode(name)) < 250:
                shutil.copyfile(good, path)
    elif kind == "device":
        path = rng.choice(DEVICES)
    else:
        path = str(_made(kind, good, folder))
    run = command(*argv(path))
    written = role.split()[-1] in ("--output", "--overwrite", "--log", "--json", "--csv", "run.output")
    run = run if written else cut(run)
    # What is written where it was asked for is no stray; nor are inputs changed by a result that lies among them.
    outputs = ("out", os.path.normpath(path).split("/")[0]) if written else ("out", "out.h5")
    return Attempt(
        f"{role} {kind} {ascii(path)[-60:]}", _without_privileges(run) if kind == "not ours" else run, outputs
    )


def _without_privileges(run: Callable[[], int]) -> Callable[[], int]:
    """Without root's right to open what is closed, which would make every path of this kind a sound one."""

    def restricted() -> int:
        _override(False)
        try:
            return run()
        finally:
            _override(True)

    return restricted


def _override(allowed: bool) -> None:
    """Take the right to override permissions from this process, or give it back; nothing where it has none."""
    libc, version, bits = ctypes.CDLL(None), 0x20080522, 0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    header, sets = (
        (ctypes.c_uint32 * 2)(version, 0),
        (ctypes.c_uint32 * 6)(),
    )  # effective, permitted, inheritable; twice
    if os.geteuid() == 0 and libc.capget(header, sets) == 0:
        sets[0] = sets[0] | (bits & sets[1]) if allowed else sets[0] & ~bits
        libc.capset(header, sets)
