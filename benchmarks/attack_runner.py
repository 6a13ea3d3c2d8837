"""Cases run one after the other in forked processes: one that hangs, dies or eats memory harms none but itself."""

import contextlib
import ctypes
import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from pathlib import Path
from random import Random
from typing import Any

SECONDS = 30.0  # of a processor: more is a hang, however busy the machine is
WAITING = 120.0  # of the clock: who computes nothing waits for something that does not come
MEMORY = 12 << 30  # bytes of addresses, of which JAX maps a few gigabytes and uses little
LIFE = 150  # cases of a process, so that compiled functions of many shapes do not add up
GOOD = ("ok", "refused")
PARTS = ("error: ", "why it matters: ", "what to do: ")


@dataclass
class Attempt:
    """What a case does.

    Attributes:
        what: in words.
        run: returns an exit code; printing goes to the case's own file.
        outputs: names in the working folder that may be there afterwards if it succeeds; "." for any.
        original: numbers of the undamaged file, where the damaged one is sealed; those of a file accepted are equal.
        numbers: filled by `run` where a sealed file is accepted.
    """

    what: str
    run: Callable[[], int]
    outputs: tuple[str, ...] = ("out",)
    original: Any = None
    numbers: list[Any] = field(default_factory=list)


Maker = Callable[[Random, Path, Path], Attempt]  # (rng, folder of valid inputs, folder of this case's inputs)


@dataclass(frozen=True)
class Outcome:
    """How a case ended: one of GOOD, or TRACEBACK, HANG, SIGNAL, SILENT, STRAY, WORDS."""

    kind: str
    seed: int
    name: str
    what: str
    seconds: float
    tail: str = ""


def run_cases(
    cases: Iterable[tuple[str, int]], makers: dict[str, Maker], seeds: Path, workers: int = 2
) -> Iterator[Outcome]:
    """Outcomes as they come."""
    waiting, context = list(cases)[::-1], get_context("fork")
    warnings.filterwarnings("ignore", ".*fork.*")  # JAX is imported and has not begun
    running: dict[Any, _Worker] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            worker = _Worker(context, makers, seeds)
            running[worker.pipe] = worker
            worker.give(waiting.pop())
        for pipe in connection.wait(list(running), timeout=0.5):
            worker = running[pipe]
            yield worker.outcome()
            if worker.alive and worker.done < LIFE and waiting:
                worker.give(waiting.pop())
            else:
                worker.end()
                del running[pipe]
        for pipe, worker in list(running.items()):
            if worker.late:
                yield worker.hung()
                del running[pipe]


