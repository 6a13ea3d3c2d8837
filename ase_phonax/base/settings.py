"""Settings: YAML files, and values given in Python, that map to frozen dataclasses, every mistake named.

Read from above: a file (`read_yaml`), what it says as a dataclass (`build`), the same checks for one that was made in
Python (`check_fields`), and single values (`convert`).
"""

import dataclasses
import difflib
import math
import os
import reprlib
import types
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from .errors import InputError, in_words
from .input_files import DEEPEST, require_file, shown

LARGEST_FILE = 10_000_000  # bytes
LARGEST_NUMBER = 10**15  # of whole numbers: what counts something fits easily
Given = Any  # what a file or a caller gives: anything
Hint = Any  # an annotation, as `typing.get_type_hints` has it
Prepare = Callable[[type, Mapping[str, Given], str], Mapping[str, Given]]


def read_yaml(path: str | Path) -> Given:
    """The content of a YAML file; an empty one is an empty mapping.

    Raises:
        InputError: not readable, not YAML, or a key that stands twice in a mapping.
    """
    import yaml

    why = "its settings would be missing"
    require_file(path, "the configuration", why, may_be_empty=True)
    try:
        if os.stat(path).st_size > LARGEST_FILE:
            raise InputError(
                f"the configuration {shown(path)} has more than {LARGEST_FILE // 1_000_000} MB",
                "settings are a page of text: it is another file",
                "check the path",
            )
        content = yaml.load(Path(path).read_text(encoding="utf-8"), _strict_loader())
        return {} if content is None else content
    except InputError as error:
        raise InputError(f"the configuration {shown(path)}: {error.what}", error.why, error.remedy) from error
    except OSError as error:
        raise InputError(
            f"the configuration {shown(path)} cannot be read: {error.strerror}", why, "check the path"
        ) from error
    except Exception as error:  # PyYAML raises whatever its conversions of numbers and dates, or nesting, run into
        raise InputError(
            f"the configuration {shown(path)} is not YAML: {' '.join(in_words(error).split())[:500]}",
            why,
            "YAML is `name: value` lines, lists with `- ` below a name; texts like numbers or dates need quotes",
        ) from error


def _strict_loader() -> Any:
    """PyYAML's safe loader, which would take the last of two values for one key without a word."""
    import yaml

    class Loader(yaml.SafeLoader):
        """With keys that stand once, and so much nesting as a program can follow."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth += 1
            if self.depth > DEEPEST:
                raise ValueError(f"it is nested deeper than {DEEPEST} levels")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else []:
                if key.tag == "tag:yaml.org,2002:merge":
                    continue
                name = (key.tag, str(key.value))
                if isinstance(key, yaml.ScalarNode) and name in seen:
                    raise InputError(
                        f"the key {key.value[:80]!r} stands twice, the second time on line {key.start_mark.line + 1}",
                        "only one of the two values could count",
                        "delete one of them",
                    )
                seen.add(name)
            return super().construct_mapping(node, deep)

    return Loader


def unknown_key(source: str, path: str, key: str, known: Collection[str]) -> InputError:
    """What to say of a name that is none: the nearest, or all."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return InputError(
        f"{source} has the unknown key {path!r}",
        "a mistyped setting would be left out unseen",
        f"did you mean {near[0]!r}?" if near else f"known here are {', '.join(sorted(known))}",
    )


def build(kind: type, values: Given, source: str, prepare: Prepare | None = None, inside: str = "") -> Any:
    """A frozen dataclass, and those inside it, from nested mappings as YAML has them.

    Args:
        kind: the dataclass; its annotations are plain types, tuples, dictionaries, or dataclasses and tuples of them.
        values: mapping of its fields.
        source: where they come from, for messages.
        prepare: (dataclass, its mapping, source) -> mapping, before names are compared.
        inside: path of this mapping in the whole.

    Raises:
        InputError: an unknown key, or a value of a wrong kind.
    """
    if not isinstance(values, Mapping):
        raise InputError(
            f"{source}: {inside or 'the whole'} is {_short(values)}",
            "it has named settings inside",
            f"give values by name, of {', '.join(f.name for f in dataclasses.fields(kind))}",
        )
    if prepare:
        values = prepare(kind, values, source)
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    for key in values:
        if key not in known:
            raise unknown_key(source, f"{inside}.{key}" if inside else str(key), str(key), known)
    ready = {}
    for key, value in values.items():
        path = f"{inside}.{key}" if inside else str(key)
        if dataclasses.is_dataclass(hints[key]):
            ready[key] = build(hints[key], value, source, prepare, path)
        elif (item := _item(hints[key])) and isinstance(value, (list, tuple)):
            ready[key] = tuple(build(item, v, source, prepare, f"{path}[{k}]") for k, v in enumerate(value))
        else:
            ready[key] = convert(hints[key], value, source, path)
    missing = [f.name for f in dataclasses.fields(kind) if f.name not in ready and _is_required(f)]
    if missing:
        raise InputError(
            f"{source}: {inside or 'the whole'} lacks {', '.join(missing)}",
            "nothing stands in for what is not given",
            f"give {', '.join(missing)}",
        )
    return kind(**ready)


