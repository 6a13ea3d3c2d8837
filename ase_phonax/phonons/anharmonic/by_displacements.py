"""What exact derivatives give elsewhere, by displacements: constants of third order, and their change with strain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..differences import displaced_forces
from ..supercell.constants import crystal_atoms
from ..supercell.objects import build_phonopy
from .objects import build_phono3py

if TYPE_CHECKING:
    from ase import Atoms
    from phono3py import Phono3py
    from phonopy import Phonopy

    from ...base.progress import Progress
    from ..calculators import ForceConstantsCalculator, ForcesCalculator

CONSTANTS_STRAIN = 2e-3  # of differences of constants, whose error is its square


def displaced_third_order(
    cells: Phonopy | Phono3py,
    calc: ForcesCalculator,
    step: float,
    progress: Progress | None = None,
    keep: Path | None = None,
) -> NDArray[np.float64]:
    """Third-order constants of a supercell, of which pairs of atoms are displaced as its symmetry asks.

    They are phono3py's own, made symmetric in their atoms and free of drift: of differences, either holds to their
    error alone, and long waves would be scattered by it.

    Args:
        cells: a Phonopy or Phono3py object; it is not filled.
        step: by which atoms are displaced [Å].
        progress: called with (done, total) structures.
        keep: begin of the names of files for forces that are known, from which an interrupted run goes on.

    Returns:
        (n_primitive, n_supercell, n_supercell, 3, 3, 3) compact constants in phono3py's order [eV/Å³].
    """
    own = build_phono3py(
        crystal_atoms(cells.unitcell),
        cells.supercell_matrix,
        primitive_matrix=cells.primitive_matrix,
        symprec=cells.symmetry.tolerance,
    )
    own.generate_displacements(distance=step)
    file = None if keep is None else keep.with_name(f"{keep.name}-{len(own.supercell)}-{step:g}.h5")
    own.forces = displaced_forces(calc, own.supercells_with_displacements, progress, file)
    own.produce_fc3(is_compact_fc=True)
    own.symmetrize_fc3()
    constants = own.fc3
    assert constants is not None, "they have been produced"
    return np.asarray(constants, float)


def strained_differences(
    phonopy: Phonopy,
    calc: ForceConstantsCalculator,
    strains: NDArray[np.float64],
    followed: NDArray[np.float64],
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """What `strained_constants` gives, by differences of the constants of crystals strained to both sides.

    Args:
        phonopy: of the crystal at rest.
        strains: (k, 3, 3) symmetric.
        followed: (k, n, 3) where atoms of the primitive cell go with each strain [Å].
        progress: called with (done, total) crystals.

    Returns:
        (k, n_primitive, n_supercell, 3, 3) [eV/Å²].
    """
    results, done = [], 0
    for strain, moves in zip(strains, followed, strict=True):
        sides = []
        for sign in (1, -1):
            if progress is not None:
                progress(done, 2 * len(strains))
            sides.append(_strained(phonopy, calc, sign * CONSTANTS_STRAIN * strain, sign * CONSTANTS_STRAIN * moves))
            done += 1
        results.append((sides[0] - sides[1]) / (2 * CONSTANTS_STRAIN))
    return np.array(results)


def _strained(
    phonopy: Phonopy, calc: ForceConstantsCalculator, strain: NDArray[np.float64], moves: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Constants under one strain, atoms moved (n, 3)."""
    atoms: Atoms = crystal_atoms(phonopy.unitcell)
    # Each atom of the cell given is an image of one of the primitive cell.
    images = [phonopy.primitive.p2p_map[s] for s in phonopy.primitive.s2p_map]
    of_cell = np.array(images)[phonopy.supercell.u2s_map]
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
    atoms.positions += moves[of_cell]
    other = build_phonopy(
        atoms,
        phonopy.supercell_matrix,
        primitive_matrix=phonopy.primitive_matrix,
        symprec=phonopy.symmetry.tolerance,
        is_symmetry=False,
    )
    return calc.get_force_constants(other)
