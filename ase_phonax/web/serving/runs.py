"""Runs of commands, one after the other, each in a process and a folder of its own.

What the application runs is the command line itself, so that both give the same results, files and words. A run that
takes too long, or is not wanted any more, is a process that is ended.
"""

from __future__ import annotations

import json
import os
import queue
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from ...base.errors import InputError, PhonaxError
from ...base.files import write_whole
from ...base.processes import Death
from ...studies.output import writing
from .uploads import check_format

# The command line, which ends when its standard input does: where the application is killed, nobody waits for it.
_WITH_PARENT = """\
import os, signal, sys, threading

def wait():
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=wait, daemon=True).start()
from ase_phonax.cli import main
sys.exit(main(sys.argv[1:]))
"""
PROGRAM = (sys.executable, "-c", _WITH_PARENT)
RESULTS, PAGE = "results", "report.html"
WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"
_RECORD, _CONFIGURATION = "run.json", "options.yaml"
_GRACE_SECONDS = 5.0  # until a process that was asked to end is ended
_LAST_LINES = 12  # of a traceback


@dataclass
class Run:
    """One command with one structure.

    Attributes:
        key: of the run, and name of its folder.
        state: waiting, running, done, failed or stopped.
        begun: when it was asked for, ISO 8601.
        seconds: it has taken.
        words: progress while it runs, then why it failed.
        files: of the results.
    """

    key: str
    command: str
    structure: str
    model: str
    options: dict[str, Any]
    begun: str
    state: str = WAITING
    seconds: float = 0.0
    words: str = ""
    files: list[str] = field(default_factory=list)


