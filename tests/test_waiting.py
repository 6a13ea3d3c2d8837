"""What stands on a terminal or in a batch job's file while something long is computed."""

import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from ase_phonax.cli import progress
from ase_phonax.cli.progress import progress_bar, without_progress

from . import screen

ROOT = Path(__file__).parents[1]


class Screen(io.StringIO):
    """A terminal of one column per character: what a person sees in the end."""

    def isatty(self) -> bool:
        return True

    def seen(self) -> list[str]:
        shown = screen.Screen()
        shown.feed(self.getvalue())
        return shown.lines()

    def painted(self) -> list[str]:
        """Every line that has ever stood there, bars among them."""
        return [re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", line).rstrip() for line in re.split(r"[\r\n]+", self.getvalue())]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Seconds are tenths here."""
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.3, raising=False)
    monkeypatch.setattr(progress, "_REPAINT_SECONDS", 0.05, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")  # a bar is as long as its characters then


def stderr(stream: io.StringIO, monkeypatch) -> io.StringIO:
    """Set inside a test: pytest puts its own in place between a fixture and the test."""
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_a_bar_is_wiped_whether_it_was_counted_or_not(monkeypatch):
    """Kills: a clock without a count, painted by its thread, that stays in front of the first line of the table."""
    terminal = stderr(Screen(), monkeypatch)
    with progress_bar("densities"):
        until_seen("densities: 0:0", terminal)
    with progress_bar("bands") as bar:
        bar(3, 10)
        until_seen("bands: 30 %", terminal)
    print("NaCl   Fm-3m", file=sys.stderr)
    assert [line for line in terminal.seen() if line] == ["NaCl   Fm-3m"]


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
    terminal = stderr(Screen(), monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")
    now = stopped_clock(monkeypatch)
    with progress_bar("bands") as wait:
        wait(0, 10)
        now[0] = 12.0
        wait(4, 10)
        assert wait.in_words() == "bands: 40 %, 0:12, about 0:18 left"
        until_seen("about 0:18 left", terminal)
        now[0] = 4000.0
        wait(10, 10)
        assert wait.in_words() == "bands: 100 %, 1:06:40"
        until_seen("1:06:40", terminal)
    for words, share, times in (("bands: 40 %", 0.4, "0:12, about 0:18 left"), ("bands: 100 %", 1.0, "1:06:40")):
        line = next(line for line in terminal.painted() if line.startswith(words))
        assert line.endswith(times)
        length = 80 - len(words) - len(times) - 2  # a space on both sides
        assert line[len(words) + 1 :].count("━") == pytest.approx(share * length, abs=1)


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
    told = stderr(stream(), monkeypatch)
    with without_progress(), progress_bar("bands") as wait:
        wait(1, 2)
        time.sleep(0.3)
    assert told.getvalue() == ""


def test_a_line_too_long_for_the_terminal_is_cut(monkeypatch):
    """A second line could not be painted over."""
    terminal = stderr(Screen(), monkeypatch)
    monkeypatch.setenv("COLUMNS", "40")
    with progress_bar("symmetries and more") as bar:
        bar(3, 10)
        until_seen("symmetries", terminal)
    assert max(map(len, terminal.painted())) <= 40


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
    terminal = stderr(Screen(), monkeypatch)
    monkeypatch.setattr(sys, "stdout", terminal)
    with progress_bar("training") as bar:
        bar(3, 10)
        until_seen("training: 30 %", terminal)
        progress.print_above("    1   0.25")
        bar(4, 10)
        until_seen("training: 40 %", terminal)
    assert [line for line in terminal.seen() if line] == ["    1   0.25"]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_reader_of_messages_that_has_left_stops_nothing(terminal, monkeypatch):
    """Kills: rich's answer to a broken pipe, which ends the process."""

    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def isatty(self):
            return terminal

    gone = stderr(Gone(), monkeypatch)
    with progress_bar("bands") as bar:
        bar(1, 2)
        time.sleep(0.3)
        bar(2, 2)
    assert sys.stderr is gone


def test_what_others_print_stands_above_the_bar_whole_and_in_order(monkeypatch):
    """On both streams, of any thread, in pieces as `print` writes them; the streams are as before afterwards."""
    terminal = stderr(Screen(), monkeypatch)
    monkeypatch.setattr(sys, "stdout", terminal)
    with progress_bar("bands") as bar:
        bar(1, 2)
        until_seen("bands: 50 %", terminal)
        print("one", "piece", end=" ")
        time.sleep(0.2)  # the clock paints meanwhile
        print("after another")
        print("a warning", file=sys.stderr)
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        print("no end of line", end="")
    assert sys.stderr is terminal
    assert sys.stdout is terminal
    lines = [line for line in terminal.seen() if line]
    assert lines == ["one piece after another", "a warning", "from a thread", "no end of line"]


def test_streams_that_somebody_replaced_meanwhile_stay_replaced(monkeypatch):
    """Kills: a bar that puts back at its end what it met at its beginning."""
    terminal = stderr(Screen(), monkeypatch)
    with progress_bar("bands"):
        until_seen("bands", terminal)
        during = sys.stderr
        mine = sys.stderr = io.StringIO()
    assert sys.stderr is mine
    print("kept by whoever got it while the bar stood there", file=during)
    assert terminal.seen()[-1].startswith("kept by whoever")


def test_of_bars_inside_each_other_one_is_shown(monkeypatch):
    """The innermost that has lasted; the outer one goes on until then, and again afterwards. Kills: a longer line of
    the outer one, whose end stays behind the inner one's."""
    terminal = stderr(Screen(), monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")
    with progress_bar("a description of many words") as outer:
        outer(1, 2)
        until_seen("many words: 50 %", terminal)
        with progress_bar("in"):
            until_seen("in: 0:0", terminal)
            with progress._PAINTING:
                (line,) = [line for line in terminal.seen() if line]
            assert re.match(r"in: 0:\d\d .*━", line)  # a bar that moves, not an empty one
            assert "words" not in line
        outer(2, 2)
        until_seen("many words: 100 %", terminal)
        assert len([line for line in terminal.seen() if line]) <= 1
    assert not any(terminal.seen())


def test_rich_is_imported_for_a_bar_and_for_nothing_else():
    code = """
import sys
from ase_phonax.cli import progress
with progress.progress_bar("quick") as bar:
    bar(1, 2)
print([name for name in sys.modules if name.split(".")[0] == "rich"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# ---- in a terminal of the system ---------------------------------------------------------------------

BEGIN = """
import os, signal, sys, time, warnings
from ase_phonax.cli import progress
from ase_phonax.cli.progress import print_above, progress_bar
progress.SILENT_SECONDS, progress._REPAINT_SECONDS = 0.1, 0.05
signal.signal(signal.SIGINT, signal.default_int_handler)
def shown(words):
    while progress._bar is None or words not in progress._bar.words:
        time.sleep(0.02)
    time.sleep(0.2)
"""
ENDS = {
    "end": """
with progress_bar("densities of states") as outer:
    outer(1, 3)
    shown("densities of states: 33 %")
    with progress_bar("compiling") as inner:
        shown("compiling: 0:0")
        warnings.warn("moved")
    print_above("epoch 1")
print("NaCl   Fm-3m")
""",
    "an exception": """
try:
    with progress_bar("densities of states") as outer:
        outer(2, 3)
        shown("densities of states: 67 %")
        1 / 0
except ZeroDivisionError:
    print("divided", file=sys.stderr)
""",
    "Ctrl-C": """
try:
    with progress_bar("densities of states") as outer, progress_bar("symmetries and more") as inner:
        inner(2, 3)
        shown("symmetries and more: 67 %")
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
""",
}
LEFT = {"end": ["epoch 1", "NaCl   Fm-3m"], "an exception": ["divided"], "Ctrl-C": ["interrupted"]}


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **more}


def in_terminal(code: str, columns: int, **more: str) -> str:
    """All that a script writes to a terminal of some width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**more)
    )
    os.close(theirs)
    written = b""
    try:
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that nobody writes any more
                break
            if not piece:
                break
            written += piece
        assert process.wait(timeout=30) == 0, written.decode()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(ours)
    return written.decode()


@pytest.mark.parametrize("columns", [40, 120])
@pytest.mark.parametrize("how", ENDS)
def test_nothing_of_a_bar_stays_on_a_terminal(how, columns):
    written = in_terminal(BEGIN + ENDS[how], columns)
    terminal = screen.Screen(columns)
    terminal.feed(written)
    lines = [line for line in terminal.lines() if "warn" not in line.lower()]
    assert lines == LEFT[how]
    assert any("UserWarning: moved" in line for line in terminal.lines()) == (how == "end")
    # A bar was there, as wide as the terminal, with a share, and with the time left where there was room for it.
    bars = [line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", written)) if " %" in line]
    assert bars
    assert max(map(len, bars)) <= columns
    assert all(re.search(r"\d:\d\d left$", bar.rstrip()) for bar in bars)
    assert "\x1b[?25l" not in written  # a cursor that a killed run would not bring back


def test_a_child_process_made_while_a_bar_is_shown_prints_and_ends():
    """Kills: a child that waits for a lock of rich's which a thread of its parent held."""
    fork = """
with progress_bar("densities of states") as outer:
    outer(1, 3)
    shown("densities of states: 33 %")
    child = os.fork()
    if not child:
        assert progress._bar is None and sys.stderr is sys.__stderr__
        print("from the child", file=sys.stderr, flush=True)
        with progress_bar("its own"):
            time.sleep(0.3)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
print("end")
"""
    written = in_terminal("import warnings; warnings.simplefilter('ignore')\n" + BEGIN + fork, 80)
    assert "from the child" in written
    assert written.rstrip().endswith("end")


def test_a_terminal_shows_colours_unless_they_are_unwanted():
    code = BEGIN + ENDS["an exception"]
    coloured, plain = in_terminal(code, 80), in_terminal(code, 80, NO_COLOR="1")
    assert re.search(r"\x1b\[(?:38|3\d|9\d)[;m]", coloured)
    assert not re.search(r"\x1b\[(?:38|3\d|9\d)[;m]", plain)


def test_a_dumb_terminal_gets_lines():
    code = BEGIN.replace("progress._bar is None or words not in progress._bar.words", "False") + ENDS["an exception"]
    written = in_terminal(code.replace("time.sleep(0.2)", "time.sleep(0.5)"), 80, TERM="dumb")
    assert "\x1b" not in written
    assert re.match(r"densities of states: 67 %, 0:0\d, about 0:0\d left\r\n", written)
