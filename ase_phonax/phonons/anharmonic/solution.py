"""phono3py's solution on a mesh as plain arrays, in parts that outlive an interruption.

Relaxation times of one irreducible wave vector need nothing of the others, and conductivities add up: a mesh is solved
a few wave vectors at a time, and each part can be kept in a file. The linearised equation couples all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import InputError, StructureError
from ...base.files import write_whole
from ...base.hdf5 import pack, read
from ...base.memory import memory_bytes
from ..defaults import LBTE, RTA, WIGNER
from ..sampling.meshes import IMAGINARY_THRESHOLD_THZ
from .interactions import leave_fourier_transforms, use_fourier_transforms

if TYPE_CHECKING:
    from phono3py import Phono3py

    from ...base.progress import Progress

# Solver 3 is divide and conquer by NumPy, which lets other threads run: three times faster than phono3py's default.
_KINDS: dict[str, dict[str, Any]] = {
    RTA: {},
    LBTE: {"is_LBTE": True, "pinv_solver": 3},
    WIGNER: {"transport_type": "smm19"},
}
_PART = 16  # wave vectors
_ROOM = 0.7  # of the memory, for collision matrices
_SAME = 1e-6  # relative; a crystal that is relaxed anew, by other threads, differs by rounding


@dataclass(frozen=True, eq=False)
class Solution:
    """What phono3py finds at irreducible wave vectors of a mesh, in its units and its order xx yy zz yz xz xy.

    Attributes:
        kappa: (t, 6) [W/m/K], of these wave vectors.
        modes: (t, q, bands, 6) what modes of whole stars carry, times the number of wave vectors of the mesh.
        coherence: (t, 6) part of kappa between bands; None but for Wigner's transport.
        qpoints, weights: (q, 3), (q,).
        frequencies, gamma, gamma_isotope: (q, bands), (t, q, bands), (q, bands) [THz]; None without isotopes.
        velocities, heat_capacities: (q, bands, 3) [THz Å], (t, q, bands) [eV/K].
        unit_conversion: what turns these into W/m/K.
        n_kept: how many of the wave vectors were taken from files.
    """

    kappa: NDArray[np.float64]
    modes: NDArray[np.float64]
    coherence: NDArray[np.float64] | None
    qpoints: NDArray[np.float64]
    weights: NDArray[np.int64]
    frequencies: NDArray[np.float64]
    gamma: NDArray[np.float64]
    gamma_isotope: NDArray[np.float64] | None
    velocities: NDArray[np.float64]
    heat_capacities: NDArray[np.float64]
    unit_conversion: float
    n_kept: int = 0


_ARRAYS = tuple(field.name for field in fields(Solution) if field.name != "n_kept")
# How wave vectors of several parts are put together: sums over all of them, and arrays that begin with temperatures.
_SUMS = ("kappa", "coherence")
_Q_IS_SECOND = ("modes", "gamma", "heat_capacities")


def solve(
    phono3py: Phono3py,
    mesh: tuple[int, int, int],
    temperatures: NDArray[np.float64],
    method: str,
    options: Mapping[str, Any],
    progress: Callable[[str], Progress] | None = None,
    keep: Path | None = None,
) -> Solution:
    """Solve on a mesh.

    Args:
        phono3py: with constants of both orders; left with the mesh.
        options: of `run_thermal_conductivity`.
        progress: progress(what) is told of (done, total) wave vectors.
        keep: a folder for the parts of relaxation times; what another run left there of this solution is taken.

    Raises:
        StructureError: a crystal with imaginary modes.
        InputError: a collision matrix that fits no memory.
    """
    from phonopy.phonon.grid import get_ir_grid_points

    phono3py.mesh_numbers = list(mesh)
    phono3py.init_phph_interaction()
    phono3py.run_phonon_solver()
    frequencies = phono3py.get_phonon_data()[0]
    if frequencies.min() < -IMAGINARY_THRESHOLD_THZ:
        raise no_heat_without_modes(float(frequencies.min()), f"on the mesh {mesh}")
    name = "x".join(map(str, mesh))
    irreducible = phono3py.grid.grg2bzg[get_ir_grid_points(phono3py.grid)[0]]
    what = f"mesh {name}"
    if method == LBTE:
        size = _checked_collisions(len(irreducible), frequencies.shape[1], len(temperatures))
        what += f", then eigenvalues of {size} x {size} at each of {len(temperatures)} temperatures"
    done = _Count(None if progress is None else progress(what), len(irreducible))
    use_fourier_transforms(phono3py, done)

    def run(points: NDArray[np.int64] | None) -> Solution:
        phono3py.run_thermal_conductivity(
            temperatures=list(temperatures), grid_points=points, is_full_pp=True, **_KINDS[method], **options
        )
        return _solution(phono3py.thermal_conductivity, method)

    try:
        if keep is None or method == LBTE:
            return run(None)
        parts, n_kept = [], 0
        for first in range(0, len(irreducible), _PART):
            points = irreducible[first : first + _PART]
            file = keep / f"{method}-{len(temperatures)}-{name}-{first}.h5"
            about = _about(phono3py, frequencies[points], temperatures, options)
            part = _kept(file, about)
            if part is None:
                part = run(points)
                _keep(file, part, about)
            else:
                n_kept += len(points)
            parts.append(part)
            done.up_to(first + len(points))
        return replace(_joined(parts), n_kept=n_kept)
    finally:
        leave_fourier_transforms(phono3py)


def _checked_collisions(n_qpoints: int, n_bands: int, n_temperatures: int) -> int:
    """Rows of the collision matrix over irreducible wave vectors, bands and directions.

    Raises:
        InputError: those of all temperatures, one copy and what its diagonalisation takes fit no memory.
    """
    size = 3 * n_qpoints * n_bands
    taken = 8 * size**2 * (n_temperatures + 3)
    if taken > _ROOM * memory_bytes():
        raise InputError(
            f"collision matrices of {size} x {size} at {n_temperatures} temperatures take {taken / 2**30:.1f} GB, of"
            f" {memory_bytes() / 2**30:.1f} GB",
            "the linearised equation couples all modes, and phono3py holds its matrix at every temperature",
            "ask for fewer temperatures or a coarser mesh, or for relaxation times (`method=rta`)",
        )
    return size


class _Count:
    """Wave vectors that are done, told to a progress."""

    def __init__(self, progress: Progress | None, total: int):
        self._progress, self._total, self._n = progress, total, 0

    def __call__(self) -> None:
        """One more."""
        self.up_to(self._n + 1)

    def up_to(self, n: int) -> None:
        """So many."""
        self._n = min(n, self._total)
        if self._progress:
            self._progress(self._n, self._total)


def no_heat_without_modes(lowest_thz: float, where: str) -> StructureError:
    """The error of a crystal with imaginary modes."""
    return StructureError(
        f"the crystal has imaginary modes, down to {lowest_thz:.2f} THz {where}",
        "phonons that do not exist carry no heat: a conductivity would be a number without a meaning",
        "look at its phonons (`ase-phonax phonons`): follow the modes to a stable crystal, or take a larger supercell"
        " where exact modes are real",
    )


def _solution(solved: Any, method: str) -> Solution:
    """Arrays of phono3py's object."""
    wigner = method == WIGNER
    frequencies = np.array(solved.frequencies)
    if len(frequencies) != len(solved.grid_points):  # phono3py may have them of the whole mesh
        frequencies = frequencies[solved.grid_points]
    isotopes = solved.gamma_isotope
    return Solution(
        kappa=np.array(solved.kappa[0]),
        modes=solved.mode_kappa_matrix[0].sum(axis=3).real if wigner else np.array(solved.mode_kappa[0]),
        coherence=np.array(solved.kappa_inter[0]) if wigner else None,
        qpoints=np.array(solved.qpoints),
        weights=np.array(solved.grid_weights),
        frequencies=frequencies,
        gamma=np.array(solved.gamma[0]),
        gamma_isotope=None if isotopes is None else np.array(isotopes[0]),
        velocities=np.array(solved.group_velocities),
        heat_capacities=np.array(solved.mode_heat_capacities),
        unit_conversion=float(solved.kappa_settings.conversion_factor),
    )


