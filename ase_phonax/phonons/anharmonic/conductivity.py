"""The lattice thermal conductivity of a crystal: phono3py's solutions, with interactions by Fourier transforms."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base.errors import InputError, StructureError, UnstableWarning
from ...base.memory import memory_bytes
from ..defaults import METHODS, RTA
from ..elastic.moduli import VOIGT
from ..sampling.meshes import numbers_of_length
from ..supercell.door import checked_phono3py
from .solution import Solution, solve

if TYPE_CHECKING:
    from phono3py import Phono3py

    from ...base.progress import Progress

REFERENCE_K = 300.0
_LONGEST = 1e9  # [ps] of lives: hundred thousand times those of acoustic modes
_FIRST_LENGTH, _LENGTH_STEP = 30.0, 12.0  # [Å] of meshes on the way to convergence


@dataclass(frozen=True)
class MeshOfConductivity:
    """One mesh on the way to a converged one.

    Attributes:
        numbers: of wave vectors along the reciprocal vectors.
        kappa: its trace over three at `REFERENCE_K` [W/m/K].
    """

    numbers: tuple[int, int, int]
    kappa: float


@dataclass(frozen=True, eq=False)
class ThermalConductivity:
    """What phono3py finds on a mesh.

    Attributes:
        temperatures: (t,) [K].
        kappa: (t, 3, 3) in Cartesian axes [W/m/K].
        method: "rta", "lbte" or "wigner".
        mesh: numbers of wave vectors.
        isotopes: whether natural isotopes scatter.
        boundary_um: mean free path that boundaries allow [µm]; None for no boundary.
        modes: (t, q, bands, 3, 3) what the modes of a whole star carry: kappa is their sum over `n_qpoints` [W/m/K].
        weights: (q,) of the irreducible wave vectors; qpoints: (q, 3) reduced.
        frequencies: (q, bands) [THz]; linewidths: (t, q, bands), 2 gamma of phonon scattering [THz].
        coherence: (t, 3, 3) part of kappa between bands, for Wigner's transport [W/m/K]; else None.
        convergence: meshes on the way, where the mesh was not given.
        settled: whether kappa had settled on the last of them; None for a mesh that was given.
        n_kept: wave vectors of all meshes that were taken from an interrupted solution.
        solution: phono3py's own numbers.
    """

    temperatures: NDArray[np.float64]
    kappa: NDArray[np.float64]
    method: str
    mesh: tuple[int, int, int]
    isotopes: bool
    boundary_um: float | None
    modes: NDArray[np.float64]
    weights: NDArray[np.int64]
    qpoints: NDArray[np.float64]
    frequencies: NDArray[np.float64]
    linewidths: NDArray[np.float64]
    coherence: NDArray[np.float64] | None
    convergence: tuple[MeshOfConductivity, ...]
    settled: bool | None
    n_kept: int
    solution: Solution

    @property
    def n_qpoints(self) -> int:
        """How many wave vectors the mesh has."""
        return int(self.weights.sum())

    def at(self, temperature: float) -> NDArray[np.float64]:
        """Kappa (3, 3) at one of the temperatures, or on the line between two of them [W/m/K]."""
        where = np.flatnonzero(np.isclose(self.temperatures, temperature))
        if len(where):
            return self.kappa[where[0]]
        low, high = self.temperatures[0], self.temperatures[-1]
        if not low <= temperature <= high:
            raise InputError(
                f"{temperature:g} K lies outside the temperatures that were solved, {low:g} to {high:g} K",
                "conductivities are not continued beyond them",
                "ask for it when the conductivity is computed",
            )
        flat = self.kappa.reshape(len(self.kappa), 9)
        return np.array([np.interp(temperature, self.temperatures, own) for own in flat.T]).reshape(3, 3)

    def cumulative(self, temperature: float = REFERENCE_K) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Frequencies [THz] in ascending order, and the part of the mean kappa below each [W/m/K]."""
        where = np.flatnonzero(np.isclose(self.temperatures, temperature))
        if not len(where):
            raise InputError(
                f"{temperature:g} K is not among the temperatures that were solved, {self.temperatures.tolist()}",
                "modes are known at these alone",
                "give one of them, or ask for it when the conductivity is computed",
            )
        k = int(where[0])
        order = np.argsort(self.frequencies.ravel())
        parts = np.trace(self.modes[k], axis1=2, axis2=3).ravel()[order] / 3 / self.n_qpoints
        return self.frequencies.ravel()[order], np.cumsum(parts)


