"""Structures that a browser sends: texts, kept under names that say their format and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from ...base.errors import StructureError
from ...structures.files import known_format

# Ending -> names of the format by ASE. None of them names other files, as inputs of programs do.
_FORMATS = {
    ".cif": ("cif",),
    ".xyz": ("xyz", "extxyz"),
    ".extxyz": ("extxyz", "xyz"),
    ".vasp": ("vasp",),
    ".poscar": ("vasp",),
    ".xsf": ("xsf",),
    ".res": ("res",),
    ".gen": ("gen",),
    ".mol": ("mol",),
    ".sdf": ("sdf",),
    ".pdb": ("proteindatabank",),
}
FORMATS = tuple(_FORMATS)
_LIKE_POSCAR = ("POSCAR", "CONTCAR")
_LONGEST = 60


def kept_name(name: str, text: str) -> str:
    """The name under which a structure is kept: letters, digits and "_.-" of its own, and an ending that is known.

    Args:
        name: of the file that was sent, "" of a text that was pasted.
        text: its content, by which the format of a pasted one is known.

    Raises:
        StructureError: a format that is not taken, or a text that is like none.
    """
    if "\0" in text or not text.strip():
        raise StructureError(
            f"{name or 'the text'!r} is {'not a text' if text.strip() else 'empty'}",
            "structures are sent as CIF, POSCAR, xyz and other texts",
            "choose another file",
        )
    base = re.split(r"[/\\]", name)[-1]
    stem, dot, ending = base.rpartition(".")
    if base.startswith(_LIKE_POSCAR):
        stem, ending = base, ".vasp"
    elif not name:
        stem, ending = "pasted", _format_of(text)
    elif not dot or f".{ending.lower()}" not in FORMATS:
        raise StructureError(
            f"the file {base[:80]!r} is of no format that is taken here",
            "what is sent is read by the ending of its name, and never run",
            f"send POSCAR, CONTCAR or one of {', '.join(FORMATS)}",
        )
    else:
        ending = f".{ending.lower()}"
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", stem)[:_LONGEST].strip("_-")
    return (plain or "structure") + (".vasp" if ending == ".poscar" else ending)


def check_format(path: Path) -> None:
    """Refuse a file whose content is of another format than its ending says: it would be read as that.

    Raises:
        StructureError: it is, or of no format that is known.
    """
    found = known_format(path)
    if found not in _FORMATS[path.suffix]:
        raise StructureError(
            f"{path.name} begins like a file of another format, {found}",
            "it would be read as that, and some formats name further files",
            "send it in one format, such as CIF",
        )


def _format_of(text: str) -> str:
    lines = text.strip().splitlines()
    if re.search(r"^[ \t]*(data_|_cell_length_a|loop_)", text, re.MULTILINE | re.IGNORECASE):
        return ".cif"
    if lines[0].strip().isdigit():
        return ".extxyz"
    if len(lines) >= 8 and re.fullmatch(r"\s*-?[\d.]+([eE][-+]?\d+)?(\s.*)?", lines[1]):
        return ".vasp"
    raise StructureError(
        f"the text that begins with {lines[0][:60]!r} is neither CIF nor POSCAR nor xyz",
        "its format is known by its first lines",
        "paste the whole file, or send the file itself",
    )