def _joined(parts: list[Solution]) -> Solution:
    """All wave vectors of several parts."""

    def of(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        if name == "unit_conversion" or values[0] is None:
            return values[0]
        return np.sum(values, axis=0) if name in _SUMS else np.concatenate(values, axis=int(name in _Q_IS_SECOND))

    return Solution(**{name: of(name) for name in _ARRAYS})


# ---- parts in files ----------------------------------------------------------------------------------


def _about(
    phono3py: Phono3py,
    frequencies: NDArray[np.float64],
    temperatures: NDArray[np.float64],
    options: Mapping[str, Any],
) -> dict[str, NDArray[np.float64]]:
    """What a part belongs to: phonons, what is asked, and sums over third-order constants in place of all of them."""
    return {
        "frequencies": frequencies,
        "temperatures": np.asarray(temperatures, float),
        "third_order": np.array([np.linalg.norm(phono3py.fc3), np.abs(phono3py.fc3).sum()]),
        **{name: np.array(float(value or 0)) for name, value in options.items()},
    }


def _keep(file: Path, part: Solution, about: Mapping[str, NDArray[np.float64]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(part, name) for name in _ARRAYS}
    there = {f"part/{name}": values for name, values in arrays.items() if values is not None}
    write_whole(file, pack(there | {f"about/{name}": values for name, values in about.items()}))


def _kept(file: Path, about: Mapping[str, NDArray[np.float64]]) -> Solution | None:
    """A part that was kept, if it is there, whole, and of the same solution."""
    arrays: Mapping[str, Any] = {}
    with suppress(OSError, ValueError):
        arrays = read(file).arrays
    for name, values in about.items():
        found: Any = arrays.get(f"about/{name}")
        if np.shape(found) != values.shape or not np.allclose(found, values, rtol=_SAME, atol=_SAME):
            return None
    parts: dict[str, Any] = {name: arrays.get(f"part/{name}") for name in _ARRAYS}
    missing = {name for name, values in parts.items() if values is None}
    return Solution(**parts) if missing <= {"coherence", "gamma_isotope"} else None
