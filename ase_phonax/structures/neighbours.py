"""The neighbours of the atoms of a structure, within a cutoff and across its periodic images."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import complete_cell

from ..base.errors import StructureError
from .checks import CLOSEST_DISTANCE, check_cell, check_finite
from .lattices import cell_heights, short_vectors

Alternatives = Callable[[set[int], bool], list[str]]
# Along a direction without periodicity the neighbour list bins this extent; beyond about 1e5 Å it fails.
MAX_EXTENT = 1e4  # Å
USUAL_CUTOFF = 20.0  # Å: up to here nobody needs to count
MOST_IMAGES = 1e7


def check_atoms(atoms: Atoms, numbers: tuple[int, ...], model: str, others: Alternatives | None = None) -> None:
    """Refuse what no potential can evaluate.

    Args:
        atoms: to be evaluated.
        numbers: atomic numbers of the elements the model knows.
        model: its name.
        others: names of other models that know given elements, for a periodic structure or not, for the error.

    Raises:
        StructureError: no atoms, positions or cell not finite, an element the model does not know,
            a periodic direction without a cell vector.
    """
    check_finite(atoms)
    open_extent = np.ptp(atoms.positions, axis=0).max() if not atoms.pbc.all() else 0.0
    if open_extent > MAX_EXTENT:
        raise StructureError(
            f"the atoms extend over {open_extent:.3g} Å",
            "a structure without periodicity of that size cannot be searched for neighbours",
            "check the units of the positions, or compute the far parts on their own",
        )
    unknown = sorted(set(atoms.numbers.tolist()) - set(numbers))
    if unknown:
        raise StructureError(
            f"the model {model!r} does not know {', '.join(chemical_symbols[z] for z in unknown)}",
            "it was not made for " + ("that element" if len(unknown) == 1 else "those elements"),
            f"{_advice(atoms, others)}; this one has {len(numbers)}: " + " ".join(chemical_symbols[z] for z in numbers),
        )
    check_cell(atoms)


def _advice(atoms: Atoms, others: Alternatives | None) -> str:
    names = others(set(atoms.numbers.tolist()), bool(atoms.pbc.any())) if others else []
    if not names:
        return "use a model that lists all elements of the structure (`ase-phonax models`)"
    # MACE's have to be converted first: `ase-phonax models` lists them, too.
    listed = ", ".join(names)
    return f"named models that can be used directly and have all its elements: {listed} (`ase-phonax models get NAME`)"


def neighbour_list(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs closer than the cutoff, both ways.

    Returns:
        receivers (n_edges,), senders (n_edges,), shifts (n_edges, 3) integer: the sender's image is at
        positions[sender] + shift @ cell. Sorted by receiver, then sender, then shift, so that equal
        structures give equal graphs.
    """
    import vesin  # looks for torch and cupy when imported: not before it is needed

    # A hair inside the cutoff, where the envelope is zero to any precision: a pair at exactly the cutoff, as
    # crystals with round lattice constants have, could be found from one end and not from the other.
    # One thread: its own pool costs more than it gains below a few thousand atoms.
    search = vesin.NeighborList(cutoff=float(cutoff) * (1 - 1e-10), full_list=True, n_threads=1)
    # In a skewed cell the search would go through thousands of images that are far away.
    box, matrix = short_vectors(atoms.cell.array, atoms.pbc)
    _refuse_endless(box, matrix, atoms, float(cutoff))
    i, j, shifts = search.compute(
        points=np.ascontiguousarray(atoms.positions, float),
        box=np.ascontiguousarray(box, float),
        periodic=np.array(atoms.pbc, bool),
        quantities="ijS",
    )
    shifts = (np.asarray(shifts, np.int64).reshape(-1, 3) @ matrix).astype(np.int32)
    order = np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], j, i))
    return np.asarray(i, np.int32)[order], np.asarray(j, np.int32)[order], shifts[order]


