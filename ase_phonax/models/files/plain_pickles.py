"""Pickles read as data: an interpreter of their opcodes that makes numbers, texts, lists and arrays, and runs nothing.

Python's own reader calls what a pickle names and changes objects as it says. Here a name stays a name: a few of them,
with their arguments, stand for arrays; all others are refused, or stand for a bag of what they held.
"""

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

MOST_ITEMS = 3_000_000  # in all that is made: models have thousands
_KINDS = {"f4": "<f4", "f8": "<f8", "i1": "|i1", "i2": "<i2", "i4": "<i4", "i8": "<i8", "u1": "|u1", "b1": "|b1"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_NEW = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": list}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_SILENT = {"PROTO", "FRAME"}


class Name(NamedTuple):
    """What a pickle would import."""

    module: str
    name: str


class Held:
    """An object of another package: what it held, by name."""

    def __init__(self) -> None:
        self.state: dict[Any, Any] = {}


class _Kind:
    """A kind of numbers, by NumPy's name for it."""

    def __init__(self, text: Any):
        if not isinstance(text, str) or text.lstrip("<|=") not in _KINDS:
            raise ValueError(f"it holds numbers of the kind {text!r}")
        self.dtype = np.dtype(_KINDS[text.lstrip("<|=")])


class _Array:
    """An array of NumPy's, whose numbers come later."""

    def __init__(self) -> None:
        self.values: Any = np.empty(0)


class PlainPickle:
    """One pickle.

    Args:
        content: of it.
        refer: what a reference to something outside the pickle stands for.
        calls: what names with arguments stand for, besides NumPy's.
        is_held: whether a name stands for a bag of what it held.
    """

    def __init__(
        self,
        content: bytes,
        refer: Callable[[Any], Any],
        calls: dict[Name, Callable[..., Any]],
        is_held: Callable[[Name], bool] = lambda name: False,
    ):
        self.content, self.refer, self.is_held = content, refer, is_held
        self.calls = calls | _NUMPY
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def read(self) -> Any:
        """What it holds.

        Raises:
            ValueError: it is damaged, or holds anything else.
        """
        for opcode, argument, _ in pickletools.genops(self.content):
            name = opcode.name
            if name == "STOP":
                return counted(_finished(self.stack.pop()))
            if name in _LITERALS:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _NEW:
                self.stack.append(_NEW[name]())
            elif name in _TUPLES:
                items = self.stack[-_TUPLES[name] :]
                del self.stack[-_TUPLES[name] :]
                self.stack.append(tuple(map(_finished, items)))
            elif name not in _SILENT:
                self._step(name, argument)
        raise ValueError("it has no end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "MARK":
                self.marks.append(len(stack))
            case "POP":
                stack.pop()
            case "POP_MARK":
                self._since_mark()
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[int(argument)] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[int(argument)])
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "LIST":
                stack.append(self._since_mark())
            case "DICT":
                stack.append(_added({}, self._since_mark()))
            case "APPEND":
                value = _finished(stack.pop())
                _listed(stack[-1]).append(value)
            case "APPENDS" | "ADDITEMS":
                items = self._since_mark()
                _listed(stack[-1]).extend(items)
            case "SETITEM":
                pair = [stack.pop(-2), stack.pop()]
                _added(stack[-1], pair)
            case "SETITEMS":
                items = self._since_mark()
                _added(stack[-1], items)
            case "GLOBAL":
                module, _, own = str(argument).partition(" ")
                stack.append(Name(module, own))
            case "STACK_GLOBAL":
                own, module = stack.pop(), stack.pop()
                stack.append(Name(str(module), str(own)))
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(self._called(stack.pop(), arguments))
            case "BUILD":
                state = stack.pop()
                _build(stack[-1], state)
            case "BINPERSID":
                stack.append(self.refer(stack.pop()))
            case _:
                raise ValueError(f"it has the opcode {name}")

    def _since_mark(self) -> list[Any]:
        begin = self.marks.pop()
        items = [_finished(value) for value in self.stack[begin:]]
        del self.stack[begin:]
        return items

    def _called(self, name: Any, arguments: Any) -> Any:
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise ValueError("it calls what is no name")
        if name in self.calls:
            return self.calls[name](*arguments)
        if self.is_held(name):
            return Held()
        raise ValueError(f"it names {name.module}.{name.name}")


def counted(value: Any, most: int = MOST_ITEMS) -> Any:
    """The value, where all that is in it, counted as often as it comes, is not more than can be walked through.

    Raises:
        ValueError: it is more: lists inside lists that are referred to again and again.
    """
    left, waiting = most, [value]
    while waiting:
        one = waiting.pop()
        inside = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list | tuple) else ()
        left -= 1 + len(inside)
        if left < 0:
            raise ValueError(f"it holds more than {most} items")
        waiting.extend(inside)
    return value


def _finished(value: Any) -> Any:
    return value.values if isinstance(value, _Array) else value


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"it adds to a {type(value).__name__}")
    return value


def _added(target: Any, items: list[Any]) -> Any:
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError(f"it names parts of a {type(target).__name__}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int | float | bool | None):
            raise ValueError(f"it names a part by a {type(key).__name__}")
        target[key] = _finished(value)
    return target


def _build(target: Any, state: Any) -> None:
    """Give an object what it held."""
    if isinstance(target, Held):
        if isinstance(state, dict):
            target.state.update(state)
    elif isinstance(target, _Array):
        _, shape, kind, by_columns, content = state
        values = np.frombuffer(_bytes(content), kind.dtype).reshape(_shape(shape), order="F" if by_columns else "C")
        target.values = values.copy()
    elif isinstance(target, _Kind):
        if state[1] not in ("<", "|", "=") or any(part is not None for part in state[2:5]):
            raise ValueError("it holds numbers of several parts, or with their bytes in another order")
    elif not isinstance(target, dict):  # attributes of a dictionary are of no use here
        raise ValueError(f"it changes a {type(target).__name__}")


def _bytes(content: Any) -> bytes:
    if not isinstance(content, bytes):
        raise ValueError("an array holds no numbers")
    return content


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"an array has the shape {shape!r}")
    return shape


def _encoded(text: Any, encoding: Any) -> bytes:
    if encoding != "latin1" or not isinstance(text, str):
        raise ValueError(f"a text is encoded by {encoding!r}")
    return text.encode("latin1")


def _number(kind: Any, content: Any) -> Any:
    (value,) = np.frombuffer(_bytes(content), kind.dtype)
    return value.item()


_NUMPY: dict[Name, Callable[..., Any]] = {
    Name("_codecs", "encode"): _encoded,
    Name("numpy", "dtype"): lambda text, *_: _Kind(text),
}
for _core in ("core", "_core"):
    _NUMPY[Name(f"numpy.{_core}.multiarray", "_reconstruct")] = lambda *_: _Array()
    _NUMPY[Name(f"numpy.{_core}.multiarray", "scalar")] = _number