def get_thermal_conductivity(
    phono3py: Phono3py,
    mesh: ArrayLike | None = None,
    temperatures: Sequence[float] = (REFERENCE_K,),
    *,
    method: str = RTA,
    isotopes: bool = True,
    boundary_um: float | None = None,
    tolerance: float = 0.03,
    max_qpoints: int = 8000,
    progress: Callable[[str], Progress] | None = None,
    keep: str | Path | None = None,
) -> ThermalConductivity:
    """Lattice thermal conductivity, solved by phono3py.

    The object is left with the last mesh, and with the last part of it where parts are kept.

    Args:
        phono3py: with constants of both orders, as `get_phono3py` returns it.
        mesh: (3,) numbers of wave vectors; None for a series of meshes, until kappa at 300 K by relaxation times
            changes by less than `tolerance`.
        temperatures: [K], ascending, all above 0.
        method: "rta" (relaxation times), "lbte" (the linearised equation, solved directly) or "wigner" (relaxation
            times and what tunnels between bands: Simoncelli, Marzari, Mauri, Nat. Phys. 15, 809 (2019)).
        isotopes: scattering by natural isotopes (Tamura, Phys. Rev. B 27, 858 (1983)).
        boundary_um: mean free path that boundaries allow [µm].
        tolerance: of the series of meshes, relative.
        max_qpoints: where the series ends at the latest.
        progress: progress(what) is called for each mesh, and what it returns with (done, total) wave vectors.
        keep: a folder where relaxation times are kept as they are found, a few wave vectors a file; called again with
            the same arguments, an interrupted solution goes on from there. Not for "lbte".

    Raises:
        InputError: constants are missing; temperatures, mesh or method are none; a mesh without the crystal's symmetry,
            or beyond the memory.
        StructureError: a crystal with imaginary modes, or with modes that nothing scatters.
    """
    checked_temperatures, method = _checked(phono3py, temperatures, method, boundary_um)
    steps: list[MeshOfConductivity] = []
    settled: bool | None = None
    options = {"is_isotope": isotopes, "boundary_mfp": boundary_um}
    on_mesh = partial(solve, phono3py, options=options, progress=progress, keep=None if keep is None else Path(keep))
    if mesh is None:
        numbers, steps, n_kept, settled = _converged_mesh(phono3py, tolerance, max_qpoints, on_mesh)
    else:
        rotations, n_kept = phono3py.primitive_symmetry.pointgroup_operations, 0
        numbers = checked_conductivity_mesh(mesh, len(phono3py.primitive), rotations)
    found = on_mesh(mesh=numbers, temperatures=checked_temperatures, method=method)
    if boundary_um is None:  # which ends every life
        _refuse_endless_lives(found, float(checked_temperatures[-1]), numbers)
    return ThermalConductivity(
        temperatures=checked_temperatures,
        kappa=_tensors(found.kappa),
        method=method,
        mesh=numbers,
        isotopes=isotopes,
        boundary_um=boundary_um,
        modes=_tensors(found.modes),
        weights=found.weights,
        qpoints=found.qpoints,
        frequencies=found.frequencies,
        linewidths=2 * found.gamma,
        coherence=None if found.coherence is None else _tensors(found.coherence),
        convergence=tuple(steps),
        settled=settled,
        n_kept=n_kept + found.n_kept,
        solution=found,
    )


def _converged_mesh(
    phono3py: Phono3py,
    tolerance: float,
    max_qpoints: int,
    on_mesh: Callable[..., Solution],
) -> tuple[tuple[int, int, int], list[MeshOfConductivity], int, bool]:
    """The first mesh of a series on which kappa has settled, the series, wave vectors kept, and whether it has."""
    steps: list[MeshOfConductivity] = []
    n_kept = 0
    length = _FIRST_LENGTH
    while True:
        numbers = _three(numbers_of_length(phono3py.primitive.cell, length))
        beyond = np.prod(numbers) > max_qpoints or not _fits(np.array(numbers), len(phono3py.primitive))
        too_many = bool(steps) and beyond
        settled = len(steps) > 1 and abs(steps[-1].kappa / steps[-2].kappa - 1) < tolerance
        if too_many and not settled:
            warnings.warn(
                f"The conductivity has not settled to {100 * tolerance:g} % on the mesh {steps[-1].numbers}, and the"
                f" next one, {numbers}, has more than {max_qpoints} wave vectors, or does not fit the memory. Give a"
                " finer mesh by hand.",
                UnstableWarning,
                stacklevel=3,
            )
        if too_many or settled:
            return steps[-1].numbers, steps, n_kept, settled
        length += _LENGTH_STEP
        if steps and numbers == steps[-1].numbers:
            continue
        found = on_mesh(mesh=numbers, temperatures=np.array([REFERENCE_K]), method=RTA)
        n_kept += found.n_kept
        steps.append(MeshOfConductivity(numbers, float(np.mean(found.kappa[0, :3]))))


def _tensors(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 6) in phono3py's order -> (..., 3, 3)."""
    result = np.empty((*values.shape[:-1], 3, 3))
    for k, (i, j) in enumerate(VOIGT):
        result[..., i, j] = result[..., j, i] = values[..., k]
    return result


