"""Layers: which direction is vacuum, and what of a crystal's phonons is left in the plane.

A layer is computed as a crystal that repeats in three directions with vacuum between its images. Where
that vacuum is wider than the cutoff of a potential no edge crosses it, so that one layer is exactly what
it would be alone; nothing then depends on the height of the cell or on wave vectors along it. Rotational
invariance of the constants is not imposed (docs/conventions.md): of the three acoustic branches at Gamma
the out-of-plane one is quadratic only as far as the potential and the supercell make it so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixConstraint
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from ..base.errors import InputError, StructureError
from .checks import SMALLEST_HEIGHT, check_finite, require_crystal
from .lattices import cell_heights
from .space_groups import SYMPREC, reduce_to_primitive

# Empty space between planes of atom centres that counts as vacuum in a cell that repeats in three
# directions [Å]. Layered and molecular crystals have 3 to 4 Å (graphite 3.35), potentials reach 5 to 6.
VACUUM_GAP = 8.0
VACUUM = 15.0  # [Å] given to a layer that has none, or too little
MARGIN = 2.0  # [Å] beyond the cutoff: a layer may thicken while it relaxes


@dataclass(frozen=True)
class Layer:
    """A layer in a cell that repeats in three directions.

    Attributes:
        atoms: periodic in three directions; cell vector `axis` is perpendicular to the plane.
        axis: which cell vector crosses the vacuum (0, 1 or 2).
        thickness: between the outermost atom centres [Å].
        vacuum: between the outermost atom centres of two images [Å].
        note: what was changed to make it so, in words; "" where nothing was.
    """

    atoms: Atoms
    axis: int
    thickness: float
    vacuum: float
    note: str


def empty_gaps(atoms: Atoms) -> NDArray[np.float64]:
    """Widest empty slice between planes of atom centres, parallel to each pair of cell vectors.

    Args:
        atoms: in a cell of three vectors, taken as periodic along all of them.

    Returns:
        (3,) width across cell vector 0, 1 and 2 [Å], perpendicular to the other two.
    """
    scaled = np.sort(atoms.get_scaled_positions(wrap=False) % 1.0, axis=0)
    steps = np.diff(scaled, axis=0, append=scaled[:1] + 1.0)
    return steps.max(axis=0) * cell_heights(atoms.cell[:])


def kind_in_vacuum(atoms: Atoms) -> str | None:
    """What a cell of three vectors holds where it is empty along one, two or three of them; None for a crystal."""
    return (None, "a layer", "a chain", "a molecule")[int(np.count_nonzero(empty_gaps(atoms) > VACUUM_GAP))]


def vacuum_axis(atoms: Atoms, gap: float = VACUUM_GAP) -> int | None:
    """Which cell vector of a layer crosses vacuum; None for whatever is not a layer.

    Args:
        atoms: a layer is periodic in two directions, or in three with empty space wider than `gap`
            along exactly one. Chains and molecules in a box, empty along two or three, are none.
        gap: [Å].
    """
    periodic = int(np.count_nonzero(atoms.pbc))
    if len(atoms) == 0 or periodic < 2:
        return None
    if periodic == 2:
        return int(np.argmin(atoms.pbc))
    if not cell_heights(atoms.cell[:]).min() > SMALLEST_HEIGHT:
        return None
    wide = np.flatnonzero(empty_gaps(atoms) > gap)
    return int(wide[0]) if len(wide) == 1 else None


def as_layer(atoms: Atoms, cutoff: float) -> Layer:
    """A layer as a crystal whose images do not feel each other.

    The cell is kept where its vacuum is wide enough and its vector across the plane perpendicular to it.
    Otherwise that vector becomes perpendicular, the vacuum `VACUUM`, and the layer is centred in it.
    In-plane vectors are never touched, and atoms move rigidly at most.

    Args:
        atoms: with a `vacuum_axis`; not changed. The vector across the plane may be zero where it is
            not periodic.
        cutoff: of the potential [Å].

    Raises:
        StructureError: not a layer, in-plane vectors that span no plane, or atoms no potential can compute.
    """
    check_finite(atoms)
    axis = vacuum_axis(atoms)
    if axis is None:
        raise StructureError(
            f"the structure (pbc {atoms.pbc.tolist()}) is not a layer: empty space wider than {VACUUM_GAP:g} Å lies"
            " along none of its cell vectors, or along several",
            "a layer is periodic in a plane and has vacuum across it",
            "set atoms.pbc to true along the two vectors of the plane and false along the third",
            on_command_line='say so in the file, such as pbc="T T F" in extxyz, with vacuum along the third vector',
        )
    normal = _normal(atoms.cell[:], axis)
    positions = _unwrapped(atoms, axis) if atoms.pbc[axis] else atoms.positions
    along = positions @ normal
    thickness = float(np.ptp(along))
    old = atoms.cell[axis]
    height = abs(float(old @ normal))
    tilted = float(np.linalg.norm(old)) - height > 1e-6 * height
    needed = max(VACUUM_GAP, cutoff + MARGIN)
    reasons = []
    if not atoms.pbc[axis]:
        reasons.append(f"cell vector {axis + 1} is treated as periodic")
    if height - thickness < needed:
        reasons.append(f"the vacuum is set to {max(VACUUM, needed):g} Å (it was {max(0.0, height - thickness):.3g})")
        height = thickness + max(VACUUM, needed)
    elif tilted:
        reasons.append(f"cell vector {axis + 1} is made perpendicular to the plane")
    layer = atoms.copy()
    layer.set_constraint(atoms.constraints)
    if reasons and (tilted or not np.isclose(height, np.linalg.norm(old), rtol=1e-12)):
        cell = atoms.cell.array.copy()
        cell[axis] = height * normal
        layer.positions = positions + (height / 2 - (along.max() + along.min()) / 2) * normal
        layer.set_cell(cell, scale_atoms=False)
    layer.pbc = True
    require_crystal(layer)
    return Layer(layer, axis, thickness, height - thickness, "; ".join(reasons))


def reduce_layer(layer: Layer, symprec: float = SYMPREC) -> Layer:
    """The layer in a primitive cell that keeps its vector across the plane; itself where it is primitive.

    A primitive cell of a space group may mix that vector with the others, or number it differently.

    Args:
        layer: of `as_layer`.
        symprec: distance below which positions count as equal [Å].

    Raises:
        StructureError: spglib finds no symmetry at this tolerance.
    """
    primitive = reduce_to_primitive(layer.atoms, symprec)
    if len(primitive) == len(layer.atoms):
        return layer
    across = layer.atoms.cell[layer.axis]
    first, second = _shortest_in_plane(primitive.cell[:], across)
    rows = [first, second]
    rows.insert(layer.axis, across)
    cell = np.array(rows)
    if np.linalg.det(cell) * np.linalg.det(layer.atoms.cell[:]) < 0:
        cell[(layer.axis + 1) % 3] *= -1
    primitive.set_cell(cell, scale_atoms=False)
    middle = layer.atoms.get_scaled_positions(wrap=False)[:, layer.axis].mean()
    scaled = primitive.get_scaled_positions(wrap=False)
    scaled[:, layer.axis] -= np.rint(scaled[:, layer.axis] - middle)  # whole, not torn at the cell's face
    primitive.set_scaled_positions(scaled)
    return Layer(primitive, layer.axis, layer.thickness, layer.vacuum, layer.note)


def in_plane_repeats(axis: int) -> tuple[bool, bool, bool]:
    """Which cell vectors a supercell repeats and a mesh divides: not the one across the vacuum."""
    return (axis != 0, axis != 1, axis != 2)


def require_single_layer(supercell_matrix: NDArray[np.int64], axis: int) -> None:
    """Refuse a supercell that repeats a layer across its vacuum, or mixes that vector with the plane.

    Args:
        supercell_matrix: (3, 3) as phonopy has it, columns counting cell vectors.
        axis: of the vacuum.

    Raises:
        InputError: row or column `axis` is not that of the identity.
    """
    matrix, unit = np.asarray(supercell_matrix), np.eye(3)[axis]
    if not (np.array_equal(matrix[axis], unit) and np.array_equal(matrix[:, axis], unit)):
        raise InputError(
            f"the supercell {matrix.tolist()} repeats the layer along cell vector {axis + 1}, which crosses vacuum",
            "images across vacuum do not interact: nothing is gained, and every copy costs",
            "repeat it in the plane only, with 1 along the vacuum",
        )


class InPlaneStrain(FixConstraint):
    """ASE constraint: a cell strains within one plane only, atoms are free.

    It keeps cell vectors along the normal as they are while an ASE cell filter relaxes the others, in any
    orientation; a filter's own `mask` knows Cartesian axes only.

    Args:
        normal: (3,) of the plane.
    """

    def __init__(self, normal: NDArray[np.float64]):
        normal = np.asarray(normal, dtype=float)
        self.normal = normal / np.linalg.norm(normal)
        self._plane = np.eye(3) - np.outer(self.normal, self.normal)

    def adjust_positions(self, atoms: Atoms, new: NDArray[np.float64]) -> None:
        """Atoms are free."""

    def adjust_forces(self, atoms: Atoms, forces: NDArray[np.float64]) -> None:
        """Atoms are free."""

    def adjust_stress(self, atoms: Atoms, stress: NDArray[np.float64]) -> None:
        """Keep the components within the plane."""
        stress[:] = full_3x3_to_voigt_6_stress(self._plane @ voigt_6_to_full_3x3_stress(stress) @ self._plane)

    def adjust_cell(self, atoms: Atoms, cell: NDArray[np.float64]) -> None:
        """Keep the strain of this step within the plane: start Hessians couple it to the others."""
        old = atoms.cell.array
        strain = np.linalg.solve(old, np.asarray(cell)) - np.eye(3)
        cell[:] = old @ (np.eye(3) + self._plane @ strain @ self._plane)

    def get_removed_dof(self, atoms: Atoms) -> int:
        """No atom is held."""
        return 0

    def todict(self) -> dict[str, Any]:
        """The constraint as ASE's writers store it."""
        return {"name": "InPlaneStrain", "kwargs": {"normal": self.normal.tolist()}}


