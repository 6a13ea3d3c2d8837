"""Disks that fill: every writer of files meets the end of a disk at places that follow from a seed.

A small memory disk is mounted for each case, which needs root; without those rights no file of the process may grow
beyond the size, which is not quite the same and is said.
"""

import argparse
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import attack_inputs as inputs
import yaml
from attack_calls import QUICK, command, in_words
from attack_damage import has_sound_seal
from attack_runner import GOOD, Attempt, Maker, fingerprints, printed, run_cases

SIZES = 20
# More than a whole run needs [KiB]; sizes between are drawn, small ones more often.
ENOUGH = {"phonons": 700, "train": 300, "label": 120, "save_model": 48, "save_frames": 32}


def may_mount() -> bool:
    """Whether this process may mount a disk."""
    with tempfile.TemporaryDirectory() as place:
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", place], check=False)
    return True


@contextlib.contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[None]:
    """A folder on a disk of that size; or files that cannot grow beyond it, where nothing may be mounted."""
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={max(4, kilobytes)}k", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if made.returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(place)], check=False)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _written(kind: str, seeds: Path, inside: Path, disk: Path) -> Callable[[], int]:
    """What fills the disk."""
    tiny, store = seeds / inputs.MODELS / "tiny.h5", seeds / inputs.FRAMES / "store.h5"
    silicon = str(seeds / inputs.STRUCTURES / "Si.vasp")
    if kind == "phonons":
        argv = ("phonons", silicon, "--model", str(tiny), *QUICK, "--no-exact", "--overwrite", "--output")
        return command(*argv, str(disk / "out"))
    if kind == "label":
        rows = [{"waves": 1}, {"positions": 0.05, "count": 4, "repeat": 2}]
        (inside / "recipe.yaml").write_text(yaml.safe_dump({"relax": False, "perturbations": rows}), encoding="utf-8")
        argv = (
            "label",
            *[silicon] * 3,
            "--model",
            str(tiny),
            "--recipe",
            str(inside / "recipe.yaml"),
            "--workers",
            "1",
        )
        return command(*argv, "--output", str(disk / "out"))
    if kind == "train":
        values = yaml.safe_load(yaml.safe_dump(inputs.TRAIN))
        values["data"] = {"train": [str(store)], "valid": 0.25}
        values["optimiser"]["epochs"] = 3
        values["run"] |= {"output": str(disk / "out"), "checkpoint_seconds": 0}
        (inside / "train.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        return command("train", str(inside / "train.yaml"), "--overwrite", "--quiet")
    from ase_phonax import load_model, read_frames, save_frames, save_model

    def saved() -> int:
        if kind == "save_model":
            save_model(load_model(tiny), disk / "old.h5", overwrite=True)
        else:
            save_frames(read_frames(store) * 4, disk / "old.h5", overwrite=True)
        return 0

    return in_words(saved)


def filling(kind: str) -> Maker:
    """Cases of one writer."""

    def make(rng: Random, seeds: Path, folder: Path) -> Attempt:
        size = int(ENOUGH[kind] * rng.random() ** 1.5)
        disk = folder.parent / "disk"

        def run() -> int:
            write = _written(kind, seeds, folder, disk)
            with small_disk(disk, size):
                with contextlib.suppress(OSError):  # a disk may be too small for old results, too
                    _old(kind, disk)
                before = fingerprints(disk)
                code = write()
                sys.stdout.flush()
                after = fingerprints(disk)
                if code == 5 and kind not in ("train", "label") and after != before:
                    raise AssertionError(f"what was there is not there as it was: {_names(before)} to {_names(after)}")
                _whole(kind, disk, code)
                return code

        # Inputs are written while it runs.
        return Attempt(f"{kind}, a disk of {size} KiB", run)

    return make


def _old(kind: str, disk: Path) -> None:
    if kind == "phonons":
        (disk / "out").mkdir()
        (disk / "out/summary.json").write_text("{}", encoding="utf-8")
    elif kind.startswith("save_"):
        (disk / "old.h5").write_bytes(b"old" * 1000)


def _names(found: dict[str, str]) -> list[str]:
    return sorted(Path(os.fsdecode(bytes.fromhex(name))).name for name in found)


def _whole(kind: str, disk: Path, code: int) -> None:
    """What goes on after a failure goes on from whole files; nothing half-written lies about."""

    from ase_phonax import load_model

    parts = [p.name for p in disk.rglob("*") if ".part" in p.name or ".replaced" in p.name]
    if parts:
        raise AssertionError(f"half-written files are left: {parts}")
    for path in disk.rglob("*.h5"):
        if path.name == "model.h5" or (kind == "save_model" and code == 0):
            load_model(path)
        elif (kind in ("train", "label") or code == 0) and not has_sound_seal(path):
            raise AssertionError(f"{path.name} is half-written")


def run(options: argparse.Namespace) -> int:
    """All writers at all sizes; 1 if one fails otherwise than in words."""
    from multiprocessing import get_context

    from attack import import_all

    if not may_mount():
        print("no disk can be mounted without root: sizes of files are limited instead", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="attack-disk-") as place:
        os.environ["XDG_CACHE_HOME"], os.environ["TMPDIR"] = f"{place}/cache", place
        os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{place}/compiled"
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        tempfile.tempdir = place
        import_all()
        maker = get_context("fork").Process(target=inputs.prepare, args=(Path(place, "seeds"), None))
        maker.start()
        maker.join()
        count = max(1, round(SIZES * options.fraction))
        kinds = options.kinds or list(ENOUGH)
        cases = [(kind, options.seed + k) for kind in kinds for k in range(count)]
        outcomes, start = [], time.monotonic()
        for outcome in run_cases(cases, {k: filling(k) for k in kinds}, Path(place, "seeds"), options.workers):
            outcomes.append(outcome)
            if outcome.name not in GOOD and options.verbose:
                print(outcome.what, outcome.tail, flush=True)
            if len(outcomes) % 10 == 0:
                spent = time.monotonic() - start
                left = spent / len(outcomes) * (len(cases) - len(outcomes))
                print(
                    f"{len(outcomes)} of {len(cases)}, {spent:.0f} s, {left:.0f} s to go", file=sys.stderr, flush=True
                )
        for left_over in Path(place).glob("attack-*/disk"):  # of processes that died
            subprocess.run(["umount", "-l", str(left_over)], check=False, capture_output=True)
            shutil.rmtree(left_over.parent, ignore_errors=True)
        print(printed(outcomes))
        return int(any(o.name not in GOOD for o in outcomes))
