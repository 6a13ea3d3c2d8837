"""Runs killed at random moments, some two at a time in one folder: what is there then is old, or new and whole."""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import attack_inputs as inputs
import yaml

KILLS = 30
MESH = ("--mesh", "4", "4", "4", "--path", "GX", "--output", "run")
PATIENCE = 5.0  # seconds in which everything a killed command started has to be gone
LONGEST = 240.0
MARK = "PHONAX_ATTACK"  # in the environment of all processes of a kill, so that orphans are found
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# Exit codes of the command itself, or of Python where the signal came before the command began.
ENDS = {signal.SIGKILL: (-9,), signal.SIGTERM: (143, -15), signal.SIGINT: (130, -2)}


@dataclass(frozen=True)
class Victim:
    """A command to kill.

    Attributes:
        argv: of a first start in the working folder.
        again: of the start after the kill, given the working folder.
        output: folder of its results.
        numbers: folder of results -> what an undisturbed run has in it, to be compared.
        shared: two of them may work on one folder at once and both succeed.
    """

    argv: tuple[str, ...]
    again: Callable[[Path], tuple[str, ...]]
    output: str
    numbers: Callable[[Path], Any]
    shared: bool = False


def _phonons(folder: Path) -> Any:
    """Names of all files, each of which can be read, and what is the same in each run: the constants."""
    import h5py

    json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    yaml.load((folder / "band.yaml").read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    with h5py.File(folder / "force_constants.hdf5") as file:
        constants = hashlib.sha256(file["force_constants"][()].tobytes()).hexdigest()
    return sorted((p.name, p.stat().st_size > 0) for p in folder.iterdir()), constants


def _labels(folder: Path) -> Any:
    return {p.name: inputs.frame_numbers(p) for p in sorted((folder / "frames").glob("*.h5"))}


def _trained(folder: Path) -> Any:
    from ase_phonax import load_model

    return load_model(folder / "model.h5").fingerprint()


def _resumed(argv: tuple[str, ...]) -> Callable[[Path], tuple[str, ...]]:
    return lambda folder: (*argv, "--resume") if (folder / "run/checkpoint.h5").exists() else argv


def victims() -> dict[str, Victim]:
    """By name; in their working folder lie the inputs that `_inputs` writes."""
    phonons = ("phonons", "Si.vasp", "--model", "tiny.h5", "--no-relax", "--supercell", "2", "--no-exact", *MESH)
    label = ("label", "many.extxyz", "--model", "tiny.h5", "--recipe", "recipe.yaml", "--output", "run", "--workers")
    train, tune = ("train", "train.yaml"), ("fine-tune", "tiny.h5", "tune.yaml")
    return {
        "phonons": Victim(phonons, lambda _: phonons, "run", _phonons),
        "overwrite": Victim((*phonons, "--overwrite"), lambda _: (*phonons, "--overwrite"), "run", _phonons),
        "label": Victim((*label, "2"), lambda _: (*label, "1"), "run", _labels, shared=True),
        "train": Victim(train, _resumed(train), "run", _trained),
        "fine-tune": Victim(tune, _resumed(tune), "run", _trained),
    }


def _inputs(seeds: Path, folder: Path) -> None:
    """What the commands read."""
    from ase.io import write

    shutil.copy(seeds / inputs.STRUCTURES / "Si.vasp", folder)
    shutil.copy(seeds / inputs.MODELS / "tiny.h5", folder)
    shutil.copy(seeds / inputs.FRAMES / "store.h5", folder)
    images = []
    for k in range(12):
        atoms = inputs.crystals()["Si"]
        atoms.rattle(0.02, seed=k)
        images.append(atoms)
    write(folder / "many.extxyz", images)
    rows = [{"waves": 1}, {"positions": 0.05, "count": 5, "waves": 1}]
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"relax": False, "perturbations": rows}), encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(yaml.safe_dump(inputs.TRAIN))
    values["data"] = {"train": ["store.h5"], "valid": 0.25}
    values["optimiser"] |= {"epochs": 25, "batch_size": 1}
    values["run"] |= {"output": "run", "checkpoint_seconds": 0}
    (folder / "train.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    del values["network"]
    (folder / "tune.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


class Started:
    """A command under way, in a session of its own."""

    def __init__(self, argv: tuple[str, ...], folder: Path, mark: str) -> None:
        self.log = (folder.parent / f"{mark}.txt").open("a+", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ase_phonax", *argv],
            cwd=folder,
            env={**os.environ, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def end(self, seconds: float = LONGEST) -> int | None:
        """Its exit code; None if it did not end."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def text(self) -> str:
        self.log.seek(0)
        return self.log.read()


def orphans(mark: str) -> list[int]:
    """Processes that a kill has left."""
    needle, left = f"{MARK}={mark}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if needle in (entry / "environ").read_bytes().split(b"\0"):
                    left.append(int(entry.name))
            except OSError:
                continue
    return left


def contents(folder: Path) -> dict[str, str]:
    """Names and sha256 of all files."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


def run(options: argparse.Namespace) -> int:
    """All kills; 1 if one lost something."""
    from multiprocessing import get_context

    with tempfile.TemporaryDirectory(prefix="attack-kills-") as place:
        os.environ["XDG_CACHE_HOME"] = f"{place}/cache"
        seeds = Path(place, "seeds")
        maker = get_context("fork").Process(target=inputs.prepare, args=(seeds, None))
        maker.start()
        maker.join()
        commands = {k: v for k, v in victims().items() if not options.kinds or k in options.kinds}
        references = {name: _reference(name, victim, seeds, Path(place)) for name, victim in commands.items()}
        bad, start = [], time.monotonic()
        count = max(1, round(KILLS * options.fraction))
        for k in range(options.seed, options.seed + count):
            name = list(commands)[k % len(commands)]
            what, problems = kill(k, name, commands[name], references[name], seeds, Path(place))
            print(f"kill {k:3} {name:10} {what:48} {'; '.join(problems) or 'good'}", flush=True)
            bad += problems
            spent, done = time.monotonic() - start, k - options.seed + 1
            print(f"{done} of {count}, {spent:.0f} s, {spent / done * (count - done):.0f} s to go", file=sys.stderr)
        print(f"{count} kills, {len(bad)} faults")
        return int(bool(bad))


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: its numbers, how long it took, and its folder."""

    numbers: Any
    seconds: float
    folder: Path


def _reference(name: str, victim: Victim, seeds: Path, place: Path) -> Reference:
    folder = place / f"reference-{name}"
    folder.mkdir()
    _inputs(seeds, folder)
    for _ in range(2):  # the second is as quick as those that follow: what is compiled is kept
        shutil.rmtree(folder / victim.output, ignore_errors=True)
        began = time.monotonic()
        started = Started(victim.argv, folder, f"reference-{name}")
        if started.end() != 0:
            raise SystemExit(f"{' '.join(victim.argv)} fails undisturbed:\n{started.text()}")
        seconds = time.monotonic() - began
    return Reference(victim.numbers(folder / victim.output), seconds, folder)


def kill(k: int, name: str, victim: Victim, reference: Reference, seeds: Path, place: Path) -> tuple[str, list[str]]:
    """One kill: what was done, and what is wrong afterwards."""
    rng, mark = Random(f"kill {k}"), f"kill-{k}"
    folder = place / mark
    folder.mkdir()
    _inputs(seeds, folder)
    output = folder / victim.output
    if name == "overwrite":  # results of before, with a mark by which they are known
        shutil.copytree(reference.folder / victim.output, output)
        (output / "relaxed.extxyz").write_bytes((output / "relaxed.extxyz").read_bytes() + b"\n")
    before = contents(output) if output.exists() else {}
    number, twice = rng.choice(SIGNALS), rng.random() < 0.4
    moment, whole_group = rng.uniform(0.02, 1.0) * reference.seconds, rng.random() < 0.3
    started = [Started(victim.argv, folder, mark) for _ in range(2 if twice else 1)]
    time.sleep(moment * (1.6 if twice else 1))
    over = started[0].process.poll() is not None
    if not over:
        (os.killpg if whole_group else os.kill)(started[0].process.pid, number)
    codes = [s.end() for s in started]
    what = f"{number.name}{' to its group' if whole_group else ''} at {moment:.1f} of {reference.seconds:.1f} s"
    what += " (over)" if over else ""
    what += f", two: {codes}" if twice else f": {codes[0]}"
    problems = _ended(started, codes, number, over, victim)
    time.sleep(0.5)
    limit = time.monotonic() + PATIENCE
    while (left := orphans(mark)) and time.monotonic() < limit:
        time.sleep(0.2)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    problems += [f"{len(left)} orphans after {PATIENCE:g} s"] if left else []
    problems += _half_written(name, victim, output, before, reference, 0 in codes)
    problems += _second_start(victim, folder, reference, mark)
    if not problems:
        shutil.rmtree(folder)
    return what, problems


def _ended(started: list[Started], codes: list, number: signal.Signals, over: bool, victim: Victim) -> list[str]:
    problems = []
    if None in codes:
        problems.append(f"did not end within {LONGEST:g} s of the signal")
    if not over and codes[0] not in ENDS[number] and codes[0] not in (0, 5):
        problems.append(f"exit code {codes[0]} after {number.name}")
    if len(codes) == 2 and codes[1] not in (0, 5):
        problems.append(f"the other ended with {codes[1]}")
    if codes == [0, 0] and not victim.shared:
        problems.append("both wrote into one folder and said that all was well")
    if len(codes) == 2 and 0 not in codes and over:
        problems.append("of two, none finished: they were in each other's way")
    if any("Traceback" in s.text() for s in started):
        problems.append("a traceback: " + started[0].text().strip().splitlines()[-1][:120])
    return problems


def _half_written(
    name: str, victim: Victim, output: Path, before: dict[str, str], reference: Reference, done: bool
) -> list[str]:
    """What is there is what was there before, or a whole result; of runs that go on, parts that are whole."""
    if name == "overwrite" and output.exists() and contents(output) == before:
        return ["it said that all was well, and the old results are there"] if done else []
    if name in ("phonons", "overwrite"):
        if not output.exists():
            return ["the old results are gone"] if before else ["exit code 0 without results"] if done else []
        try:
            return [] if victim.numbers(output) == reference.numbers else ["results are not those of a whole run"]
        except Exception as error:
            return [f"results are not whole: {type(error).__name__}: {error}"]
    try:
        if name == "label" and (output / "frames").exists():
            there = victim.numbers(output)
            if any(reference.numbers.get(key) != value for key, value in there.items()):
                return ["labels differ from those of an undisturbed run"]
        if done and name in ("train", "fine-tune") and victim.numbers(output) != reference.numbers:
            return ["the model differs from that of an undisturbed run"]
    except Exception as error:
        return [f"half-written: {type(error).__name__}: {str(error).splitlines()[0][:200]}"]
    return []


def _second_start(victim: Victim, folder: Path, reference: Reference, mark: str) -> list[str]:
    """The next start ends as an undisturbed run would have, and leaves nothing of the killed one."""
    output = folder / victim.output
    problems = []
    again = Started(victim.again(folder), folder, mark + "-again")
    code = again.end()
    finished = code == 5 and "--overwrite" not in victim.argv and output.exists()  # it was over before it was killed
    if code != 0 and not finished:
        problems.append(f"the next start ends with {code}: {(again.text().strip().splitlines() or [''])[0][:160]}")
    else:
        try:
            if victim.numbers(output) != reference.numbers:
                problems.append("the next start ends with other results")
        except Exception as error:
            problems.append(f"after the next start: {type(error).__name__}: {str(error).splitlines()[0][:160]}")
    names = {p.name for p in folder.rglob("*") if ".part" in p.name or ".replaced" in p.name}
    return problems + ([f"left behind: {', '.join(sorted(names))}"] if names else [])
