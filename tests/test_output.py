"""Where results go: nobody else's file is touched, no result lost, whatever else happens to the place meanwhile."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from ase.build import bulk, molecule
from ase.io import read, write

from ase_phonax.base.claims import claim, claimed_folder
from ase_phonax.base.errors import OutputError, UnstableWarning
from ase_phonax.cli import main
from ase_phonax.cli.log import logging_to
from ase_phonax.studies.output import atomic_directory
from ase_phonax.studies.watch import Watch

ROOT = Path(__file__).parents[1]
OWN = ("summary.json", "bands.png", "mode_*.extxyz")
QUICK = ["--supercell", "1", "--mesh", "2", "2", "2", "--no-relax"]


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """A working directory with a salt and a molecule."""
    monkeypatch.chdir(tmp_path)
    write("NaCl.cif", bulk("NaCl", "rocksalt", a=5.65))
    write("water.xyz", molecule("H2O"))
    return tmp_path


def results(target: Path, *, overwrite: bool = False):
    return atomic_directory(target, overwrite=overwrite, own_files=OWN)


def below(folder: Path) -> dict[str, str]:
    """Every file below a folder, and what is in it."""
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


# ---- what appears while a run is under way ----------------------------------------------------------


def test_a_folder_that_appears_meanwhile_is_kept_and_the_results_too(tmp_path):

    def compute():
        with results(tmp_path / "out") as folder:
            (folder / "summary.json").write_text("new")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "thesis.tex").write_text("three years")

    with pytest.raises(OutputError, match=r"appeared while the run was under way.*results are in .*out-2"):
        compute()
    assert below(tmp_path) == {"out/thesis.tex": "three years", "out-2/summary.json": "new"}


@pytest.mark.parametrize("name", ["thesis.tex", "bands.png/measured.dat"])
def test_a_file_put_into_the_folder_to_be_replaced_meanwhile_is_kept(tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text("old")

    def compute():
        with results(tmp_path / "out", overwrite=True) as folder:
            (folder / "summary.json").write_text("new")
            (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "out" / name).write_text("three years")

    with pytest.raises(OutputError, match=r"results are in .*out-2"):
        compute()
    kept = {f"out/{name}": "three years", "out/summary.json": "old"}
    assert below(tmp_path) == {**kept, "out-2/summary.json": "new"}


def test_a_folder_or_a_link_with_the_name_of_a_result_is_not_ours(tmp_path):
    (tmp_path / "out" / "bands.png").mkdir(parents=True)
    (tmp_path / "out" / "bands.png" / "measured.dat").write_text("three years")
    with (
        pytest.raises(OutputError, match=r"not results of this command: bands\.png/"),
        results(tmp_path / "out", overwrite=True),
    ):
        pass
    (tmp_path / "away").write_text("elsewhere")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "summary.json").symlink_to(tmp_path / "away")
    with (
        pytest.raises(OutputError, match=r"not results of this command: summary\.json"),
        results(tmp_path / "link", overwrite=True),
    ):
        pass
    assert below(tmp_path)["out/bands.png/measured.dat"] == "three years"
    assert (tmp_path / "link" / "summary.json").read_text() == "elsewhere"


def test_of_two_runs_into_one_folder_the_second_is_refused_at_once(tmp_path):
    refused = []

    def second():
        try:
            with results(tmp_path / "out"):
                pass
        except OutputError as error:
            refused.append(str(error))

    with results(tmp_path / "out") as folder:
        (folder / "summary.json").write_text("first")
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert f"another run is writing to {tmp_path / 'out'} at this moment (process {os.getpid()} on" in refused[0]
    assert below(tmp_path) == {"out/summary.json": "first"}
    with results(tmp_path / "out", overwrite=True) as folder:
        (folder / "summary.json").write_text("later")
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_a_folder_claimed_and_left_empty_vanishes_and_one_with_files_stays(tmp_path):
    with claimed_folder(tmp_path / "a" / "b"):
        assert os.listdir(tmp_path / "a" / "b") == [".lock"]
        with pytest.raises(OutputError, match="another run is writing"), claimed_folder(tmp_path / "a" / "b"):
            pass
    assert not (tmp_path / "a").exists()
    with claimed_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert os.listdir(tmp_path / "a" / "b") == ["file"]


def test_a_claim_passes_from_hand_to_hand_without_two_holding_it(tmp_path):
    """Kills: a lock on a file that its owner has just removed, beside one on a new file of the same name."""
    inside, most, errors = 0, 0, []
    guard, stop = threading.Lock(), time.monotonic() + 1.0

    def work():
        nonlocal inside, most
        while time.monotonic() < stop:
            try:
                with claim(tmp_path / "lock", tmp_path):
                    with guard:
                        inside += 1
                        most = max(most, inside)
                    time.sleep(0.0005)
                    with guard:
                        inside -= 1
            except OutputError as error:
                if "another run" not in str(error):
                    errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, errors) == (1, [])
    assert os.listdir(tmp_path) == []


# ---- kills -----------------------------------------------------------------------------------------

WRITER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us without
from pathlib import Path
from ase_phonax.cli.interruption import stopped_by_signals
from ase_phonax.studies.output import atomic_directory
with stopped_by_signals():
    while True:
        with atomic_directory(Path("out"), overwrite=True, own_files=("*",)) as folder:
            for name in ("summary.json", "bands.png", "mode_1.extxyz"):
                (folder / name).write_text(sys.argv[1])
        print("done", flush=True)
"""


