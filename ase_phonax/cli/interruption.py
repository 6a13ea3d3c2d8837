"""Whatever stops a run from outside unwinds the stack, so that no half-written folder stays behind."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

AGAIN_SECONDS = 0.05  # after an exception was lost


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """A block that a batch system's SIGTERM leaves by SystemExit, and Ctrl-C by KeyboardInterrupt, whenever they come.

    Python raises what a signal's handler raises wherever it happens to be. In a callback of compiled code, such as
    JAX's at every collection of garbage, it is printed and forgotten; there it is raised once more a moment later.
    """
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield
        return
    hook, lost = sys.unraisablehook, list[BaseException]()

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    def again(number: int, frame: object) -> None:
        raise lost.pop()

    def raise_again(unraisable: sys.UnraisableHookArgs) -> None:
        here = threading.current_thread() is threading.main_thread()
        if here and isinstance(unraisable.exc_value, (SystemExit, KeyboardInterrupt)):
            lost[:] = [unraisable.exc_value]
            signal.signal(signal.SIGALRM, again)
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        else:
            hook(unraisable)

    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGALRM)]
    signal.signal(signal.SIGTERM, stop)
    sys.unraisablehook = raise_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        if lost:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
