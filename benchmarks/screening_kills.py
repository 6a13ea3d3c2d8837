"""A screening that is killed again and again: what is done twice, and whether the results are those of one run.

    PHONAX_DATA=... python benchmarks/screening_kills.py [--crystals 80] [--kills 20] [--seed 0]

A scheduler and two workers are processes of their own, connected by TCP on the loopback; the client is
`ase-phonax screen --scheduler FILE`. At random times one of them, drawn at random, gets SIGKILL; what died is started
again, as a person or a batch system would. Workers note every crystal that they begin. The same crystals are screened
once more without a kill, by workers of the client's own, and tables, databases and arrays are compared.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import ase.db
import ase.io
from screening import COARSE, crystals

PLACE = Path("runs/screening_kills").resolve()
NOTES = PLACE / "begun"
PRELOAD = f"""\
import os
from ase_phonax.studies.screening import cluster, tasks

def noted(atoms, calc, job):
    with open({str(NOTES)!r}, "a") as file:
        file.write(tasks.key_of(atoms, job, "") + "\\n")
    return tasks.computed(atoms, calc, job)

cluster.computed = noted
"""
LATEST = 6.0  # seconds after the last restart until which a kill may come, once crystals are computed again


class Cluster:
    """A scheduler and two workers, which can be killed and started again."""

    def __init__(self):
        self.file = PLACE / "scheduler.json"
        self.scheduler, self.workers = None, [None, None]
        self.begin()

    def begin(self) -> None:
        """Start what is not there."""
        if self.scheduler is None:
            self.file.unlink(missing_ok=True)
            self.scheduler = _started("scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", ":0")
            while not self.file.exists():
                time.sleep(0.05)
            for worker in filter(None, self.workers):  # those of the dead one
                _killed(worker)
            self.workers = [None, None]
        how = ("--nthreads", "1", "--no-dashboard", "--no-nanny", "--preload", str(PLACE / "preload.py"))
        self.workers = [own or _started("worker", *how) for own in self.workers]

    def kill(self, which: str, chance: random.Random) -> None:
        """Kill the scheduler or one worker."""
        if which == "scheduler":
            _killed(self.scheduler)
            self.scheduler = None
        else:
            number = chance.randrange(2)
            _killed(self.workers[number])
            self.workers[number] = None


def _started(*words: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dask", *words, "--scheduler-file", str(PLACE / "scheduler.json")]
    with open(PLACE / f"{words[0]}.log", "a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=PLACE)


def _killed(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def _client(folder: str, *more: str) -> subprocess.Popen:
    words = [
        "screen",
        "crystals.extxyz",
        "--output",
        folder,
        "--set",
        *(f"{k}={json.dumps(v)}" for k, v in COARSE.items()),
    ]
    with open(PLACE / "client.log", "a") as log:
        return subprocess.Popen([sys.executable, "-m", "ase_phonax", *words, *more], stdout=log, stderr=log, cwd=PLACE)


def _n_begun() -> int:
    return len(NOTES.read_text().split()) if NOTES.exists() else 0


def _rows(folder: str) -> list:
    with ase.db.connect(PLACE / folder / "screening.db") as database:
        found = [(row.key_value_pairs, row.data["summary"], row.positions.tolist()) for row in database.select()]
    return sorted(found, key=lambda own: own[0]["place"])


def _sound(folder: str) -> bool:
    """What SQLite says of its file."""
    connection = sqlite3.connect(PLACE / folder / "screening.db")
    try:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=int, default=80)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    PLACE.mkdir(parents=True)  # an earlier one is not written over
    (PLACE / "preload.py").write_text(PRELOAD)
    ase.io.write(PLACE / "crystals.extxyz", crystals(options.crystals))
    chance, killed = random.Random(options.seed), Counter()
    cluster, begin = Cluster(), time.monotonic()
    client = _client("killed", "--scheduler", str(cluster.file))
    while client.poll() != 0:
        if client.poll() is not None:  # it was killed, or has lost the scheduler
            client = _client("killed", "--scheduler", str(cluster.file))
        before = _n_begun()
        while client.poll() is None and _n_begun() == before:
            time.sleep(0.05)
        if killed.total() < options.kills and client.poll() is None:
            time.sleep(chance.uniform(0, LATEST))
            if client.poll() is not None:
                continue
            which = chance.choice(("worker", "scheduler", "client"))
            killed[which] += 1
            print(f"{time.monotonic() - begin:6.1f} s: {which}, {_n_begun()} begun", flush=True)
            if which == "client":
                _killed(client)
            else:
                cluster.kill(which, chance)
                if which == "scheduler":
                    client.wait()
                cluster.begin()
        else:
            client.wait()
    for process in (cluster.scheduler, *cluster.workers):
        _killed(process)
    keys = NOTES.read_text().split()
    n_crystals = len(set(keys))
    again = len(keys) - n_crystals
    print(
        f"{killed.total()} kills {dict(killed)}, {n_crystals} crystals,"
        f" {again} begun again: {again / killed.total():.2f} a kill"
    )
    assert _client("at_once").wait() == 0
    rows, expected = _rows("killed"), _rows("at_once")
    arrays = {path.name: path.read_bytes() for path in (PLACE / "at_once/arrays").iterdir()}
    same_arrays = arrays == {path.name: path.read_bytes() for path in (PLACE / "killed/arrays").iterdir()}
    tables = [(PLACE / folder / "table.csv").read_bytes() for folder in ("killed", "at_once")]
    print(f"database sound: {_sound('killed')}; rows equal to the last digit: {rows == expected}")
    print(f"arrays equal, byte by byte: {same_arrays}; tables: {tables[0] == tables[1]}")


if __name__ == "__main__":
    main()
