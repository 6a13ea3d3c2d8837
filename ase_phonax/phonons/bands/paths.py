"""Paths through the Brillouin zone, in reduced coordinates of the cell the phonons belong to.

A path comes from seekpath, from a string of ASE's special points or from an ASE `BandPath`. Each is
brought into the basis of *that* cell: coordinates that a library tabulates for its own standard
primitive cell name other points in any other basis, and nothing downstream would notice.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import seekpath
from ase import Atoms
from ase.cell import Cell
from ase.dft.kpoints import BandPath, parse_path_string
from numpy.typing import NDArray

from ...base.errors import InputError, StructureError, UnstableWarning
from ...base.sharing import ignored_warnings
from ...structures.formulas import crystal_formula
from ...structures.lattices import short_vectors
from ...structures.space_groups import SPGLIB_ERROR, no_space_group
from ...structures.species import species_of

SPACING = 0.02  # [1/Å] between q-points of a path, 2 pi included
SAME_METRIC = 2e-3  # relative: what a relaxation changes in a cell is more, what a file rounds is less
_GREEK = {"GAMMA": "Γ", "SIGMA": "Σ", "DELTA": "Δ", "LAMBDA": "Λ"}
_MATHTEXT = {"Γ": r"\Gamma", "Σ": r"\Sigma", "Δ": r"\Delta", "Λ": r"\Lambda"}
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class Segment:
    """One straight piece of a band path.

    Attributes:
        qpoints: (n_qpoints, 3) reduced coordinates, both ends included.
        start: name of the first point as seekpath spells it ("GAMMA", "X", "W_2"); "" where it has none. Its
            "G" and "G_0" are points of their own; Gamma, which ASE calls "G", is "GAMMA" from either.
        end: name of the last point.
    """

    qpoints: NDArray[np.float64]
    start: str
    end: str


def crystal_path(atoms: Atoms, spacing: float = SPACING, symprec: float = 1e-5) -> list[Segment]:
    """The standard path of a crystal in the basis of its own cell (seekpath, HPKOT).

    Right for every cell: primitive in any choice of vectors, left-handed, conventional. Time reversal is
    used: phonons have omega(-q) = omega(q) with or without inversion.

    Args:
        atoms: three-dimensional crystal. Isotopes count as different species.
        spacing: largest distance between neighbouring q-points [1/Å, 2 pi included].
        symprec: distance below which positions count as equal [Å].

    Raises:
        StructureError: seekpath finds no symmetry.
    """
    vectors, _ = short_vectors(atoms.cell.array, np.ones(3, bool))
    structure = (vectors, Cell(vectors).scaled_positions(atoms.positions), species_of(atoms))
    try:
        with ignored_warnings("", seekpath.SupercellWarning):  # said below, in words about phonons
            standard = seekpath.get_path_orig_cell(structure, symprec=symprec)
    except seekpath.SymmetryDetectionError as error:
        raise StructureError(
            f"seekpath finds no symmetry for {crystal_formula(atoms, reduced=False)} at symprec = {symprec} Å: {error}",
            "the standard band path follows from the space group",
            "give a path yourself, as a string of special points or an ASE BandPath",
        ) from error
    except SPGLIB_ERROR as error:
        raise no_space_group(atoms, symprec, error) from error
    if standard["is_supercell"]:
        warnings.warn(
            "The band path is that of the primitive cell, but the cell is larger: bands appear folded.",
            UnstableWarning,
            stacklevel=2,
        )
    back = np.rint(atoms.cell.array @ np.linalg.inv(vectors))  # k.(back V) = back (k.V)
    points = {name: back @ point for name, point in standard["point_coords"].items()}
    return [
        Segment(_straight_line(points[start], points[end], atoms.cell[:], spacing), start, end)
        for start, end in standard["path"]
    ]


def named_path(path: str, cell: NDArray[np.float64], spacing: float = SPACING) -> list[Segment]:
    """A path written as ASE's special points, such as "GXWLG" or "GX,KG" (comma: a jump).

    The names are those of ASE for the Bravais lattice of the cell (Setyawan and Curtarolo); coordinates
    come back in the basis of the cell given, whatever its choice of vectors.

    Args:
        path: one capital letter per point, digits after it belonging to the name; "Γ" and "G" are one.
        cell: (3, 3) primitive vectors in rows [Å].
        spacing: largest distance between neighbouring q-points [1/Å, 2 pi included].

    Raises:
        InputError: a name the lattice does not have, or a piece with fewer than two points.
    """
    points, lattice = _ase_special_points(cell)
    sections = parse_path_string(checked_path(path, points, f"lattice ({lattice})"))
    return [
        Segment(_straight_line(points[start], points[end], cell, spacing), _from_ase(start), _from_ase(end))
        for section in sections
        for start, end in pairwise(section)
    ]


def checked_path(path: str, points: Collection[str], lattice: str) -> str:
    """A path of special points as ASE's parser takes it.

    Args:
        path: as in `named_path`; "|" is a jump as well.
        points: names that the lattice has.
        lattice: what to call it.

    Raises:
        InputError: a name the lattice does not have, or a piece with fewer than two points.
    """
    text = path.replace("Γ", "G").replace(" ", "").replace("|", ",")
    sections = parse_path_string(text)
    unknown = [name for section in sections for name in section if name not in points]
    if unknown:
        raise InputError(
            f"the path {path!r} names the point {unknown[0]!r}, which the {lattice} does not have",
            "bands can be drawn between known points only",
            f"use the points {', '.join(sorted(points))}; a comma starts a new piece",
        )
    if any(len(section) < 2 for section in sections):
        raise InputError(
            f"the path {path!r} has a piece with fewer than two points",
            "a line needs two ends",
            'write it like "GXWLG" or "GX,KG"',
        )
    return text


def ase_path(bandpath: BandPath, cell: NDArray[np.float64], other_cell: NDArray[np.float64]) -> list[Segment]:
    """The q-points of an ASE BandPath in the basis of a cell, split at its special points.

    A BandPath keeps reduced coordinates of its own cell. They are taken as they are where that cell has
    the shape of `cell` (same lengths and angles; ASE may turn it), and transformed where it has the
    shape of `other_cell`, the larger cell that `cell` was reduced from.

    Raises:
        InputError: the BandPath belongs to neither cell.
    """
    own = np.asarray(bandpath.cell)
    if _same_metric(own, cell):
        transform = np.eye(3)
    elif _same_metric(own, other_cell):
        transform = (cell @ np.linalg.inv(other_cell)).T
    else:
        raise InputError(
            f"the BandPath belongs to another cell: {_cell_in_words(own)}; the phonons have {_cell_in_words(cell)}",
            "its coordinates are reduced by its own cell and would name other points here",
            "build it from this cell: ase.cell.Cell(phonopy.primitive.cell).bandpath(...), after relaxing",
        )
    if len(bandpath.kpts) == 0:
        points = {name: value @ transform for name, value in bandpath.special_points.items()}
        return [
            Segment(_straight_line(points[start], points[end], cell, SPACING), _from_ase(start), _from_ase(end))
            for section in parse_path_string(bandpath.path)
            for start, end in pairwise(section)
        ]
    return [
        Segment(qpoints @ transform, _from_ase(start), _from_ase(end))
        for qpoints, start, end in _split_at_names(bandpath)
    ]


def connections_and_labels(segments: list[Segment]) -> tuple[list[bool], list[str]]:
    """What `Phonopy.run_band_structure` wants to know about a path besides its q-points.

    Returns:
        for each segment whether the next one continues it, and the names of the ends in mathtext, a
        shared end written once.
    """
    continues = [
        bool(np.allclose(this.qpoints[-1], following.qpoints[0], atol=1e-8)) for this, following in pairwise(segments)
    ]
    continues.append(False)
    labels = []
    for segment, continued in zip(segments, continues, strict=True):
        labels.append(mathtext_label(segment.start))
        if not continued:
            labels.append(mathtext_label(segment.end))
    return continues, labels


def joints(labels: list[str], continues: list[bool]) -> list[tuple[str, ...]]:
    """Names at the places where segments begin and end, two of them where the path jumps.

    Args:
        labels: names of the ends of segments, as `connections_and_labels` returns them.
        continues: for each segment whether the next one continues it.
    """
    remaining = iter(labels)
    places: list[tuple[str, ...]] = [(next(remaining),)]
    for i, continued in enumerate(continues):
        names = [next(remaining)]
        if not continued and i < len(continues) - 1:
            names.append(next(remaining))
        places.append(tuple(dict.fromkeys(names)))
    return places


def joint_names(labels: list[str], continues: list[bool]) -> list[str]:
    """Plain names of the ends of segments: "Γ", "X", "U|K"."""
    return ["|".join(map(plain_label, own)) for own in joints(labels, continues)]


def path_in_words(labels: list[str], continues: list[bool]) -> str:
    """The names along a path: "Γ–X–U|K–Γ"."""
    return "–".join(joint_names(labels, continues))


def plain_label(mathtext: str) -> str:
    """A label as Unicode text.

    >>> plain_label(r"$\\Gamma$"), plain_label(r"$\\mathrm{W}_{2}$")
    ('Γ', 'W₂')
    """
    text = mathtext
    for letter, command in _MATHTEXT.items():
        text = text.replace(command, letter)
    body, _, index = text.replace(r"\mathrm", "").replace("$", "").partition("_")
    return body.strip("{}") + index.strip("{}").translate(_SUBSCRIPTS)


def mathtext_label(name: str) -> str:
    """A point's name for matplotlib and phonopy's files; "" stays "".

    >>> mathtext_label("GAMMA"), mathtext_label("W_2"), mathtext_label("X")
    ('$\\\\Gamma$', '$\\\\mathrm{W}_{2}$', '$\\\\mathrm{X}$')
    """
    if not name:
        return ""
    letter, index = _letter_and_index(name)
    body = _MATHTEXT.get(letter, rf"\mathrm{{{letter}}}")
    return f"${body}_{{{index}}}$" if index else f"${body}$"


def _letter_and_index(name: str) -> tuple[str, str]:
    """The letter of a name, Greek ones as such, and its index: "W_2" is "W" and "2"."""
    match = re.fullmatch(r"(.*?)_?(\d*)", name, re.DOTALL)
    assert match is not None, "the pattern fits every text"
    letter, index = match.groups()
    return _GREEK.get(letter.upper() if len(letter) > 1 else letter, letter), index


def _from_ase(name: str) -> str:
    """ASE's name of a point as seekpath has it."""
    return "GAMMA" if name == "G" else name