def _is_required(field: dataclasses.Field) -> bool:
    """Whether a field of a dataclass has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def check_fields(settings: object, source: str, prepare: Prepare | None = None, inside: str = "") -> None:
    """Take the values of a frozen dataclass that was made in Python as `build` takes those of YAML.

    Called in its `__post_init__`. Arrays and their scalars become plain numbers, and mappings the dataclasses that are
    wanted in their place; those inside are checked as well. The arguments are those of `build`.

    Raises:
        InputError: a value of a wrong kind.
    """
    kind: type = type(settings)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint, value = hints[field.name], getattr(settings, field.name)
        path = f"{inside}.{field.name}" if inside else field.name
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            if isinstance(value, hint):
                check_fields(value, source, prepare, path)
                continue
            value = build(hint, value, source, prepare, path)
        elif (item := _item(hint)) and isinstance(value, (list, tuple)):
            rows = enumerate(value)
            value = tuple(
                v if isinstance(v, item) else build(item, v, source, prepare, f"{path}[{k}]") for k, v in rows
            )
        else:
            value = convert(hint, value, source, path)
        object.__setattr__(settings, field.name, value)


def of_python(value: Given) -> Given:
    """A value that is no array: NumPy's numbers, texts and arrays become those of Python, arrays as lists."""
    return value.tolist() if hasattr(value, "tolist") and hasattr(value, "dtype") else value


def _of_yaml(value: Given) -> Given:
    """A value as YAML would have it: no array, and a path as text, alone or in a list."""
    value = of_python(value)
    if isinstance(value, (list, tuple)):
        return [_of_yaml(entry) for entry in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _item(hint: Hint) -> Any:
    """The dataclass D of an annotation tuple[D, ...]; None for others."""
    kinds = typing.get_args(hint)
    return kinds[0] if typing.get_origin(hint) is tuple and dataclasses.is_dataclass(kinds[0]) else None


def convert(hint: Hint, value: Given, source: str, path: str) -> Any:
    """A value of YAML or Python as one of the plain types of an annotation.

    Raises:
        InputError: it is none of them.
    """
    value = _of_yaml(value)
    wanted = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in wanted:
        return None
    # Numbers first: YAML reads 1e-3 as text, and a text may also be a path.
    wanted = tuple(sorted(wanted, key=lambda kind: kind not in (int, float)))
    for kind in wanted:
        origin = typing.get_origin(kind) or kind
        if kind in (tuple[int, ...], tuple[float, ...]):
            if isinstance(value, (list, tuple)):
                return tuple(convert(typing.get_args(kind)[0], v, source, path) for v in value)
            continue
        if origin is tuple and isinstance(value, str) and str not in wanted:
            return (value,)
        if origin is tuple and isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
            return tuple(value)
        if kind is bool and isinstance(value, bool):
            return value
        if origin is dict and isinstance(value, Mapping):
            inner = typing.get_args(kind)[1]
            if inner is Any:
                return dict(value)
            return {str(k): convert(inner, v, source, f"{path}.{k}") for k, v in value.items()}
        if origin is str and isinstance(value, str):
            return value
        if origin in (int, float) and (number := _number(value)) is not None:
            if origin is float:
                return number
            if number.is_integer() and abs(number) <= LARGEST_NUMBER:
                return int(value) if isinstance(value, int) else int(number)
    names = " or ".join(_name(k) for k in wanted)
    raise InputError(
        f"{source}: {path} is {_short(value)}",
        f"it has to be {names}",
        f"give {path.rsplit('.', 1)[-1]} such a value, or leave it out",
    )


def _number(value: Given) -> float | None:
    """A finite number, also where YAML reads a text (1e-3); None for anything else, true and false among them."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


_NAMES: dict[Hint, str] = {
    float: "a finite number",
    int: "a whole number",
    str: "a text",
    bool: "true or false",
    type(None): "nothing",
    tuple[float, ...]: "a list of numbers",
    tuple[int, ...]: "a list of whole numbers",
    tuple: "a list of texts",
    dict: "a section of its own",
}


def _name(kind: Hint) -> str:
    """A type as it is called in a configuration file."""
    for known in (kind, *(() if _item(kind) else (typing.get_origin(kind),))):
        if known in _NAMES:
            return _NAMES[known]
    return "a list of named settings" if _item(kind) else getattr(kind, "__name__", str(kind))


def _short(value: Given) -> str:
    """A wrong value as it is shown: somebody's data file would fill the screen."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 2, 80, 80
    text = short.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
