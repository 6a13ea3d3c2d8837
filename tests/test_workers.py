"""`label` in processes: no orphan, no traceback, no structure lost, whoever is killed; and two at one folder."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from ase_phonax import read_frames
from ase_phonax.base.claims import claimed_folder
from ase_phonax.base.errors import InputError, StructureError
from ase_phonax.base.processes import Death, in_processes
from ase_phonax.cli import main

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0  # [s] on a machine that does a lot else


def nothing() -> None:
    """Start without anything to do."""


def not_at_all() -> None:
    """Start where the machine has no room."""
    os.kill(os.getpid(), signal.SIGKILL)


def squared(number: int) -> int:
    """A task: some end their process."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 5:
        os._exit(7)
    return number**2


def refused(number: int) -> int:
    """A task that cannot be done."""
    raise StructureError(f"{number} is odd", "it matters", "give another")


def blocked(_: int) -> bool:
    """Whether this process is spared what Ctrl-C sends to all of a terminal."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def length(held: bytes, number: int) -> int:
    """A task that needs something large, which all have in common."""
    return len(held) + number


def odd(number: int) -> int:
    """A task with a fault in its program."""
    return number // 0


def test_a_task_whose_process_is_killed_is_told_and_the_others_are_computed():
    found = dict(in_processes(squared, range(8), 2, nothing))
    assert found == {n: n**2 for n in range(8)} | {3: Death(-9), 5: Death(7)}
    assert str(found[3]) == "its process was ended by SIGKILL; the memory of the machine may not suffice for it"
    assert str(found[5]) == "its process ended with code 7"


def test_what_all_tasks_need_is_sent_with_the_function_however_large():
    """Kills: a start that fills a pipe and waits for a process that is not yet there to read it."""
    sums = dict(in_processes(partial(length, bytes(3_000_000)), range(4), 2, nothing))
    assert sums == {n: 3_000_000 + n for n in range(4)}
    with pytest.raises(InputError, match="cannot be sent to other processes"):
        list(in_processes(lambda number: number, [1], 1, nothing))


def test_no_process_sees_ctrl_c():
    """The first of a program is started beside a helper of Python's, which lets the signal through again."""
    code = "import tests.test_workers as t; print([b for _, b in t.in_processes(t.blocked, range(4), 2, t.nothing)])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "[True, True, True, True]\n", done.stderr


def test_what_goes_wrong_in_a_process_comes_out_of_it():
    with pytest.raises(StructureError, match="1 is odd\n  why it matters: it matters"):
        list(in_processes(refused, [1], 1, nothing))
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        list(in_processes(odd, [1], 1, nothing))
    with pytest.raises(InputError, match="ended before it could begin: its process was ended by SIGKILL"):
        list(in_processes(squared, [1], 1, not_at_all))


# ---- the command as a process ------------------------------------------------------------------------

# Each structure takes a second; a file says that one has begun.
CODE = """
import os, signal, sys, time
from pathlib import Path
from ase_phonax.training.labels import teacher
from ase_phonax.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
wrapped = teacher.label
def slow(*arguments, **options):
    Path(f"begun-{os.getpid()}").touch()
    time.sleep(1.0)
    return wrapped(*arguments, **options)
teacher.label = slow
if __name__ == "__main__":
    sys.exit(main())
"""
RECIPE = "relax: false\nperturbations:\n  - {waves: 1}\n"


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "salts.xyz", [bulk("NaCl", "rocksalt", 5.5 + 0.02 * k) for k in range(6)])
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "slow.py").write_text(CODE)
    return tmp_path


def started(folder: Path, *options: str) -> subprocess.Popen:
    """The command, in a group of processes of its own as a shell would put it."""
    words = ["label", "salts.xyz", "--model", "phonax-small", "--recipe", "recipe.yaml", "--output", "out", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "slow.py", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition) -> None:
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def workers(folder: Path) -> list[int]:
    """Processes that have begun a structure."""
    return [int(path.name.split("-")[1]) for path in folder.glob("begun-*")]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def group(process: subprocess.Popen) -> list[int]:
    """Living processes of its group: workers, and whatever Python started beside them."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(path.name)) == process.pid and alive(int(path.name)):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def finish(folder: Path) -> None:
    """The same command again labels the rest, and nothing else is there then."""
    process = started(folder, "--workers", "2")
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert "6 of 6 structures labelled" in output
    assert len(read_frames(str(folder / "out/frames/*.h5"))) == 6
    assert sorted(os.listdir(folder / "out")) == ["frames", "labels.json"]
    assert all(re.fullmatch(r"\d-NaCl\.h5", name) for name in os.listdir(folder / "out/frames"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks the kernel which processes live")
@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -9), ("SIGTERM", 143), ("Ctrl-C", 130)])
def test_nothing_is_left_of_a_run_that_is_stopped(folder, name, code):
    process = started(folder, "--workers", "2")
    wait_for(lambda: len(workers(folder)) == 2 and len(list((folder / "out/frames").glob("*.h5"))) > 0)
    if name == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of them
    else:
        process.send_signal(getattr(signal, name))
    wait_for(lambda: not group(process))
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert "Traceback" not in errors
    if name == "Ctrl-C":
        # A machine that is busy may tell of the waiting, too.
        words = r"interrupted; [1-5] of 6 structures are labelled, and the same command labels the rest\n"
        assert re.fullmatch(rf"(structures: .*\n)*{words}", errors)
    finish(folder)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks the kernel which processes live")
def test_a_worker_that_is_killed_costs_its_structure_only(folder):
    process = started(folder, "--workers", "2")
    wait_for(lambda: len(workers(folder)) == 2)
    os.kill(workers(folder)[0], signal.SIGKILL)
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "5 of 6 structures labelled" in output
    assert "its process was ended by SIGKILL" in output
    assert "ended by SIGKILL" in (folder / "out/failures.csv").read_text()
    finish(folder)


def test_a_second_run_into_a_folder_being_labelled_is_refused(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    words = ["label", "salts.xyz", "--recipe", "recipe.yaml", "--output", "out", "--workers", "1"]
    with claimed_folder(folder / "out"):
        assert main(words) == 5
    assert "another run is writing to out at this moment" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"recipe"', "[" * 100_000])
def test_a_damaged_note_of_what_the_labels_are_is_said(folder, capsys, monkeypatch, text):
    monkeypatch.chdir(folder)
    (folder / "out").mkdir()
    (folder / "out/labels.json").write_text(text)
    assert main(["label", "salts.xyz", "--recipe", "recipe.yaml", "--output", "out"]) == 2
    assert "does not say what the labels beside it are of" in capsys.readouterr().err
