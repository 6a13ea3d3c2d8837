"""Third-order force constants on a supercell, from exact Phi(q1, q2, q3) of the primitive cell.

They are the inverse Fourier sum over all triplets that fit the supercell, and with that the periodic fold of the
crystal's constants: what displacements on this supercell give in the limit of zero step.
"""

from __future__ import annotations

import numpy as np

from ...base.progress import Progress
from ...derivatives.crystals import Crystals
from ..supercell.constants import Cells, commensurate_numerators, crystal_atoms, images_of


def exact_third_order(crystals: Crystals, cells: Cells, progress: Progress | None) -> np.ndarray:
    """What `third_order_constants` returns, from exact derivatives of the primitive cell."""
    qpoints = closed_qpoints(cells)
    matrices = crystals.triplet_matrices(crystal_atoms(cells.primitive), qpoints, progress)
    return third_order_constants(matrices, qpoints, cells)


def closed_qpoints(cells: Cells) -> np.ndarray:
    """All wave vectors that fit the supercell: (n_q, 3) reduced, whole numbers over their count."""
    repeats = np.rint(cells.supercell.cell @ np.linalg.inv(cells.primitive.cell)).astype(int)
    numerators, size = commensurate_numerators(repeats)
    return numerators / size


def third_order_constants(matrices: np.ndarray, qpoints: np.ndarray, cells: Cells) -> np.ndarray:
    """Inverse Fourier sum over all triplets onto a supercell.

    Phi(i, k, l) = 1/N² sum_(q2, q3) Re{Phi_i,j,j'(q1, q2, q3) exp[-2 pi i (q2.R_ik + q3.R_il)]}, with k and l the
    images of j and j' in the cells R_ik and R_il, seen from i.

    Args:
        matrices: (n_q, n_q, 3n, 3n, 3n) of q1 and q2, the third wave vector closing them [eV/Å³].
        qpoints: (n_q, 3) as `closed_qpoints` returns them.
        cells: whose atoms the constants shall belong to, in their order.

    Returns:
        (n_primitive, n_supercell, n_supercell, 3, 3, 3) compact constants in phono3py's order [eV/Å³].
    """
    primitive, n, n_q = cells.primitive, len(cells.primitive), len(qpoints)
    images = images_of(cells)
    lattice = np.rint((cells.supercell.positions - primitive.positions[images]) @ np.linalg.inv(primitive.cell))
    turns = np.rint(n_q * qpoints) @ lattice.T  # (n_q, n_supercell)
    phases = np.exp(2j * np.pi * (turns % n_q) / n_q)
    # Amplitudes of q1 at i, q2 at k: exp -2 pi i (q2.R_k + q3.R_l + q1.R_i), with q3 = -q1 - q2, is
    # exp -2 pi i [q2.(R_k - R_l) + q1.(R_i - R_l)].
    result = np.empty((n, len(images), len(images), 3, 3, 3))
    blocks = matrices.reshape(n_q, n_q, n, 3, n, 3, n, 3) / n_q**2
    for i in range(n):
        home = phases[:, primitive.p2s_map[i]].conj()  # q1 at the home cell of i
        own = blocks[:, :, i] * home[:, None, None, None, None, None, None]  # (q1, q2, 3, n, 3, n, 3)
        for last in range(n):
            there = np.flatnonzero(images == last)
            for middle in range(n):
                here = np.flatnonzero(images == middle)
                # Sum over q1 first, phases of l, then over q2, phases of l and k.
                part = own[:, :, :, middle, :, last].reshape(n_q, -1)
                half = (phases[:, there].T @ part).reshape(len(there), n_q, 27)
                half *= phases[:, there].T[:, :, None]
                whole = phases[:, here].T.conj() @ half  # (l, k, 27)
                block = whole.real.swapaxes(0, 1).reshape(len(here), len(there), 3, 3, 3)
                result[i, here[:, None], there] = block
    return result
