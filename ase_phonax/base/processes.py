"""Tasks in processes of their own, which end with the process that started them, and whose deaths are told."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

from .errors import InputError, PhonaxError, in_words

_JOIN_SECONDS = 5.0


@dataclass(frozen=True)
class Death:
    """What stands in place of a result whose process was ended from outside.

    Attributes:
        exit_code: negative for a signal.
    """

    exit_code: int

    def __str__(self) -> str:
        if self.exit_code >= 0:
            return f"its process ended with code {self.exit_code}"
        name = signal.Signals(-self.exit_code).name
        why = "; the memory of the machine may not suffice for it" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{why}"


@dataclass
class _Worker:
    process: Any
    connection: Connection
    task: Any
    ready: bool = False


def in_processes(
    function: Callable[[Any], Any],
    tasks: Iterable[Any],
    n_processes: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...] = (),
) -> Generator[tuple[Any, Any]]:
    """(task, result) as they end, each process computing one task after another; another takes the place of a dead one.

    Whatever ends the caller ends the processes: leaving the loop, an exception, Ctrl-C, or a signal that nobody can
    catch. They are not sent Ctrl-C themselves, so that there is one voice to tell of it.

    Args:
        function: of a module, as its name is what is sent; or a `functools.partial` of one, with what it holds.
        start: called once in every process with `arguments`.

    Returns:
        The result of a task, or a `Death`.

    Raises:
        PhonaxError: what `start` or `function` raised; other exceptions of theirs as RuntimeError in words.
        InputError: the function cannot be sent, or a process was ended before it had started.
    """
    work = _sendable(function, start, arguments)
    waiting, workers = deque(tasks), dict[Any, _Worker]()
    try:
        while waiting or workers:
            while waiting and len(workers) < n_processes:
                worker = _started(waiting.popleft())
                workers[worker.connection] = worker
            for ready in wait(list(workers)):
                worker = workers[ready]
                try:
                    kind, value = worker.connection.recv()
                except (EOFError, OSError):
                    del workers[ready]
                    yield worker.task, _death(worker)
                    continue
                if kind == "here":  # it listens now: nobody waits while work of megabytes is sent
                    with suppress(OSError):  # dead since: the next recv says so
                        worker.connection.send_bytes(work)
                        worker.connection.send(worker.task)
                    continue
                if kind == "ready":
                    worker.ready = True
                    continue
                if kind == "failed":
                    raise value
                task = worker.task
                if waiting:
                    worker.task = waiting.popleft()
                    with suppress(OSError):  # dead since: the next recv says so
                        worker.connection.send(worker.task)
                else:
                    del workers[ready]
                    worker.connection.close()
                yield task, value
    finally:
        for worker in workers.values():
            worker.process.kill()
        for worker in workers.values():
            worker.process.join(_JOIN_SECONDS)


def _death(worker: _Worker) -> Death:
    worker.process.join(_JOIN_SECONDS)
    death = Death(worker.process.exitcode or 0)
    if not worker.ready:
        raise InputError(
            f"a process that was to compute structures ended before it could begin: {death}",
            "none of them would be computed",
            "try fewer of them (`n_workers`), which need less memory",
        )
    return death


def _sendable(*work: Any) -> memoryview:
    """What a process is to do, in the form of `Connection.send`."""
    try:
        return ForkingPickler.dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError) as error:  # of functions inside of functions
        raise InputError(
            f"what is to be computed cannot be sent to other processes: {in_words(error)}",
            "several of them compute, each with a copy",
            "define its functions at the top of a module, or compute in one process (`n_workers=1`)",
        ) from error


def _started(task: Any) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    with _undisturbed():
        process.start()
    theirs.close()
    return _Worker(process, ours, task)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes started inside never see SIGINT; what stops this one is put off until they have got what they need."""
    # Python starts a process of its own beside the first one, and lets SIGINT through again when it has done so.
    resource_tracker.ensure_running()
    came: list[int] = []
    handled = [signal.SIGINT, signal.SIGTERM] if threading.current_thread() is threading.main_thread() else []
    handlers = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in handled}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for which, handler in handlers.items():
            signal.signal(which, signal.SIG_DFL if handler is None else handler)
    for number in came[:1]:
        signal.raise_signal(number)


def _serve(connection: Connection) -> None:
    """What a process does: start, then compute what comes until nothing can come any more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        connection.send(("here", None))
        function, start, arguments = connection.recv()
        start(*arguments)
        connection.send(("ready", None))
        while True:
            connection.send(("done", function(connection.recv())))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # nobody is there to compute for
        pass
    except PhonaxError as error:
        connection.send(("failed", error))
    except Exception as error:  # the parent raises it, whatever it is
        connection.send(("failed", RuntimeError(in_words(error))))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "this runs in a process that was started"
    wait([parent.sentinel])
    os._exit(1)