def _refuse_endless(box: np.ndarray, matrix: np.ndarray, atoms: Atoms, cutoff: float) -> None:
    """Before the search: cells smaller than an atom, and cutoffs that reach millions of images."""
    for vector, shift, periodic in zip(box.tolist(), matrix, atoms.pbc, strict=True):
        if periodic and (length := math.hypot(*vector)) < CLOSEST_DISTANCE:
            raise _too_close(0, 0, -shift, length)
    if cutoff < USUAL_CUTOFF:
        return
    heights = cell_heights(complete_cell(box))[atoms.pbc]
    images = len(atoms) * float(np.prod(2 * cutoff / heights + 1))
    if images > MOST_IMAGES:
        raise StructureError(
            f"within the cutoff of the model, {cutoff:g} Å, there are about {images:.2g} images of atoms",
            "every atom would have them for neighbours: they fit no memory",
            "take a model with a cutoff of a few Å",
        )


def _too_close(receiver: int, sender: int, shift: np.ndarray, length: float) -> StructureError:
    return StructureError(
        f"atoms {receiver} and {sender} (image {shift.tolist()}) are {length:.4f} Å apart",
        "no potential is meant for that, and the result would mean nothing",
        "remove duplicated atoms or check the units of the positions",
    )


class Neighbours(NamedTuple):
    """The edges of a structure.

    Attributes:
        positions: (n, 3) [Å]; species: (n,) positions in the list of the potential's elements.
        cell: (3, 3) [Å], zero vectors completed.
        receivers, senders: (n_edges,); shifts: (n_edges, 3) integer cells of the senders.
        vectors: (n_edges, 3) receiver to sender [Å].
    """

    positions: np.ndarray
    species: np.ndarray
    cell: np.ndarray
    receivers: np.ndarray
    senders: np.ndarray
    shifts: np.ndarray
    vectors: np.ndarray


def find_neighbours(atoms: Atoms, cutoff: float, numbers: tuple[int, ...]) -> Neighbours:
    """The edges of a structure, sorted as in `neighbour_list`.

    Args:
        atoms: any periodicity; checked by `check_atoms`.
        cutoff: [Å].
        numbers: ascending atomic numbers of the potential.

    Raises:
        StructureError: two atoms closer than `CLOSEST_DISTANCE`.
    """
    receivers, senders, shifts = neighbour_list(atoms, cutoff)
    cell = complete_cell(atoms.cell.array)
    vectors = atoms.positions[senders] + shifts @ cell - atoms.positions[receivers]
    lengths = np.linalg.norm(vectors, axis=1)
    if len(lengths) and lengths.min() < CLOSEST_DISTANCE:
        k = int(lengths.argmin())
        raise _too_close(receivers[k], senders[k], shifts[k], lengths[k])
    species = np.searchsorted(numbers, atoms.numbers).astype(np.int32)
    return Neighbours(atoms.positions.astype(float), species, cell, receivers, senders, shifts, vectors)


def require_neighbours(atoms: Atoms, neighbours: Neighbours, cutoff: float) -> None:
    """Refuse a crystal in which the potential leaves atoms without any force constant.

    An atom out of reach of all others has an energy, but its row of D(q) would be zero, and so would frequencies.

    Args:
        atoms: of the crystal.
        neighbours: their edges.
        cutoff: of the potential [Å].

    Raises:
        StructureError: naming the atoms.
    """
    alone = np.flatnonzero(np.bincount(neighbours.receivers, minlength=len(atoms)) == 0).tolist()
    if not alone:
        return
    if len(alone) == len(atoms):
        what = f"no atom has a neighbour within {cutoff:g} Å, the cutoff of the model"
    else:
        some = ", ".join(f"{i} ({atoms.symbols[i]})" for i in alone[:5]) + (" ..." if len(alone) > 5 else "")
        what = f"without a neighbour within {cutoff:g} Å, the cutoff of the model: atoms {some}, counted from 0"
    raise StructureError(
        what,
        "their force constants would all be zero, and with them frequencies, whatever the crystal",
        "take a model that reaches further (`ase-phonax models`); or check the cell and the units of the positions",
    )