def _straight_line(
    start: NDArray[np.float64], end: NDArray[np.float64], cell: NDArray[np.float64], spacing: float
) -> NDArray[np.float64]:
    """(n, 3) q-points from one end to the other, neighbours nearer than `spacing` [1/Å]."""
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    length = 2 * math.pi * np.linalg.norm(np.linalg.solve(cell, end - start))
    return np.linspace(start, end, max(2, math.ceil(length / spacing) + 1))


def _ase_special_points(cell: NDArray[np.float64]) -> tuple[dict[str, NDArray[np.float64]], str]:
    """ASE's special points in the basis of the cell, and the name of its lattice."""
    try:
        bandpath = Cell(cell).bandpath(npoints=0)
    except RuntimeError as error:
        raise InputError(
            f"ASE does not recognise the Bravais lattice of {_cell_in_words(cell)}: {error}",
            "its special points have names only in a known lattice",
            "leave the path out (seekpath finds one), or give an ASE BandPath with your own points",
        ) from error
    assert _same_metric(np.asarray(bandpath.cell), cell), "ASE's band path is not in the basis of the cell given"
    return dict(bandpath.special_points), str(Cell(cell).get_bravais_lattice().longname)


def _split_at_names(bandpath: BandPath) -> list[tuple[NDArray[np.float64], str, str]]:
    """Pieces between special points; one nameless piece where the q-points do not follow the path string."""
    pieces: list[tuple[NDArray[np.float64], str, str]] = []
    first = 0
    for section in parse_path_string(bandpath.path):
        here = _find(bandpath, section[0], first) if section else None
        for start, end in pairwise(section):
            there = None if here is None else _find(bandpath, end, here + 1)
            if here is None or there is None:
                return [(bandpath.kpts, "", "")]
            pieces.append((bandpath.kpts[here : there + 1], start, end))
            here = there
        first = 0 if here is None else here + 1
    return pieces or [(bandpath.kpts, "", "")]


def _find(bandpath: BandPath, name: str, first: int) -> int | None:
    """Index of the q-point that is a special point, the first one from `first` on; None where there is none."""
    if name not in bandpath.special_points:
        return None
    distances = np.abs(bandpath.kpts[first:] - bandpath.special_points[name]).max(axis=1, initial=0)
    hits = np.flatnonzero(distances < 1e-6)
    return first + int(hits[0]) if len(hits) else None


def _same_metric(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether two cells have the same lengths and angles, however they are turned."""
    difference = np.abs(first @ first.T - second @ second.T).max()
    return bool(difference <= SAME_METRIC * np.abs(second @ second.T).max())


def _cell_in_words(cell: NDArray[np.float64]) -> str:
    """Lengths and angles of a cell, for messages."""
    lengths_and_angles = Cell(cell).cellpar()
    return "a b c = {:.4f} {:.4f} {:.4f} Å, α β γ = {:.2f} {:.2f} {:.2f}°".format(*lengths_and_angles)