class _Worker:
    """A forked process and the case it is at."""

    def __init__(self, context: Any, makers: dict[str, Maker], seeds: Path) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, makers, seeds), daemon=True)
        self.process.start()
        theirs.close()
        self.alive, self.done = True, 0

    def give(self, case: tuple[str, int]) -> None:
        self.case, self.start, self.used = case, time.monotonic(), _processor_seconds(self.process.pid)
        self.folder = Path(tempfile.mkdtemp(prefix="attack-"))
        self.pipe.send((*case, str(self.folder)))

    @property
    def late(self) -> bool:
        """Whether it is beyond help: Python's own alarms, which show where it was, come first."""
        return (
            time.monotonic() - self.start > WAITING + 5
            or _processor_seconds(self.process.pid) - self.used > 1.5 * SECONDS
        )

    def outcome(self) -> Outcome:
        seconds, what, tail = time.monotonic() - self.start, self._text("what"), self._text("output")
        try:
            name, extra = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(10)
            self.alive, name, extra = False, "SIGNAL", f"exit code {self.process.exitcode}"
        self._clean()
        self.done += 1
        tail = "\n".join(filter(None, [tail[-1500:], extra]))
        return Outcome(*self.case, name, what, seconds, "" if name in GOOD else tail)

    def hung(self) -> Outcome:
        what, tail = self._text("what"), self._text("output")
        self.end()
        self._clean()
        return Outcome(*self.case, "HANG", what, time.monotonic() - self.start, tail[-1500:])

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self.pipe.close()
        self.process.kill()
        self.process.join()

    def _text(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""

    def _clean(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _processor_seconds(pid: int | None) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _serve(pipe: Any, makers: dict[str, Maker], seeds: Path) -> None:
    # Die with the parent: pipes alone do not tell, their other ends are inherited by those forked later.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            kind, seed, place = pipe.recv()
        except EOFError:
            return
        pipe.send(run_case(kind, seed, makers[kind], seeds, Path(place)))


class _Late(BaseException):
    pass


def _alarm(*_: Any) -> None:
    raise _Late


def run_case(kind: str, seed: int, maker: Maker, seeds: Path, folder: Path) -> tuple[str, str]:
    """Make a case in a folder and run it in this process: the name of its outcome, and what is to be said of it."""
    inputs, work = folder / "inputs", folder / "work"
    inputs.mkdir()
    work.mkdir()
    os.chdir(work)
    attempt = maker(Random(f"{kind} {seed}"), seeds, inputs)
    (folder / "what").write_text(attempt.what, encoding="utf-8", errors="replace")
    before = fingerprints(inputs)  # of what the maker has written
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, _alarm)
    with _into(folder / "output"):
        signal.setitimer(signal.ITIMER_REAL, WAITING)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            code = attempt.run()
        except _Late:
            traceback.print_exc()
            return "HANG", ""
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.setitimer(signal.ITIMER_PROF, 0)
    text = (folder / "output").read_text(encoding="utf-8", errors="replace")
    after = fingerprints(inputs)
    return judge(code, text, attempt, work, all(after.get(name) == found for name, found in before.items()))


def judge(code: int, text: str, attempt: Attempt, work: Path, inputs_intact: bool) -> tuple[str, str]:
    """The outcome of a case from what it left behind."""
    if code == 1 or "Traceback (most recent" in text or "panicked at" in text:
        return "TRACEBACK", ""
    if code not in (0, 2, 3, 4, 5, 6):
        return "WORDS", f"exit code {code}"
    if code and not all(part in text for part in PARTS):
        return "WORDS", f"exit code {code} without an error in three parts"
    if not inputs_intact:
        return "STRAY", "an input was changed"
    allowed = attempt.outputs if code == 0 else ()
    stray = [str(p.relative_to(work)) for p in work.rglob("*") if not p.is_dir()]
    stray = [name for name in stray if not {name.split("/")[0], "."} & set(allowed)]
    if stray:
        return "STRAY", f"exit code {code}, left behind: {', '.join(sorted(stray)[:5])}"
    if code == 0 and attempt.original is not None and attempt.numbers and attempt.numbers[-1] != attempt.original:
        return (
            "SILENT",
            f"accepted, and its numbers are {str(attempt.numbers[-1])[:80]}, not {str(attempt.original)[:80]}",
        )
    return ("refused" if code else "ok"), ""


def fingerprints(folder: Path) -> dict[str, str]:
    """sha256 of every regular file."""
    return {
        os.fsencode(p).hex(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file() and not p.is_symlink() and os.access(p, os.R_OK)
    }


@contextlib.contextmanager
def _into(path: Path) -> Iterator[None]:
    """All that this process prints, C libraries included, into a file."""
    kept = [os.dup(1), os.dup(2)]
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        for number in (1, 2):
            os.dup2(target, number)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)
        os.close(target)


def printed(outcomes: list[Outcome]) -> str:
    """A table of kinds and outcomes, and how to repeat what is bad."""
    names = [*GOOD, *sorted({o.name for o in outcomes} - set(GOOD))]
    lines = [f"{'kind':14}{'cases':>7}{'s':>7}" + "".join(f"{name:>11}" for name in names)]
    for kind in dict.fromkeys(o.kind for o in outcomes):
        own = [o for o in outcomes if o.kind == kind]
        counts = "".join(f"{sum(o.name == name for o in own):>11}" for name in names)
        lines.append(f"{kind:14}{len(own):>7}{sum(o.seconds for o in own):>7.0f}" + counts)
    bad = [o for o in outcomes if o.name not in GOOD]
    for o in bad:
        last = o.tail.strip().splitlines()[-1:] or [""]
        lines.append(f"{o.name:10} --only {o.kind}:{o.seed}   {o.what}   {last[0][:160]}")
    lines.append(f"{len(outcomes)} cases, {len(bad)} bad")
    return "\n".join(lines)


def as_json(outcomes: list[Outcome]) -> str:
    """All outcomes, for programs."""
    return json.dumps([vars(o) for o in outcomes], indent=1)
