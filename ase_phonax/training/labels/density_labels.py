"""Densities of states as labels: from what phonopy has computed, or written into a file."""

from __future__ import annotations

from os import PathLike

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from phonopy import Phonopy

from ...base.errors import InputError, why_unread
from ...base.input_files import require_file
from ...base.units import CM1_PER_THZ
from ...models.spectra.densities import GRID_CM1
from ...phonons.densities.from_modes import SMOOTHING_CM1, phonopy_density
from .frames import Frame

_UNSTABLE = 0.01  # share of imaginary modes above which a density says little
_MISSING = 0.03  # of the modes: meshes and smearing round by less
_STEP_THZ = 0.01  # on which a density from a file is smoothed


def frame_of_density(source: Phonopy | str | PathLike[str], atoms: Atoms | None = None, origin: str = "") -> Frame:
    """A crystal with its density of states, to train a network on.

    Args:
        source: a phonopy object with force constants, which gives densities of atoms as well; or a file such as
            phonopy's total_dos.dat: frequencies [THz] and states per THz in a cell, column by column.
        atoms: of a file: the cell that its density counts the states of. A phonopy object has its primitive cell.
        origin: what is said of it in errors.

    Raises:
        InputError: a file that is none, of another unit or normalisation; an unstable crystal; a file without atoms.
    """
    if isinstance(source, Phonopy):
        density = phonopy_density(source)
        _refuse_unstable(density.imaginary, origin or "the phonopy object")
        cell = source.primitive
        crystal = Atoms(cell.numbers, positions=cell.positions, cell=cell.cell, masses=cell.masses, pbc=True)
        shares = density.by_atom / density.by_atom.sum(axis=1, keepdims=True)
        total = density.total / density.total.max()
        return Frame(crystal, density_of_states=total, partial_densities=shares, origin=origin)
    name = origin or str(source)
    if atoms is None:
        raise InputError(
            f"{name} was given without atoms",
            "a density says nothing of the structure that it belongs to",
            "give the cell whose states it counts: frame_of_density(file, atoms)",
        )
    total = _on_grid(*_read(str(source)), 3 * len(atoms), name)
    return Frame(atoms, density_of_states=total / total.max(), origin=name)


def _read(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    require_file(name, "the density of states", "there is nothing to learn from", InputError)
    try:
        table = np.loadtxt(name, ndmin=2)
        if table.shape[1] != 2 or len(table) < 10 or not np.isfinite(table).all():
            raise ValueError(f"{table.shape[1]} columns of {len(table)} finite numbers")
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{name} is no density of states: {why_unread(error)}",
            "it has a frequency and a number of states on each line",
            "give phonopy's total_dos.dat",
        ) from error
    return table[:, 0], table[:, 1]


def _on_grid(v: NDArray[np.float64], density: NDArray[np.float64], n_modes: int, name: str) -> NDArray[np.float64]:
    """Smoothed, on the grid of labels."""
    if not (np.diff(v) > 0).all() or (density < -1e-6 * density.max()).any():
        raise InputError(
            f"{name}: frequencies do not ascend, or numbers of states are negative",
            "it is no density of states",
            "give phonopy's total_dos.dat",
        )
    whole = float(np.trapezoid(density, v))
    if abs(whole / n_modes - 1) > _MISSING:
        raise InputError(
            f"{name} counts {whole:.4g} states where the cell has {n_modes} modes",
            "frequencies in 1/cm or meV, densities for an atom, another cell or a cut range give such numbers",
            "give THz and states per THz of the cell that is given, as in phonopy's total_dos.dat",
        )
    _refuse_unstable(float(np.trapezoid(np.where(v < -0.15, density, 0), v)) / whole, name)
    fine = np.arange(0, max(v.max(), _STEP_THZ) + _STEP_THZ, _STEP_THZ)
    states = np.interp(fine, v, density, left=0, right=0)
    peaks = np.exp(-((GRID_CM1[:, None] - CM1_PER_THZ * fine) ** 2) / 2 / SMOOTHING_CM1**2)
    result = peaks @ states
    result[0] = 0
    return np.asarray(result)


def _refuse_unstable(share: float, name: str) -> None:
    if share > _UNSTABLE:
        raise InputError(
            f"{name}: {100 * share:.2g} % of the modes are imaginary",
            "a network would learn what is left of an unstable crystal as if it were whole",
            "leave it out, or relax it into its stable form first",
        )
