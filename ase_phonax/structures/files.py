"""Structures from files of any format ASE reads, compared with what the files state of themselves.

Readers take what they can and leave the rest: a blank line ends an xyz file, and a POSCAR of four atoms may go on with
the lines of four more.
"""

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ase import Atoms

from ..base.errors import StructureError, UnstableWarning, why_unread
from ..base.input_files import check_nesting, require_file, shown
from .checks import check_elements, check_structure
from .stated_atoms import Images, names_isotopes, read_stated

XYZ = ("xyz", "extxyz")


def read_structure(name: str, site_tolerance: float | None = None) -> Atoms:
    """The structure in a file of any format ASE reads: of several images the last, or the one after "@".

    Args:
        name: path, with "@" and an index where one of several images is meant.
        site_tolerance: of CIF files: images of a site nearer than this are one atom [Å] (`cif_files.crystal_of`).

    Returns:
        atoms without calculator, checked.

    Raises:
        StructureError: no such file, a format ASE does not know, a damaged file, one that contradicts itself, or atoms
            that cannot be computed.
    """
    path, index = _split(name)
    require_file(path, "the structure file", "there is nothing to compute", StructureError)
    atoms = _read(path, index, site_tolerance)
    if not isinstance(atoms, Atoms):
        raise StructureError(
            f"{shown(name)} selects {len(atoms)} images",
            "one structure is computed at a time",
            "select one, such as file@0",
        )
    check_structure(atoms)
    atoms.calc = None
    return atoms


def read_structures(name: str) -> list[Atoms]:
    """All structures of a file, or those after "@", as they are: whether each can be computed is not asked here.

    Raises:
        StructureError: as `read_structure`, of the file as a whole.
    """
    path, index = _split(name)
    require_file(path, "the structure file", "its structures would be missing", StructureError)
    chosen = _read(path, index or ":", None)
    structures = [chosen] if isinstance(chosen, Atoms) else list(chosen)
    for atoms in structures:
        check_elements(atoms)
    return structures


def _read(path: str, index: str | None, site_tolerance: float | None) -> Images:
    """Atoms, or a list of them where the index selects several."""
    format_name = known_format(path)

    def read() -> Images:
        return _from_cif(path, index, site_tolerance) if format_name == "cif" else _image(path, index, format_name)

    try:
        if format_name != "cif":
            check_contents(path, format_name)
        return read_stated(Path(path), read)
    except StructureError:
        raise
    except Exception as error:  # readers raise whatever their parsing ran into
        raise _unreadable(path, format_name, error) from error


def _split(name: str) -> tuple[str, str | None]:
    """Path and index of "path@index"; a file may have an "@" in its name."""
    try:
        there = Path(name).exists()
    except (OSError, ValueError):
        there = False
    path, at, index = name.rpartition("@")
    return (name, None) if there or not at or "/" in index else (path, index)


def known_format(path: str | Path) -> str:
    """ASE's name of a file's format.

    Raises:
        StructureError: none of them.
    """
    from ase.io.formats import filetype, get_ioformat

    try:
        return get_ioformat(filetype(str(path))).name
    except Exception as error:  # UnknownFileTypeError, and what reading the first bytes may raise
        raise StructureError(
            f"the format of {shown(path)} is not known to ASE: {why_unread(error)}",
            "the atoms cannot be found in it",
            "give it a usual name (POSCAR, *.cif, *.xyz, ...) or convert it; `ase info --formats` lists what is read",
        ) from error


def _unreadable(path: str, format_name: str, error: Exception) -> StructureError:
    if isinstance(error, KeyError) and names_isotopes(error):
        return StructureError(
            f"{shown(path)} names D or T, which ASE does not read in this format",
            "isotopes are no elements of their own: they have the forces of hydrogen and a mass",
            "write H, and give the mass with atoms.set_masses",
            on_command_line="write H, and give the mass with --mass H=2.014",
        )
    return StructureError(
        f"{shown(path)} cannot be read: {why_unread(error)}",
        f"the file is damaged, or not of the format its name suggests ({format_name})",
        "open it in an editor, or write it again",
    )


