"""Mode Grüneisen parameters from the exact derivative of D(q) by strain: no second volume."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from ase.dft.kpoints import BandPath

from ...base.errors import StructureError
from ..anharmonic.expansion import strained_modes, with_constants
from ..anharmonic.strained_constants import as_engineers, invariant_strains, strained_constants
from ..calculators import refuse_charges
from ..defaults import VOLUME_MESH_LENGTH
from ..elastic.constants import elastic_constants
from ..supercell.constants import compact_constants, crystal_atoms
from ..supercell.door import dynamical_matrix
from .gruneisen import Gruneisen, by_matrices
from .points import VolumePoint

if TYPE_CHECKING:
    from ...base.progress import Progress
    from ..calculators import EvaluatedCrystalCalculator


def get_exact_gruneisen(
    point: VolumePoint,
    calc: EvaluatedCrystalCalculator,
    path: str | BandPath | None = None,
    *,
    mesh_length: float = VOLUME_MESH_LENGTH,
    progress: Progress | None = None,
) -> Gruneisen:
    """Mode Grüneisen parameters along a path and on a mesh, from exact derivatives by strain.

    The volume changes under pressure, as the crystal's compliance has it: shape and atoms follow.

    Args:
        point: one of `phonons_at_volumes`, at rest.
        calc: a `PhonaxCalculator`.
        path, mesh_length: those of `get_gruneisen`.
        progress: called with (done, total) wave vectors.

    Raises:
        InputError: a calculator with charges.
        StructureError: a crystal under stress, unstable at Gamma, or one that gives way to a strain.
    """
    refuse_charges(calc)
    phonopy = point.phonopy
    elastic = elastic_constants(crystal_atoms(phonopy.primitive), calc)
    if not elastic.is_stable:
        raise StructureError(
            f"the crystal gives way: its softest strain has {elastic.eigenvalues[0]:.3g} GPa",
            "under pressure it has no shape to change from",
            "relax it without symmetry, and look for the phase that it becomes",
        )
    strains = invariant_strains(crystal_atoms(phonopy.primitive))
    constants = strained_constants(phonopy, calc, strains, elastic.internal_strain, progress)
    # The strain under pressure, of volume 1.
    under_pressure = np.linalg.solve(elastic.relaxed_ion, [1, 1, 1, 0, 0, 0])
    under_pressure /= under_pressure[:3].sum()
    amounts = np.linalg.lstsq(as_engineers(strains).T, under_pressure, rcond=None)[0]
    own, change = compact_constants(phonopy), np.einsum("k,k...->...", amounts, constants)
    matrix = dynamical_matrix(phonopy)
    # D is linear in its constants, so that this difference is the derivative.
    matrices = [matrix, with_constants(matrix, own + change / 2), with_constants(matrix, own - change / 2)]
    found = by_matrices((point,), matrices, 1.0, 0.0, path, mesh_length)
    modes = strained_modes(phonopy, constants, strains, found.mesh.get_qpoints(), found.weights)
    return replace(found, strained=replace(modes, elastic=elastic))
