"""What a setting is: its default, how it is written, what it means and what is refused, all in one place.

Settings are frozen dataclasses whose fields are made by `option` and `flag`. From them Python's arguments, the options
of the command line with their help, and the keys of configuration files are made and checked. Importing this is cheap.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..base.errors import InputError
from ..base.settings import Given, of_python, unknown_key

MAX_MESH = 500  # 500³ q-points are more than any memory holds, and none of them is needed
_KEY = "option"  # in the metadata of a field


class Unfit(ValueError):
    """A value that a setting cannot have.

    Args:
        why: what is wrong with it.
        typed: what else may be wrong where it was typed.
    """

    def __init__(self, why: str, typed: str = ""):
        super().__init__(why)
        self.typed = typed


@dataclass(frozen=True)
class Option:
    """How a setting is written and explained.

    Attributes:
        kind: makes one value of a text or of a value in Python, or raises Unfit; None for what is switched on or off.
        group: heading of the help.
        help: what it means; %(default)s stands for the default.
        metavar: how its values are called in the help; of several values, several names.
        n_values: how many values belong to it: None for one that stands alone, a number, "+" or "*".
        repeated: it may be given several times.
        choices: the only values that are understood.
        either: of all options with this word at most one is given.
        unnamed: value of the option where it is written without one; None where it has to have one.
    """

    kind: Callable[[Given], Any] | None
    group: str
    help: str
    metavar: str | tuple[str, ...] | None = None
    n_values: int | str | None = None
    repeated: bool = False
    choices: tuple[str, ...] = ()
    either: str = ""
    unnamed: Any = None


def option(default: Any, kind: Callable[[Given], Any], group: str, help: str, **rest: Any) -> Any:
    """A field of settings with values; the arguments are those of `Option`."""
    return dataclasses.field(default=default, metadata={_KEY: Option(kind, group, help, **rest)})


def flag(group: str, help: str, *, either: str = "") -> Any:
    """A field of settings that is off unless switched on."""
    return dataclasses.field(default=False, metadata={_KEY: Option(None, group, help, either=either)})


def options_of(settings: type) -> Iterator[tuple[dataclasses.Field[Any], Option]]:
    """Fields of settings and what they are as options, in the order of the help."""
    return ((field, field.metadata[_KEY]) for field in dataclasses.fields(settings))


@dataclass(frozen=True)
class Settings:
    """Settings that are checked when they are made: each by its kind, then all together.

    Several values can be any sequence, of arrays as well; they are kept as tuples. Of settings that exclude each other
    one may be stated, be it with the value that it has anyway. Where all settings are stated at once (`replace`,
    `from_dict` of a whole `to_dict`), those count as stated that differ from their defaults.

    Raises:
        InputError: a value that does not fit, two that exclude each other.
    """

    def __new__(cls, *values: Given, **named: Given) -> Self:
        """Notes which settings are stated: a default that is stated cannot be told from one that is not, later on."""
        settings = super().__new__(cls)
        names = [field.name for field in dataclasses.fields(cls)]
        stated = {*names[: len(values)], *named}
        if stated:  # nothing is when a settings object is copied
            settings.__dict__["_stated"] = stated if len(stated) < len(names) else None
        return settings

    def __post_init__(self) -> None:
        stated: set[str] | None = self.__dict__.pop("_stated", set())
        decided: dict[str, str] = {}
        for field, setting in options_of(type(self)):
            value = _fitting(type(self).__name__, field, setting, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
            if not setting.either or value is None or value is False:
                continue
            if value != field.default if stated is None else field.name in stated:
                if other := decided.get(setting.either):
                    raise InputError(
                        f"{type(self).__name__}: {field.name} and {other} are given together",
                        "each of them decides the same thing",
                        "leave one of the two out",
                    )
                decided[setting.either] = field.name
        self._check()

    def _check(self) -> None:
        """Refuse values that make no sense together."""

    @classmethod
    def checked(cls, settings: Self | None) -> Self:
        """The settings given, or the defaults.

        Raises:
            InputError: settings of something else.
        """
        if settings is not None and not isinstance(settings, cls):
            raise InputError(
                f"the settings are a {type(settings).__name__}",
                "a study knows its own alone",
                f"give {cls.__name__}(...), or {cls.__name__}.from_dict of names and values",
            )
        return cls() if settings is None else settings

    def to_dict(self) -> dict[str, Any]:
        """The settings in built-in types, as JSON and YAML have them."""
        return {field.name: _plain(getattr(self, field.name)) for field, _ in options_of(type(self))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings of what `to_dict` gives, or of a part of it: what is left out has its default.

        Raises:
            InputError: a name that is none, or a value that does not fit.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise unknown_key(cls.__name__, str(name), str(name), known)
        return cls(**values)


def _plain(value: Any) -> Any:
    """The value of a setting as JSON and YAML have it."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _fitting(owner: str, field: dataclasses.Field[Any], setting: Option, value: Given) -> Any:
    """`fitting`, with the name of the setting and of its class in the error."""
    try:
        if value is None and field.default is not None:
            raise Unfit("None stands for nothing here")
        return fitting(setting, value)
    except Unfit as error:
        raise InputError(
            f"{owner}: {field.name}: {error}",
            "nothing was computed",
            f"{field.name} means: {setting.help % {'default': field.default}}",
        ) from None