def _from_cif(path: str, index: str | None, site_tolerance: float | None) -> Images:
    from .cif_files import crystal_of, read_blocks

    blocks = read_blocks(path)
    if not blocks:
        raise StructureError(
            f"{shown(path)} cannot be read: no data block of it has atoms with symbols and coordinates",
            "there is nothing to compute",
            "get the whole file: it may be cut, or of another kind than its name suggests",
        )
    if index is not None:
        chosen = _at(blocks, index, path)
        if isinstance(chosen, list):
            return [crystal_of(block, path, site_tolerance) for block in chosen]
        return crystal_of(chosen, path, site_tolerance)
    _say_several(path, len(blocks))
    return crystal_of(blocks[-1], path, site_tolerance)


def _image(path: str, index: str | None, format_name: str) -> Images:
    import ase.io
    from ase.io.formats import get_ioformat, string2index

    if index is not None:
        try:
            return ase.io.read(path, string2index(index), format=format_name)
        except (IndexError, StopIteration) as error:
            raise _no_such_image(path, index) from error
    if get_ioformat(format_name).single:
        return ase.io.read(path, format=format_name)
    # Two tell that there are several: counting them would mean reading a long trajectory as a whole.
    images = ase.io.read(path, slice(-2, None), format=format_name)
    assert isinstance(images, list)  # of a slice
    if not images:
        raise StructureError(f"{shown(path)} holds no structure", "there is nothing to compute", "get the whole file")
    _say_several(path, len(images))
    return images[-1]


def _at(blocks: list[Any], index: str, path: str) -> Any:
    from ase.io.formats import string2index

    try:
        place = string2index(index)
        if not isinstance(place, str):
            return blocks[place]
    except (IndexError, ValueError) as error:
        raise _no_such_image(path, index) from error
    raise _no_such_image(path, index)


def _no_such_image(path: str, index: str) -> StructureError:
    return StructureError(
        f"{shown(path)} has no image {index}", "there is nothing to compute", "count from 0, or from the end with -1"
    )


def _say_several(path: str, n: int) -> None:
    if n > 1:
        warnings.warn(
            f"{path} holds several structures: the last was taken. {path}@0 is the first, @1 the second.",
            UnstableWarning,
            stacklevel=5,
        )


# ---- what the file states of itself ----------------------------------------------------------------


def check_contents(path: str | Path, format_name: str) -> None:
    """Refuse a file whose counts do not fit its lines: a reader would take a part of it without a word.

    Args:
        path: of the file.
        format_name: ASE's; xyz, POSCAR and JSON formats are looked at, others pass.

    Raises:
        StructureError: naming the line.
        ValueError: JSON nested deeper than a program can follow.
    """
    from ase.io.formats import open_with_compression

    if format_name not in (*XYZ, "vasp", "json"):
        return
    with open_with_compression(str(path), "r") as file:
        if format_name == "vasp":
            _check_poscar([line for _, line in zip(range(10_000_000), file, strict=False)], path)
        elif format_name == "json":
            check_nesting(file.read())
        else:
            count_xyz_frames(file, path)