def layer_constraint(cell: NDArray[np.float64], axis: int) -> InPlaneStrain:
    """The constraint that keeps cell vector `axis` while the in-plane ones relax."""
    return InPlaneStrain(_normal(np.asarray(cell), axis))


def _normal(cell: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Unit normal of the plane of the other two vectors, on the side of vector `axis`."""
    first, second = cell[(axis + 1) % 3], cell[(axis + 2) % 3]
    normal = np.cross(first, second)
    area, longest = float(np.linalg.norm(normal)), max(np.linalg.norm(first), np.linalg.norm(second))
    if not area > SMALLEST_HEIGHT * longest:
        raise StructureError(
            f"the in-plane cell vectors {first.tolist()} and {second.tolist()} Å span no plane",
            "a layer repeats along two independent vectors",
            "check the cell in the file (lattice vectors, units of length), and which directions are periodic",
        )
    return normal / area * (-1.0 if cell[axis] @ normal < 0 else 1.0)


def _unwrapped(atoms: Atoms, axis: int) -> NDArray[np.float64]:
    """Positions with the layer in one piece, the widest gap between its images."""
    scaled = atoms.get_scaled_positions(wrap=False)
    order = np.sort(scaled[:, axis] % 1.0)
    start = order[(int(np.argmax(np.diff(order, append=order[0] + 1.0))) + 1) % len(order)]
    # 1e-9: the atom at the start must not land on the far side by rounding.
    scaled[:, axis] = (scaled[:, axis] - start + 1e-9) % 1.0 + start
    return scaled @ atoms.cell[:]


def _shortest_in_plane(
    cell: NDArray[np.float64], across: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two shortest independent lattice vectors perpendicular to `across`."""
    steps = np.arange(-2, 3)
    counts = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = counts @ cell
    heights = np.abs(vectors @ across) / np.linalg.norm(across)
    lengths = np.linalg.norm(vectors, axis=1)
    flat = vectors[(heights < 1e-3 * lengths) & (lengths > 0)]
    flat = flat[np.argsort(np.round(np.linalg.norm(flat, axis=1), 6), kind="stable")]
    areas = np.linalg.norm(np.cross(flat[0], flat), axis=1)
    return flat[0], flat[int(np.argmax(areas > 1e-3 * (flat[0] @ flat[0])))]
