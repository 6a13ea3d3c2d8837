"""What threads share: locks, what is remembered, and functions of other packages that are replaced for a while.

Copies and pickles of what holds these have locks of their own and remember nothing. A child process made by fork has
free locks, whatever the other threads of its parent, which are not there any more, held at that moment.
"""

import os
import re
import sys
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:

    class RLock:
        """That of `_thread`. Its stub calls it final, which it is not, and leaves out what forks need."""

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
        def release(self) -> None: ...
        def __enter__(self) -> bool: ...
        def __exit__(self, *error: object) -> None: ...
        def _at_fork_reinit(self) -> None: ...
else:
    from _thread import RLock

Value = TypeVar("Value")


class Lock(RLock):
    """One thread at a time, which may enter again what it holds.

    It is Python's own: in a `with` written in Python, Ctrl-C between two lines would leave the lock held for ever.
    """

    def __init__(self) -> None:
        _LOCKS.add(self)

    def __reduce__(self) -> Any:
        return Lock, ()

    def renew_unless_own(self) -> None:
        """Free a lock that a thread holds which no longer is."""
        if self.acquire(blocking=False):
            self.release()
        else:
            self._at_fork_reinit()  # as the standard library does with its locks


_LOCKS: WeakSet[Lock] = WeakSet()


_jax_stayed_behind = False


def jax_stayed_behind() -> bool:
    """Whether this process was forked from one in which JAX had started.

    Only the thread that forks lives on in the child. JAX waits there for its own threads, for ever.
    """
    return _jax_stayed_behind


def _jax_has_started() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")
    # A private name: where a later JAX has another, imported counts as started.
    return bridge is not None and getattr(bridge, "backends_are_initialized", lambda: True)()


def _after_fork() -> None:
    global _jax_stayed_behind
    _jax_stayed_behind = _jax_stayed_behind or _jax_has_started()
    for lock in list(_LOCKS):
        lock.renew_unless_own()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Entry(Generic[Value]):
    """A value that is made once, by whoever asks first; others wait for it."""

    def __init__(self, key: Hashable) -> None:
        self.key, self.lock, self.made = key, Lock(), False
        self.value: Value  # once it is made


class Remembered(Generic[Value]):
    """What was made last, for the next question about the same thing.

    Threads that ask about one thing at once wait for the first; about several things, each gets its own. What fails
    or is interrupted is not remembered.

    Args:
        worth_keeping: of a value, whether it is remembered; all are when None.
        most: how many things are remembered; of more, the one that was longest not asked about is dropped.
    """

    def __init__(self, worth_keeping: Callable[[Value], bool] | None = None, most: int = 1) -> None:
        self._worth_keeping, self._most, self._lock = worth_keeping, most, Lock()
        self._entries: list[_Entry[Value]] = []  # the last one asked about is the last

    def __reduce__(self) -> Any:
        return Remembered, (self._worth_keeping, self._most)

    def of(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made now unless it is remembered; one too many is dropped first."""
        with self._lock:
            entry = next((known for known in self._entries if known.key == key), None) or _Entry(key)
            others = [known for known in self._entries if known is not entry]
            self._entries = [*others, entry][-self._most :]
        with entry.lock:
            if not entry.made:
                entry.value = make()
                entry.made = True
                if self._worth_keeping and not self._worth_keeping(entry.value):
                    self._drop(entry)
            return entry.value

    @property
    def last(self) -> Value | None:
        """What was asked about last, where it is remembered."""
        entries = self._entries  # once: another thread may forget it meanwhile
        return entries[-1].value if entries and entries[-1].made else None

    def forget(self) -> None:
        """Drop all values, and free their memory."""
        self._entries = []

    def _drop(self, entry: _Entry[Value]) -> None:
        with self._lock:
            self._entries = [known for known in self._entries if known is not entry]


FILTERS = Lock()  # of `warnings.filters`, for all who change that list in place


@contextmanager
def ignored_warnings(message: str, category: type[Warning] = Warning) -> Iterator[None]:
    """A block in which warnings that begin so are not shown, in any thread.

    `warnings.catch_warnings` is for one thread alone: each block restores the filters that it met, and the one that
    ends last those of another.

    Args:
        message: a regular expression, as for `warnings.filterwarnings`.
    """
    own: Any = ("ignore", re.compile(message, re.IGNORECASE), category, None, 0)
    with FILTERS:
        filters: Any = warnings.filters
        filters.insert(0, own)
    try:
        yield
    finally:
        with FILTERS:
            now: Any = warnings.filters  # somebody's catch_warnings may have put another list in place, or a copy
            for some in (filters, now):
                some[:] = [other for other in some if other is not own]


class Replacement:
    """A function of other modules that is replaced while any thread is in a block that wants it.

    The replacement is seen by all threads, and must give those outside the blocks what the original gives.

    Args:
        modules: all those that hold the function under its name.
        name: of the function.
        make: the original -> what stands in its place.
    """

    def __init__(self, modules: Sequence[Any], name: str, make: Callable[[Any], Any]) -> None:
        self._modules, self._name, self._make = modules, name, make
        self._lock, self._n_blocks = Lock(), 0
        self._original: Any = None

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """A block; the last one to end, of any thread, puts the original back."""
        with self._lock:
            if not self._n_blocks:
                self._original = getattr(self._modules[0], self._name)
                self._set(self._make(self._original))
            self._n_blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_blocks -= 1
                if not self._n_blocks:
                    self._set(self._original)

    def _set(self, function: Any) -> None:
        for module in self._modules:
            setattr(module, self._name, function)
