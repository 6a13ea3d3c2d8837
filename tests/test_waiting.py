"""What stands on a terminal or in a batch job's file while something long is computed."""

import io
import re
import sys
import time

import pytest

from ase_phonax.cli import progress
from ase_phonax.cli.progress import progress_bar, without_progress


class Screen(io.StringIO):
    """A terminal of one column per character: what a person sees in the end."""

    def isatty(self) -> bool:
        return True

    def seen(self) -> list[str]:
        lines = []
        for line in self.getvalue().split("\n"):
            cells: list[str] = []
            for part in line.split("\r"):
                cells[: len(part)] = part
            lines.append("".join(cells).rstrip())
        return lines


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Seconds are tenths here."""
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.3, raising=False)
    monkeypatch.setattr(progress, "_REPAINT_SECONDS", 0.05, raising=False)


def stderr(stream: io.StringIO, monkeypatch) -> io.StringIO:
    """Set inside a test: pytest puts its own in place between a fixture and the test."""
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_a_bar_is_wiped_whether_it_was_counted_or_not(monkeypatch):
    """Kills: a clock without a count, painted by its thread, that stays in front of the first line of the table."""
    screen = stderr(Screen(), monkeypatch)
    with progress_bar("densities"):
        time.sleep(1.0)
    with progress_bar("bands") as found:
        found(3, 10)
        time.sleep(0.4)
    print("NaCl   Fm-3m", file=sys.stderr)
    assert "densities" in screen.getvalue()
    assert "bands: 30 %" in screen.getvalue()
    assert [line for line in screen.seen() if line] == ["NaCl   Fm-3m"]


def test_a_bar_says_how_long_it_will_take(monkeypatch):
    screen = stderr(Screen(), monkeypatch)
    with progress_bar("bands") as found:
        for done in range(1, 6):
            time.sleep(0.3)
            found(done, 10)
        time.sleep(0.1)
    left = [int(seconds) for seconds in re.findall(r"50 %\|█+ +\| 0:02, about 0:0(\d) left", screen.getvalue())]
    assert left  # half is done after a second and a half
    assert set(left) <= {1, 2}


def test_a_count_that_begins_anew_is_not_measured_by_the_one_before(monkeypatch):
    """Several supercells are tried under one bar; the second must not look as slow as both together."""
    stderr(Screen(), monkeypatch)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    wait = progress._Wait("supercell")
    wait(1, 10)
    now[0] = 100.0
    wait(10, 10)
    wait(1, 20)
    now[0] = 101.0
    wait(10, 20)
    assert wait.in_words().endswith("about 0:01 left")


def test_a_batch_job_is_told_in_lines(monkeypatch):
    pipe = stderr(io.StringIO(), monkeypatch)
    with progress_bar("force constants") as found:
        for done in range(10):
            found(done, 10)
            time.sleep(0.1)
    with progress_bar("loading the model"):
        time.sleep(0.3)
    with progress_bar("quick"):
        pass
    text = pipe.getvalue()
    lines = text.splitlines()
    assert "\r" not in text
    assert re.fullmatch(r"force constants: \d+ %, 0:0\d, about 0:0\d left", lines[0])
    assert 2 <= sum(line.startswith("force constants") for line in lines) <= 5  # one each 0.3 s, of a second
    assert sum(line.startswith("loading the model: 0:00") for line in lines) == 1
    assert "quick" not in text


def test_lines_of_a_long_wait_become_rarer(monkeypatch):
    """Ten hours of training are to leave a page in the log, not thousands of lines."""
    pipe = stderr(io.StringIO(), monkeypatch)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 10.0)
    wait = progress._Wait("training")
    for second in range(36_000):
        now[0] = float(second)
        wait.paint()
    assert 40 <= len(pipe.getvalue().splitlines()) <= 90


@pytest.mark.parametrize("stream", [Screen, io.StringIO])
def test_quiet_is_quiet(stream, monkeypatch):
    found = stderr(stream(), monkeypatch)
    with without_progress(), progress_bar("bands") as wait:
        wait(1, 2)
        time.sleep(0.3)
    assert found.getvalue() == ""


def test_a_line_too_long_for_the_terminal_is_cut(monkeypatch):
    """A second line could not be painted over."""
    screen = stderr(Screen(), monkeypatch)
    monkeypatch.setenv("COLUMNS", "40")
    with progress_bar("symmetries and more") as found:
        found(3, 10)
        time.sleep(0.4)
    assert max(map(len, screen.getvalue().split("\r"))) <= 39


def test_of_two_things_in_one_block_the_one_at_work_is_shown(monkeypatch):
    """A molecule is relaxed, and its Hessian computed, by one call."""
    pipe = stderr(io.StringIO(), monkeypatch)
    with progress_bar("relaxation") as relaxing:
        hessian = relaxing.under("Hessian")
        relaxing(3, 0)
        time.sleep(0.25)
        hessian(1, 4)
        time.sleep(0.5)
    lines = pipe.getvalue().splitlines()
    assert lines[0].startswith("relaxation: 3 so far, 0:00")
    assert lines[-1].startswith("Hessian: 25 %")


def test_epochs_are_printed_above_the_bar(monkeypatch):
    screen = stderr(Screen(), monkeypatch)
    monkeypatch.setattr(sys, "stdout", screen)
    with progress_bar("training") as found:
        found(3, 10)
        time.sleep(0.3)
        progress.print_above("    1   0.25")
        time.sleep(0.3)
    assert [line for line in screen.seen() if line] == ["    1   0.25"]


def test_a_reader_of_messages_that_has_left_stops_nothing(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    with progress_bar("bands") as found:
        found(1, 2)
        time.sleep(0.3)
        found(2, 2)
