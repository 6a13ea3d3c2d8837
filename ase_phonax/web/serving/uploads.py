"""Structures that a browser sends: texts, kept under names that say their format and nothing else."""

from __future__ import annotations

import re

from ...base.errors import StructureError

FORMATS = (".cif", ".xyz", ".extxyz", ".vasp", ".poscar", ".xsf", ".res", ".gen", ".mol", ".sdf", ".pdb")
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


def _format_of(text: str) -> str:
    lines = text.strip().splitlines()
    if re.search(r"^\s*(data_|_cell_length_a|loop_)", text, re.MULTILINE | re.IGNORECASE):
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
