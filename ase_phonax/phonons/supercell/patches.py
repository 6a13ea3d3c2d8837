"""phonopy's own classes on exact D(q): bands, meshes and irreps without a supercell in between.

phonopy builds all its dynamical matrices in one function. Inside `exact_matrices` that function answers
for one `Phonopy` object with matrices from the potential; everything that phonopy computes there from
D(q) is then exact. Results are phonopy's objects and stay what they are after the block. Other objects, in
this thread and in others, are answered as ever; blocks of several threads do not wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.harmonic import dynamical_matrix as phonopy_matrices
from phonopy.harmonic.dynamical_matrix import DynamicalMatrix
from phonopy.phonon import mesh as phonopy_mesh
from phonopy.phonon import qpoints as phonopy_qpoints

from ...base.sharing import Replacement
from ..calculators import DirectedCalculator, MatrixCalculator, charges_on_one_side
from .constants import crystal_atoms
from .door import checked_for_potential, dynamical_matrix

if TYPE_CHECKING:
    from ...base.progress import Progress

Matrices = Callable[..., NDArray[np.complex128]]  # D(q) at one wave vector or several


@contextmanager
def exact_matrices(
    phonopy: Phonopy, calc: MatrixCalculator, qpoints: ArrayLike | None = None, progress: Progress | None = None
) -> Iterator[None]:
    """Let phonopy see the exact D(q) of a crystal in place of the one interpolated from its supercell.

    Covered: `run_band_structure`, `run_mesh`, `run_qpoints`, `run_irreps` and what follows from their
    results (densities of states, thermal properties). phonopy's group velocities differentiate the
    supercell's constants and are *not* exact: see `ase_phonax.get_group_velocities`.

    Args:
        phonopy: with force constants (of any supercell), which stay as they are.
        calc: the `PhonaxCalculator` they belong to; it remembers each star of wave vectors. A `PolarCalculator` for an
            object with nac_params: Γ then has LO modes along a direction, as phonopy asks for it.
        qpoints: (n_q, 3) computed at once beforehand, where phonopy would ask one by one.
        progress: called with (done, total) columns.

    Raises:
        InputError: the object has no force constants; or of object and calculator one alone has charges.
    """
    polar = isinstance(calc, DirectedCalculator)
    if (checked_for_potential(phonopy).nac_params is not None) != polar:
        raise charges_on_one_side(polar)
    primitive = crystal_atoms(phonopy.primitive)
    if qpoints is not None:
        calc.get_dynamical_matrix(primitive, qpoints, progress=progress)
    ours = dynamical_matrix(phonopy)

    def exact(q: ArrayLike, nac_q_direction: ArrayLike | None = None, **_: Any) -> NDArray[np.complex128]:
        vectors = np.reshape(q, (-1, 3))
        if isinstance(calc, DirectedCalculator):
            matrices = calc.get_dynamical_matrix(primitive, vectors, progress=progress, direction=nac_q_direction)
        else:
            matrices = calc.get_dynamical_matrix(primitive, vectors, progress=progress)
        matrices = (matrices + matrices.conj().transpose(0, 2, 1)) / 2  # as phonopy does with its own
        return matrices[0] if np.ndim(q) == 1 else matrices

    entry = ours, exact
    with _PATCH.in_place():
        _OPEN.append(entry)
        try:
            yield
        finally:
            _OPEN.remove(entry)


# The dynamical matrices whose blocks are open, in any thread, and what answers for them; the latest counts.
_OPEN: list[tuple[DynamicalMatrix, Matrices]] = []


def _answering(original: Matrices) -> Matrices:
    """phonopy's function, which asks the potential for matrices of the blocks that are open."""

    def matrices(dm: DynamicalMatrix, q: ArrayLike, *arguments: Any, **options: Any) -> NDArray[np.complex128]:
        for ours, exact in reversed(_OPEN.copy()):  # blocks of other threads may open and end meanwhile
            if dm is ours:
                return exact(q, *arguments, **options)
        return original(dm, q, *arguments, **options)

    return matrices


_PATCH = Replacement((phonopy_matrices, phonopy_mesh, phonopy_qpoints), "get_dynamical_matrices_at_qpoints", _answering)