def count_xyz_frames(lines: Iterable[str], path: str | Path) -> int:
    """Frames of an xyz or extxyz file, walked from count to count.

    Raises:
        StructureError: a line where a count has to stand is empty though more follow, or is no count.
    """
    frames, number, before = 0, 0, 0
    rest = iter(lines)
    for line in rest:
        number += 1
        text = line.strip()
        if text.startswith("VEC") and frames:
            continue
        if not text:
            blank = number
            if any(later.strip() for later in rest):
                raise StructureError(
                    f"{shown(path)}: line {blank} is empty, after {frames} frames, and more lines follow",
                    "readers of xyz files stop there: all later frames would be left out",
                    "delete the empty line, and check the count of atoms before it",
                )
            break
        if not re.fullmatch(r"\d{1,9}", text):
            raise StructureError(
                f"{shown(path)} cannot be read: line {number} is {text[:40]!r} where a number of atoms has to stand",
                f"the count on line {before} does not fit the lines below it" if before else "every frame begins so",
                "correct the count, or the lines of the atoms",
            )
        before, n = number, int(text)
        comment = next(rest, None)
        if comment is not None:
            _check_columns(comment, path, number + 1)
            for value in comment.split("_JSON")[1:]:
                check_nesting(value.replace('\\"', '"'))
        got, empty = 0, 0
        for _, atom in zip(range(n), rest, strict=False):
            got += 1
            empty = empty or (0 if atom.strip() else number + 1 + got)
        if empty:
            raise StructureError(
                f"{shown(path)} cannot be read: line {empty} is empty, among the {n} atoms that line {number} counts",
                "all lines below it would be taken for what they are not",
                "delete the empty line, or correct the count",
            )
        if got < n or (comment is None and n):
            raise StructureError(
                f"{shown(path)} cannot be read: line {number} announces {n} atoms, and {got} lines of atoms follow",
                "the file is cut, or its count is wrong",
                "get the whole file, or correct the count",
            )
        number += 1
        number += got
        frames += 1
    return frames


def _check_columns(comment: str, path: str | Path, number: int) -> None:
    """ASE makes a list as long as a number of columns says, before it looks at them."""
    largest = max((len(n.lstrip("0")), n) for n in ["0", *re.findall(r":[RISL]:(\d+)", comment)])
    if largest[0] > 4:
        raise StructureError(
            f"{shown(path)} cannot be read: line {number} announces {largest[1][:20]} columns of an atom",
            "no line has as many",
            "correct Properties=... there",
        )


def _check_poscar(lines: list[str], path: str | Path) -> None:
    """Refuse counts that fit neither the symbols nor the lines of coordinates."""
    if len(lines) < 7:
        return  # the reader says what is missing
    words = lines[5].split()
    old = bool(words) and words[0].isdigit()
    counts = [int(word) for word in re.split("[!#]", lines[5 if old else 6])[0].split() if word.isdigit()]
    symbols = [] if old else re.split("[!#]", lines[5])[0].split()
    if old:
        _check_first_line(lines[0], len(counts), path)
    elif len(symbols) != len(counts):
        raise StructureError(
            f"{shown(path)} names {len(symbols)} elements ({' '.join(symbols)}) and gives {len(counts)} counts",
            "atoms would be of other elements, or left out",
            "write one count under each symbol",
        )
    first = 6 if old else 7
    first += 1 if lines[first : first + 1] and lines[first].strip()[:1].lower() == "s" else 0
    below = lines[first + 1 :]
    here = next((n for n, line in enumerate(below) if not _is_position(line)), len(below))
    if counts and here != sum(counts):
        raise StructureError(
            f"{shown(path)} counts {' + '.join(map(str, counts))} = {sum(counts)} atoms, and {here} lines of"
            " coordinates follow",
            "the file is cut, or its counts are wrong: it would be another crystal",
            "get the whole file, or correct the counts",
        )


def _is_position(line: str) -> bool:
    try:
        return len([float(word) for word in line.split()[:3]]) == 3
    except ValueError:
        return False


def _check_first_line(line: str, n: int, path: str | Path) -> None:
    """Take the symbols of a VASP 4 file from its first line, if that has them and nothing that looks like another."""
    from ase.data import chemical_symbols
    from ase.formula import Formula

    words = re.split(r"[\s,_-]+", line.strip())
    symbols = [word for word in words[: n + 1] if word in chemical_symbols]
    if len(symbols) != n or words[:n] != symbols:
        try:
            symbols = list(Formula(words[0]).count()) if words[0] else []
        except ValueError:
            symbols = []
    if len(symbols) != n:
        raise StructureError(
            f"{shown(path)} names no elements: it is a VASP 4 file, and its first line is {line.strip()[:60]!r}",
            "which elements the counts are of would be guessed",
            "write the symbols on a line above the counts (VASP 5), in the order of the POTCAR",
        )
    warnings.warn(
        f"{path} is a VASP 4 file: its elements {' '.join(symbols)} were taken from its first line",
        UnstableWarning,
        stacklevel=5,
    )
