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
        until_seen("densities: 0:0", screen)
    with progress_bar("bands") as found:
        found(3, 10)
        until_seen("bands: 30 %", screen)
    print("NaCl   Fm-3m", file=sys.stderr)
    assert [line for line in screen.seen() if line] == ["NaCl   Fm-3m"]


def until_seen(words: str, stream: io.StringIO) -> None:
    """Wait for the painter, which a busy machine may keep from its work."""
    deadline = time.monotonic() + 20
    while words not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert words in stream.getvalue()


def stopped_clock(monkeypatch) -> list[float]:
    """Its only entry is the time that `progress` sees."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_bar_says_how_long_it_will_take(monkeypatch):
    stderr(Screen(), monkeypatch)
    now = stopped_clock(monkeypatch)
    wait = progress._Wait("bands")
    wait(0, 10)
    now[0] = 12.0
    wait(4, 10)
    assert wait.in_words() == "bands: 40 %|████████            | 0:12, about 0:18 left"
    now[0] = 4000.0
    wait(10, 10)
    assert wait.in_words() == "bands: 100 %|████████████████████| 1:06:40"


def test_a_count_that_begins_anew_is_not_measured_by_the_one_before(monkeypatch):
    """Several supercells are tried under one bar; the second must not look as slow as both together."""
    stderr(Screen(), monkeypatch)
    now = stopped_clock(monkeypatch)
    wait = progress._Wait("supercell")
    wait(1, 10)
    now[0] = 100.0
    wait(10, 10)
    wait(1, 20)
    now[0] = 101.0
    wait(10, 20)
    assert wait.in_words().endswith("about 0:01 left")


def test_a_batch_job_is_told_in_lines(monkeypatch):
    """Nothing of what is quick, then a line, then one every ten seconds; never a carriage return."""
    pipe = stderr(io.StringIO(), monkeypatch)
    now = stopped_clock(monkeypatch)
    monkeypatch.setattr(progress, "SILENT_SECONDS", 2.0)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 10.0)
    wait = progress._Wait("force constants")
    for second in range(31):
        now[0] = float(second)
        wait(second, 60)
        wait.paint()
    assert pipe.getvalue().splitlines() == [
        "force constants: 3 %, 0:02, about 0:58 left",
        "force constants: 20 %, 0:12, about 0:48 left",
        "force constants: 37 %, 0:22, about 0:38 left",
    ]


def test_what_has_no_count_is_told_as_well(monkeypatch):
    """By the thread of its clock: nobody calls while a model is read."""
    pipe = stderr(io.StringIO(), monkeypatch)
    with progress_bar("loading the model"):
        until_seen("\n", pipe)
    assert re.match(r"loading the model: 0:\d\d\n", pipe.getvalue())


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
        until_seen("symmetries", screen)
    assert max(map(len, screen.getvalue().split("\r"))) <= 39


def test_of_two_things_in_one_block_the_one_at_work_is_shown(monkeypatch):
    """A molecule is relaxed, and its Hessian computed, by one call."""
    pipe = stderr(io.StringIO(), monkeypatch)
    with progress_bar("relaxation") as relaxing:
        hessian = relaxing.under("Hessian")
        relaxing(3, 0)
        until_seen("relaxation: 3 so far", pipe)
        hessian(1, 4)
        until_seen("Hessian: 25 %", pipe)
    lines = pipe.getvalue().splitlines()
    assert lines[0].startswith("relaxation: 3 so far, 0:00")
    assert lines[-1].startswith("Hessian: 25 %")


def test_epochs_are_printed_above_the_bar(monkeypatch):
    screen = stderr(Screen(), monkeypatch)
    monkeypatch.setattr(sys, "stdout", screen)
    with progress_bar("training") as found:
        found(3, 10)
        until_seen("training: 30 %", screen)
        progress.print_above("    1   0.25")
        found(4, 10)
        until_seen("training: 40 %", screen)
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