def _refuse_endless_lives(found: Solution, temperature: float, mesh: tuple[int, int, int]) -> None:
    """Refuse what nothing scatters: it carries any heat.

    Raises:
        StructureError: modes that move and live longer than `_LONGEST`.
    """
    widths = found.gamma[-1] + (0.0 if found.gamma_isotope is None else found.gamma_isotope)
    carries = np.abs(found.modes[-1]).max(axis=2) > 0
    endless = carries & (4 * np.pi * widths * _LONGEST < 1)  # a life is 1 / (4 pi gamma)
    if endless.any():
        raise StructureError(
            f"{endless.sum()} of the modes of the mesh {mesh} are scattered by nothing at {temperature:g} K",
            f"they would live longer than {_LONGEST * 1e-12:g} s, and carry heat without a limit",
            "take a finer mesh, and a larger supercell of third-order constants: too small ones fold them to nothing",
        )


def checked_conductivity_mesh(mesh: ArrayLike, n_atoms: int, rotations: NDArray[np.int64]) -> tuple[int, int, int]:
    """A mesh that triplets of wave vectors can be taken from.

    Args:
        n_atoms: of the primitive cell.
        rotations: (k, 3, 3) of its point group, in reduced coordinates.

    Raises:
        InputError: it is none, lacks symmetry of the crystal, or fits no memory.
    """
    numbers = np.asarray(mesh)
    if numbers.shape != (3,) or not np.all(numbers == np.rint(numbers)) or numbers.min() < 1:
        raise InputError(
            f"the mesh is {numbers.tolist()}", "it counts wave vectors along three directions", "give three numbers"
        )
    if numbers.max() < 2:
        raise InputError(
            "the mesh is one wave vector, Γ",
            "no three phonons meet there but optical ones, and none of them moves",
            "give a mesh such as 11 11 11, or none for a converged one",
        )
    turned = numbers[:, None] * np.swapaxes(rotations, 1, 2) / numbers
    if np.abs(turned - np.rint(turned)).max() > 1e-9:
        tied = (np.abs(rotations).max(axis=0) > 0) & (numbers[:, None] != numbers)
        pairs = [f"{'abc'[i]} and {'abc'[j]}" for i, j in np.argwhere(tied | tied.T) if i < j]
        raise InputError(
            f"the mesh {numbers.tolist()} lacks symmetry: the crystal turns {', '.join(pairs)} into each other",
            "triplets of its wave vectors are taken from a mesh that the crystal's rotations leave as it is",
            "give the same number along these vectors, or none for a converged mesh",
        )
    if not _fits(numbers, n_atoms):
        taken = _mesh_bytes(numbers, n_atoms) / 2**30
        raise InputError(
            f"the mesh {numbers.tolist()} takes {taken:.1f} GB, of {memory_bytes() / 2**30:.1f} GB",
            "all triplets with one wave vector are held at once",
            "give a coarser mesh, or none for a converged one",
        )
    return _three(numbers)


def _mesh_bytes(numbers: NDArray[np.int64], n_atoms: int) -> float:
    """Eigenvectors of all wave vectors; strengths and two sets of weights of all triplets with one of them."""
    n_bands = 3 * n_atoms
    return float(np.prod(numbers)) * (16 * n_bands**2 + 12 * n_bands**3)


def _fits(numbers: NDArray[np.int64], n_atoms: int) -> bool:
    return _mesh_bytes(numbers, n_atoms) < 0.5 * memory_bytes()


def _three(numbers: NDArray[np.int64]) -> tuple[int, int, int]:
    first, second, third = (int(n) for n in numbers)
    return first, second, third


def _checked(
    phono3py: Phono3py, temperatures: Sequence[float], method: str, boundary_um: float | None
) -> tuple[NDArray[np.float64], str]:
    """Temperatures (t,) and the method.

    Raises:
        InputError: what cannot be solved.
    """
    checked_phono3py(phono3py)
    if phono3py.fc3 is None or phono3py.fc2 is None:
        raise InputError(
            f"the {type(phono3py).__name__} object has no force constants of both orders",
            "phonons and what scatters them are made of these",
            "take it from ase_phonax.get_phono3py, or fill its fc2 and fc3",
        )
    values = np.atleast_1d(np.asarray(temperatures, float))
    if values.ndim != 1 or not len(values) or not np.all(values > 0) or np.any(np.diff(values) <= 0):
        raise InputError(
            f"the temperatures are {np.asarray(temperatures).tolist()}",
            "they ascend, and at 0 K nothing carries heat",
            "give them like [100, 200, 300]",
        )
    if method not in METHODS:
        raise InputError(
            f"the method is {method!r}",
            "it says which equation of transport is solved",
            f"give one of {', '.join(METHODS)}",
        )
    if boundary_um is not None and not boundary_um > 0:
        raise InputError(f"the boundary is {boundary_um} µm", "it is a mean free path", "give a positive length")
    return values, method
