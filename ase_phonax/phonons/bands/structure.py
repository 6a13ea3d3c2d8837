"""Band structures along paths through the Brillouin zone, as phonopy's own objects."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
from ase.dft.kpoints import BandPath
from phonopy import Phonopy
from phonopy.phonon.band_structure import BandStructure

from ...base.progress import Progress
from ..calculators import MatrixCalculator
from ..supercell.constants import crystal_atoms
from ..supercell.door import checked, dynamical_matrix
from ..supercell.patches import exact_matrices
from . import paths
from .paths import SPACING


def get_band_structure(
    phonopy: Phonopy,
    path: str | BandPath | None = None,
    *,
    spacing: float = SPACING,
    with_eigenvectors: bool = False,
    exact: MatrixCalculator | None = None,
    progress: Progress | None = None,
) -> BandStructure:
    """Frequencies along a path through the Brillouin zone of the phonopy object's own primitive cell.

    Args:
        phonopy: with force constants.
        path: None for the standard path of the crystal (seekpath), a string of ASE's special points such
            as "GXWLG" or "GX,KG", or an ASE BandPath of the primitive or of the unit cell.
        spacing: largest distance between q-points [1/Å, 2 pi included]; a BandPath brings its own points.
        with_eigenvectors: keep them, columns of (3 n_atoms, 3 n_atoms) for each q-point.
        exact: the `PhonaxCalculator` of the constants, for exact D(q) at every q-point of the path instead
            of interpolation from the supercell.
        progress: called as progress(done, total) while exact matrices are computed.

    Returns:
        phonopy's band structure, also in `phonopy.band_structure`; frequencies [THz], imaginary negative.

    Raises:
        InputError: no force constants; a path that names unknown points, or a BandPath of another cell.
    """
    dynamical_matrix(checked(phonopy))
    primitive = crystal_atoms(phonopy.primitive)
    if path is None:
        segments = paths.crystal_path(primitive, spacing, symprec=phonopy.symmetry.tolerance)
    elif isinstance(path, str):
        segments = paths.named_path(path, primitive.cell[:], spacing)
    else:
        segments = paths.ase_path(path, primitive.cell[:], phonopy.unitcell.cell)
    connections, labels = paths.connections_and_labels(segments)
    lines = [segment.qpoints for segment in segments]
    with nullcontext() if exact is None else exact_matrices(phonopy, exact, np.concatenate(lines), progress):
        return phonopy.run_band_structure(
            lines, with_eigenvectors=with_eigenvectors, path_connections=connections, labels=labels
        )