def fitting(setting: Option, value: Given) -> Any:
    """A value of Python as a setting keeps it.

    Raises:
        Unfit: saying what is wrong with it.
    """
    value = of_python(value)
    if value is None and setting.kind is not None:
        return None
    if setting.kind is None:
        if not isinstance(value, bool):
            raise Unfit(f"{value!r} is neither True nor False")
        return value
    if setting.repeated:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise Unfit(f"{value!r} is not a list")
        rows = [of_python(row) for row in value]
        alone = rows and not isinstance(rows[0], (list, tuple))
        return tuple(_values(setting, row) for row in ([rows] if alone else rows))
    if setting.n_values is not None:
        return _values(setting, value)
    value = setting.kind(value)
    if setting.choices and value not in setting.choices:
        raise Unfit(f"{value!r} is none of {', '.join(setting.choices)}")
    return value


def _values(setting: Option, value: Given) -> tuple[Any, ...]:
    """The values that belong to one mention of a setting.

    Raises:
        Unfit: too many, too few, or one that does not fit.
    """
    assert setting.kind is not None, "what has values has a kind"
    values = _sequence(value)
    if isinstance(setting.n_values, int) and len(values) != setting.n_values:
        names = f", {' '.join(setting.metavar)}" if isinstance(setting.metavar, tuple) else ""
        raise Unfit(f"{len(values)} values where there are {setting.n_values}{names}")
    if setting.n_values == "+" and not values:
        raise Unfit("no value where there is one or more")
    return tuple(map(setting.kind, values))


def _sequence(value: Given) -> Sequence[Any]:
    """The entries of any sequence, rows of a matrix one after the other; a value that stands alone is one entry."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return [value]
    entries = [of_python(entry) for entry in value]
    if entries and all(isinstance(row, (list, tuple)) and all(hasattr(x, "__float__") for x in row) for row in entries):
        return [of_python(x) for row in entries for x in row]
    return entries


# ---- kinds of values: each takes a text, or what stands for it in Python -----------------------------


def number(value: Given) -> float:
    """Any number; the study that reads it refuses those that make no sense for it."""
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise Unfit(f"invalid float value: {value!r}") from None


def _whole(value: Given) -> int:
    """A whole number, or a TypeError or ValueError of Python's own."""
    if isinstance(value, str):
        return int(value)
    if isinstance(value, bool):
        raise ValueError
    return operator.index(value)


def whole(value: Given) -> int:
    """Any whole number."""
    try:
        return _whole(value)
    except (TypeError, ValueError):
        raise Unfit(f"invalid int value: {value!r}") from None


def integer(value: Given) -> int:
    """Any whole number; typed, it may have swallowed the structure, and the error says where that belongs."""
    try:
        return _whole(value)
    except (TypeError, ValueError):
        raise Unfit(f"{value!r} is not an integer", " (the structure comes before the options)") from None


def positive_integer(value: Given) -> int:
    """A whole number above zero."""
    count = integer(value)
    if count < 1:
        raise Unfit(f"{value!r} is not a positive number")
    return count


def positive(value: Given) -> float:
    """A positive number."""
    try:
        size = number(value)
    except Unfit:
        size = float("nan")
    if not 0 < size < float("inf"):
        raise Unfit(f"{value!r} is not a positive number")
    return size


def mesh_number(value: Given) -> int:
    """A number of q-points along one direction."""
    count = integer(value)
    if not 1 <= count <= MAX_MESH:
        raise Unfit(f"{count} q-points along one direction: a mesh has 1 to {MAX_MESH}")
    return count


def coordinate(value: Given) -> float:
    """A coordinate of a wave vector: 0.25 or 1/3; 0.3333 means 1/3, as all simple fractions typed with four digits."""
    from fractions import Fraction

    try:
        size = float(Fraction(value)) if isinstance(value, str) and "/" in value else number(value)
    except (ValueError, ZeroDivisionError):
        raise Unfit(f"{value!r} is not a coordinate of a wave vector, such as 0.25 or 1/3") from None
    if not abs(size) < 1e3:
        return size  # the section says what is wrong with it
    simple = float(Fraction(size).limit_denominator(12))
    return simple if abs(simple - size) < 5e-5 else size


def fraction(value: Given) -> float:
    """A number or a fraction: "0.5", "1/3"."""
    from fractions import Fraction

    try:
        return float(Fraction(value if isinstance(value, str) else number(value)))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise Unfit(f"{value!r} is neither a number nor a fraction such as 1/3") from None


def text(value: Given) -> str:
    """A text."""
    if not isinstance(value, str):
        raise Unfit(f"{value!r} is not a text")
    return value


def path(value: Given) -> Path:
    """The name of a file."""
    if not isinstance(value, (str, Path)):
        raise Unfit(f"{value!r} is not the name of a file")
    return Path(value)
