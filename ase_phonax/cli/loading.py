"""Structures and calculators that a command line names, and the warnings met on the way."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import StructureError, UnstableWarning, in_words

_FOR_THE_REPORT = (UserWarning, RuntimeWarning)  # seekpath's edge cases are of the second kind


def read_structure(name: str) -> Any:
    """The structure in a file of any format ASE reads: of several images the last, or the one after "@".

    Returns:
        ASE atoms without calculator, checked.

    Raises:
        StructureError: no such file, a format ASE does not know, a damaged file, or atoms that cannot be
            computed.
    """
    from ase.io.formats import UnknownFileTypeError

    from ..crystals import check_structure

    path = Path(name if Path(name).exists() else name.rsplit("@", 1)[0])
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise StructureError(f"the structure file {name} {what}", "there is nothing to compute", "check the path")
    if path.stat().st_size == 0:
        raise StructureError(
            f"the structure file {name} is empty", "there is nothing to compute", "check the program that wrote it"
        )
    try:
        atoms = _last_image(name)
    except UnknownFileTypeError as error:
        raise StructureError(
            f"the format of {name} is not known to ASE: {error}",
            "the atoms cannot be found in it",
            "give it a usual name (POSCAR, *.cif, *.xyz, ...) or convert it; `ase info --formats` lists what is read",
        ) from error
    except Exception as error:  # readers raise whatever their parsing ran into
        if isinstance(error, KeyError) and error.args and error.args[0] in ("D", "T"):
            raise StructureError(
                f"{name} names the element {error.args[0]}",
                "isotopes are no elements of their own: they have the forces of hydrogen and a mass",
                "write H; `ase-phonax molecule` takes masses with --mass H=2.014, in Python atoms.set_masses",
            ) from error
        raise StructureError(
            f"{name} cannot be read: {in_words(error)}",
            "the file is damaged, or not of the format its name suggests",
            "open it in an editor, or write it again",
        ) from error
    if isinstance(atoms, list):
        raise StructureError(
            f"{name} selects {len(atoms)} images", "one structure is computed at a time", "select one, such as file@0"
        )
    check_structure(atoms)
    atoms.calc = None
    return atoms


def _last_image(name: str) -> Any:
    """As `ase.io.read`, and a note for the report where there was a choice."""
    import ase.io
    from ase.io.formats import filetype, get_ioformat

    if "@" in Path(name).name or get_ioformat(filetype(name)).single:
        return ase.io.read(name)
    # Two tell that there are several: counting them would mean reading a long trajectory as a whole.
    images = ase.io.read(name, slice(-2, None))
    if len(images) > 1:
        warnings.warn(
            f"{name} holds several structures: the last was taken. {name}@0 is the first, @1 the second.",
            UnstableWarning,
            stacklevel=3,
        )
    return images[-1]


def check_model(model: str | None) -> None:
    """Refuse a model that cannot be loaded, before anything else is complained of or computed.

    Raises:
        ModelError: not there, or of a kind that is not read.
    """
    from ..weights import find_reader

    if model is not None:
        find_reader(model)


def load_calculator(model: str | None, dtype: str) -> Any:
    """A `PhonaxCalculator` for a registered name or a file; without one, for the default that ships.

    Raises:
        ModelError: it cannot be found or read.
    """
    from ..calculator import PhonaxCalculator

    return PhonaxCalculator(model, dtype=dtype)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """User and run-time warnings of the block as texts, each once, for the report instead of the terminal."""
    texts: list[str] = []

    def keep(message: Any, category: Any, filename: Any, lineno: Any, file: Any = None, line: Any = None) -> None:
        text = " ".join(str(message).split())
        if not issubclass(category, _FOR_THE_REPORT):
            show(message, category, filename, lineno, file, line)
        elif text not in texts:
            texts.append(text)

    with warnings.catch_warnings():
        show = warnings.showwarning
        for category in _FOR_THE_REPORT:
            warnings.simplefilter("always", category)
        warnings.showwarning = keep
        yield texts