class Runs:
    """All runs of a folder, those of earlier times among them; one at a time is computed.

    Args:
        folder: of theirs; nobody else writes there.
        longest: seconds that one may take.
        most_waiting: more are refused.
        program: what is run, the command following.
    """

    def __init__(self, folder: Path, longest: float, most_waiting: int, program: Sequence[str] = PROGRAM):
        self.folder, self._longest, self._most_waiting = folder, longest, most_waiting
        self._program = tuple(program)
        self._lock = threading.RLock()
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._runs = {run.key: run for run in _kept(folder)}
        self._process: subprocess.Popen[str] | None = None
        self._since = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, command: str, structure: str, text: str, model: str, options: Mapping[str, Any]) -> Run:
        """Queue a run.

        Args:
            structure: name under which its text is kept.
            options: as `--config` reads them.

        Raises:
            InputError: too many wait.
            StructureError: the content is of another format than the name says.
            OutputError: the structure cannot be kept.
        """
        with self._lock:
            if sum(run.state == WAITING for run in self._runs.values()) >= self._most_waiting:
                raise InputError(
                    f"{self._most_waiting} runs are waiting", "one is computed at a time", "wait, or stop some of them"
                )
            begun = datetime.now().astimezone()
            key = f"{begun:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(3)}"
            run = Run(key, command, structure, model, dict(options), begun.isoformat(timespec="seconds"))
            folder = self.folder / key
            try:
                with writing(folder):
                    folder.mkdir()
                    write_whole(folder / structure, text)
                    check_format(folder / structure)
                    write_whole(folder / _CONFIGURATION, yaml.safe_dump(run.options))
                    self._note(run)
            except PhonaxError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            self._runs[key] = run
            self._queue.put(key)
            return run

    def all(self) -> list[dict[str, Any]]:
        """All of them as built-in types, the latest first."""
        with self._lock:
            found = []
            for run in sorted(self._runs.values(), key=lambda run: run.key, reverse=True):
                own = asdict(run)
                if run.state == RUNNING:
                    own["seconds"] = round(time.monotonic() - self._since, 1)
                found.append(own)
            return found

    def get(self, key: str) -> Run | None:
        """The run of a key, if there is one."""
        return self._runs.get(key)

    def stop(self, key: str) -> None:
        """Stop a run, or take it out of the queue; of one that is over, remove the folder. One that is gone is gone."""
        with self._lock:
            run = self._runs.get(key)
            if run is None:
                return
            if run.state in (WAITING, RUNNING):
                was_running = run.state == RUNNING
                self._end(run, STOPPED, "")
                if was_running and self._process is not None:
                    _ended(self._process)
                return
            del self._runs[key]
            shutil.rmtree(self.folder / key, ignore_errors=True)

    def file(self, key: str, name: str) -> Path | None:
        """A file of the results by its name in their list, and nothing else."""
        run = self._runs.get(key)
        return self.folder / key / RESULTS / name if run is not None and name in run.files else None

    def close(self) -> None:
        """End what runs; what waits is stopped."""
        with self._lock:
            for run in self._runs.values():
                if run.state in (WAITING, RUNNING):
                    self._end(run, STOPPED, "the application was ended")
            self._queue.put(None)
            if self._process is not None:
                _ended(self._process)
        self._thread.join(2 * _GRACE_SECONDS)

    # ---- the thread that computes ----

    def _work(self) -> None:
        while (key := self._queue.get()) is not None:
            with self._lock:
                run = self._runs.get(key)
                if run is None or run.state != WAITING:
                    continue
                run.state, self._since = RUNNING, time.monotonic()
                folder = self.folder / key
                try:
                    process = self._process = self._started(run, folder)
                except OSError as error:
                    self._end(run, FAILED, f"the program cannot be started: {error}")
                    continue
            too_long = _after(self._longest, self._too_long, run, process)
            with process:  # its pipe is closed
                lines = self._read(run, process)
                code = process.wait()
            too_long.cancel()
            with self._lock:
                self._process = None
                if run.state == RUNNING:
                    self._end(run, *_came_to(code, lines))

    def _started(self, run: Run, folder: Path) -> subprocess.Popen[str]:
        command = [*self._program, run.command, run.structure, "--output", RESULTS, "--page"]
        command += ["--model", run.model, "--config", _CONFIGURATION]
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg"},
        )

    def _read(self, run: Run, process: subprocess.Popen[str]) -> list[str]:
        lines: list[str] = []
        assert process.stderr is not None  # a pipe
        for line in process.stderr:
            lines.append(line.rstrip())
            del lines[: -10 * _LAST_LINES]
            if run.state == RUNNING and line[:1].isalpha() and not line.startswith("warning"):
                run.words = line.strip()[:200]
        return lines

    def _too_long(self, run: Run, process: subprocess.Popen[str]) -> None:
        with self._lock:
            if run.state == RUNNING:
                words = f"it took longer than {self._longest:g} s, the limit of this application (--longest)"
                self._end(run, STOPPED, words)
        _ended(process)

    def _end(self, run: Run, state: str, words: str) -> None:
        if run.state == RUNNING:
            run.seconds = round(time.monotonic() - self._since, 1)
        run.state, run.words = state, words
        results = self.folder / run.key / RESULTS
        run.files = sorted(path.name for path in results.iterdir() if path.is_file()) if results.is_dir() else []
        with suppress(OSError):  # a full disk loses the record, not the results
            self._note(run)

    def _note(self, run: Run) -> None:
        write_whole(self.folder / run.key / _RECORD, json.dumps(asdict(run), indent=1))


def _kept(folder: Path) -> list[Run]:
    """Runs of earlier times; those that were not over are stopped."""
    found = []
    for path in sorted(folder.glob(f"*/{_RECORD}")):
        try:
            run = Run(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # somebody else's
            continue
        if run.key != path.parent.name or any(Path(name).name != name for name in run.files):
            continue
        if run.state in (WAITING, RUNNING):
            run.state, run.words = STOPPED, "the application was ended"
        found.append(run)
    return found


def _ended(process: subprocess.Popen[str]) -> None:
    """Ask a process to end, and end it where it does not."""
    process.terminate()
    _after(_GRACE_SECONDS, process.kill)


def _after(seconds: float, call: Callable[..., None], *arguments: Any) -> threading.Timer:
    """Call something later, unless this program has ended by then."""
    timer = threading.Timer(seconds, call, arguments)
    timer.daemon = True
    timer.start()
    return timer


def _came_to(code: int, lines: list[str]) -> tuple[str, str]:
    """State and words of a process that ended with a code, and the last lines that it wrote."""
    if code == 0:
        return DONE, ""
    if code < 0:
        return FAILED, str(Death(code))
    begin = [k for k, line in enumerate(lines) if re.match("(unexpected )?error: ", line)]
    told = lines[begin[-1] :] if begin else lines[-_LAST_LINES:]
    return FAILED, "\n".join(told).removeprefix("error: ") or str(Death(code))
