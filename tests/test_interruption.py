import os
import signal
import sys
import time

import pytest

from ase_phonax.cli.interruption import stopped_by_signals


class Stopped:
    """Gets a signal where Python can only print what is raised."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        os.kill(os.getpid(), self.number)
        time.sleep(0.01)  # the handler runs here


@pytest.mark.parametrize(("number", "exception"), [("SIGTERM", SystemExit), ("SIGINT", KeyboardInterrupt)])
def test_a_signal_in_a_place_where_exceptions_are_lost_stops_the_run_all_the_same(number, exception, capsys):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hook, handlers = sys.unraisablehook, [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGALRM)]

    @stopped_by_signals()
    def run():
        Stopped(getattr(signal, number))
        time.sleep(5)

    start = time.monotonic()
    with pytest.raises(exception) as stop:
        run()
    assert time.monotonic() - start < 4
    assert "ignored" not in capsys.readouterr().err
    if exception is SystemExit:
        assert stop.value.code == 143
    assert sys.unraisablehook is hook
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGALRM)] == handlers


def test_other_exceptions_that_are_lost_are_told_as_ever(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))

    class Broken:
        def __del__(self):
            raise ValueError

    with stopped_by_signals():
        Broken()
    assert told == [ValueError]
