"""Options of a command as fields of a form, and what is typed into them as its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass
from typing import Any

from ...base.errors import InputError
from ...base.settings import unknown_key
from ...studies.options import Option, Settings, options_of, path
from ...studies.settings import check_supercell

_LONGEST = 1000  # letters of an option
_BETWEEN = ";"  # several mentions of an option that may be given more than once


@dataclass(frozen=True)
class Offer:
    """A command of one structure that the application runs.

    Attributes:
        name: of the command.
        help: what it gives, one line.
        settings: whose options are fields. Those that name files are left out: nothing is read but what was uploaded.
        default_model: taken where none is named.
    """

    name: str
    help: str
    settings: tuple[type[Settings], ...]
    default_model: str

    def form(self) -> dict[str, Any]:
        """The command and its fields, in built-in types."""
        fields = [_field(field, setting) for field, setting in self._options()]
        return {"name": self.name, "help": self.help, "default_model": self.default_model, "fields": fields}

    def configuration(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What `--config` reads, of texts and ticks by the names of fields; empty ones are left out.

        Raises:
            InputError: a name that is no field, a value that does not fit, values that make no sense together.
        """
        known = {field.name: setting for field, setting in self._options()}
        for name in given:
            if name not in known:
                raise unknown_key(f"the form of {self.name}", name, name, known)
        stated = {name: _stated(name, known[name], value) for name, value in given.items()}
        stated = {name: value for name, value in stated.items() if value not in (None, False)}
        for kind in self.settings:
            own = {field.name: stated[field.name] for field, _ in options_of(kind) if field.name in stated}
            try:
                if own:
                    check_supercell(kind.from_dict(own))
            except InputError as error:
                what = error.what.removeprefix(f"{kind.__name__}: ")
                raise InputError(what, error.why, error.remedy) from error
        return stated

    def _options(self) -> list[tuple[Field[Any], Option]]:
        return [pair for kind in self.settings for pair in options_of(kind) if pair[1].kind is not path]


def _field(field: Field[Any], setting: Option) -> dict[str, Any]:
    names = setting.metavar if isinstance(setting.metavar, tuple) else (setting.metavar or "",)
    return {
        "name": field.name,
        "label": field.name.replace("_", " "),
        "group": setting.group,
        "help": setting.help % {"default": field.default},
        "is_flag": setting.kind is None,
        "choices": list(setting.choices),
        "hint": " ".join(names) + (f"{_BETWEEN} ..." if setting.repeated else ""),
    }


def _stated(name: str, setting: Option, value: Any) -> Any:
    """A text as the words of the command line that it stands for; None for an empty one."""
    if setting.kind is None:
        if not isinstance(value, bool):
            raise InputError(f"{name} is {value!r}", "it is ticked or not", "send true or false")
        return value
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r}", "fields hold texts", "send what would be typed")
    if len(value) > _LONGEST:
        raise InputError(f"{name} has {len(value)} letters", "no option has so many", f"write at most {_LONGEST}")
    if not value.strip():
        return None
    if setting.repeated:
        return [_words(name, setting, part) for part in value.split(_BETWEEN) if part.strip()]
    return _words(name, setting, value)


def _words(name: str, setting: Option, value: str) -> Any:
    several = setting.n_values is not None
    words = value.split() if several else [value.strip()]
    for word in words:
        if word.startswith("-") and not word[1:2].isdigit() and word[1:2] != ".":
            raise InputError(
                f"{name}: {word!r} is like an option", "each field is one option", "write its value alone, such as -0.5"
            )
    return words if several else words[0]