def started(code: str, *arguments: str, folder: Path, **options) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=folder, env=environment, **options)


@pytest.mark.parametrize("kills", [6, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_any_moment_the_results_are_whole_and_the_next_run_leaves_nothing_else(tmp_path, kills):
    """Of a process that replaces its own results all the time: partial folders, results taken away."""
    rng = random.Random(0)
    for life in range(kills):
        process = started(WRITER, str(life), folder=tmp_path, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"done\n"
        time.sleep(rng.uniform(0, 0.03))
        process.send_signal((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[life % 3])
        process.communicate(timeout=30)
        with suppress(ZeroDivisionError), results(tmp_path / "out", overwrite=True):
            raise ZeroDivisionError  # a next run that fails
        there = below(tmp_path / "out")
        assert sorted(there) == ["bands.png", "mode_1.extxyz", "summary.json"]
        assert len(set(there.values())) == 1
        assert os.listdir(tmp_path) == ["out"]


def test_a_run_killed_between_two_renames_gives_the_earlier_results_back(tmp_path):
    (tmp_path / ".out.replaced-0123abcd").mkdir()
    (tmp_path / ".out.replaced-0123abcd" / "summary.json").write_text("old")
    (tmp_path / ".out.partial-0123abcd").mkdir()
    (tmp_path / ".out.partial-0123abcd" / "bands.png").write_text("half")
    (tmp_path / ".out.partial-of-mine").mkdir()  # not a name that we give
    with pytest.raises(OutputError, match="exists already"), results(tmp_path / "out"):
        pass
    assert sorted(os.listdir(tmp_path)) == [".out.partial-of-mine", "out"]
    assert below(tmp_path) == {"out/summary.json": "old"}


def test_a_disk_that_is_full_when_results_are_moved_leaves_the_old_ones(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text("old")
    rename = Path.rename

    def full(self, other):
        if ".partial-" in self.name:
            raise OSError(28, "No space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", full)
    with (
        pytest.raises(OutputError, match="No space left on device"),
        results(tmp_path / "out", overwrite=True) as folder,
    ):
        (folder / "summary.json").write_text("new")
    assert below(tmp_path) == {"out/summary.json": "old"}
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["loop/out", "zero\0byte", "n" * 300])
def test_a_place_that_cannot_be_is_said_in_words(tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OutputError, match="results cannot be written"), results(tmp_path / name):
        pass


# ---- what is read is never written over --------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["phonons", "NaCl.cif", "--log", "NaCl.cif"], "--log NaCl.cif is NaCl.cif, which this command reads"),
        (["phonons", "NaCl.cif", "--log", "link"], "--log link is NaCl.cif, which this command reads"),
        (["gruneisen", "NaCl.cif@0", "--log", "NaCl.cif"], "which this command reads"),
        (["qha", "NaCl.cif", "--config", "config.yaml", "--log", "config.yaml"], "is config.yaml, which this"),
        (["phonons", "NaCl.cif", "--born", "BORN", "--log", "BORN"], "is BORN, which this command reads"),
        (["phonons", "NaCl.cif", "--model", "mine.h5", "--log", "mine.h5"], "is mine.h5, which this command reads"),
        (["phonons", "NaCl.cif", "--log", "water.xyz"], "exists and is no log of this program"),
        (["phonons", "NaCl.cif", "--log", "lines.jsonl"], "exists and is no log of this program"),
        (["phonons", "NaCl.cif", "--log", "NaCl-phonons/run.jsonl"], "where the results go"),
        (["phonons", "NaCl.cif", "--output", "NaCl.cif"], "NaCl.cif, which this command reads, is"),
        (["phonons", "old/relaxed.extxyz", "--output", "old", "--overwrite"], "reads, lies in"),
        (["evaluate", "mine.h5", "water.xyz", "--json", "water.xyz"], "--json water.xyz is water.xyz"),
        (["evaluate", "mine.h5", "*.xyz", "--csv", "water.xyz"], "--csv water.xyz is water.xyz"),
        (["evaluate", "mine.h5", "water.xyz", "--json", "a", "--csv", "./a"], "name the same file"),
        (["label", "water.xyz", "--output", "water.xyz"], "which this command reads, is"),
    ],
)
def test_no_file_that_is_read_is_written_over(inside, capsys, arguments, said):
    (inside / "link").symlink_to("NaCl.cif")
    (inside / "BORN").write_text("14.4\n")
    (inside / "config.yaml").write_text("tolerance: 0.1\n")
    (inside / "lines.jsonl").write_text('{"temperature": 300}\n')
    (inside / "mine.h5").write_text("a model")
    (inside / "old").mkdir()
    write("old/relaxed.extxyz", read("NaCl.cif"))
    before = below(inside)
    assert main(arguments) == 5
    assert said in capsys.readouterr().err
    assert below(inside) == before


def test_an_earlier_log_is_replaced_and_two_runs_do_not_share_one(tmp_path):
    path = tmp_path / "run.jsonl"
    for message in ("a longer first run", "second"):
        watch = Watch()
        with logging_to(path, watch):
            watch.note("begin", {"section": message})
            with pytest.raises(OutputError, match="another run is writing"), logging_to(path, Watch()):
                pass
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["begin", "finished"]
    assert "second" in path.read_text()
    assert os.listdir(tmp_path) == ["run.jsonl"]


def test_a_log_on_a_full_disk_costs_the_log_and_not_the_results():
    watch = Watch()
    with logging_to(Path("/dev/full"), watch):
        with pytest.warns(UnstableWarning, match="the log /dev/full ends before 'begin': No space"):
            watch.note("begin", {})
        watch.note("end", {})  # nothing: one warning suffices


# ---- names and streams -------------------------------------------------------------------------------


def ase_phonax(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "ase_phonax", *arguments],
        env=environment,
        stderr=subprocess.PIPE,
        timeout=120,
        **options,
    )


def said(done) -> list[bytes]:
    """What stands on stderr besides the progress, of which a busy machine has some to tell."""
    return [line for line in done.stderr.splitlines() if not re.search(rb": .*\d:\d\d( left)?$", line)]


def test_results_of_a_file_whose_name_is_no_utf8_are_written(inside):
    name = os.fsdecode(b"caf\xe9")
    os.rename("NaCl.cif", f"{name}.cif")
    done = ase_phonax("phonons", f"{name}.cif", *QUICK, "--log", f"{name}.jsonl", stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    summary = json.loads((inside / f"{name}-phonons" / "summary.json").read_text(encoding="utf-8"))
    assert len(read(summary["structure_file"])) == 2  # the name read there opens the file
    lines = [json.loads(line) for line in (inside / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[-2]["structure_file"] == f"{name}.cif"


def test_a_reader_that_leaves_and_a_closed_or_full_output_cost_no_results(inside):
    # A pipe whose reader is gone before anything is printed.
    reading, writing = os.pipe()
    os.close(reading)
    done = ase_phonax("phonons", "NaCl.cif", *QUICK, stdout=writing)
    os.close(writing)
    assert (done.returncode, said(done)) == (0, [])
    with open("/dev/full", "w") as full:
        done = ase_phonax("phonons", "NaCl.cif", *QUICK, "--output", "full", stdout=full)
    assert done.returncode == 5
    assert said(done) == [b"error: standard output cannot be written: No space left on device"]
    shell = f"exec {sys.executable} -m ase_phonax phonons NaCl.cif {' '.join(QUICK)} --output closed >&- 2>&-"
    closed = subprocess.run(["sh", "-c", shell], env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120)
    assert closed.returncode == 0
    for folder in ("NaCl-phonons", "full", "closed"):
        assert (inside / folder / "summary.json").exists()


def test_a_folder_that_appears_between_the_last_look_and_the_renaming_is_kept_and_the_results_too(
    tmp_path, monkeypatch
):
    target, rename = tmp_path / "out", Path.rename

    def late(self, other):
        if Path(other) == target and not target.exists():
            target.mkdir()
            (target / "theirs").touch()
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", late)
    with (
        pytest.raises(OutputError, match=r"the results are in .*out-2"),
        atomic_directory(target, overwrite=False, own_files=("a",)) as folder,
    ):
        (folder / "a").touch()
    assert os.listdir(target) == ["theirs"]
    assert os.listdir(tmp_path / "out-2") == ["a"]
