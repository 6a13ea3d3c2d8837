"""The quasi-harmonic approximation in all strains that a crystal's symmetry allows, with exact slopes.

F(s, T) = E(s) + F_vib(s, T) is minimised over the amounts s of symmetric logarithmic strains S = sum s_k B_k, in cells
A exp(S): one of them in cubic crystals, two where one axis stands out, up to six. The slope of F_vib by strain is
sum (energy of each mode) times its Grüneisen parameter, from exact dD/d eps, so that few strains have to be computed:
slopes at some on the way from the crystal at rest to the hottest one are joined by a polynomial. E and its slope, the
stress, are those of the potential at every strain that is asked for, atoms relaxed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms, units
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.linalg import expm, expm_frechet

from ...base.errors import InputError, StructureError, check_calculator
from ...structures.relaxation import relax
from ...structures.space_groups import SYMPREC
from ..anharmonic.expansion import StrainedModes, strained_modes
from ..anharmonic.strained_constants import as_engineers, invariant_strains, strained_constants
from ..calculators import refuse_charges
from ..defaults import T_MAX, VOLUME_MESH_LENGTH
from ..elastic.constants import elastic_constants, internal_strain
from ..sampling.meshes import IMAGINARY_THRESHOLD_THZ, gamma_acoustics, get_mesh
from ..supercell.objects import get_phonopy

if TYPE_CHECKING:
    from ...base.progress import Progress
    from ..calculators import EvaluatedCrystalCalculator

_MOST_TEMPERATURES = 41  # from 0 to the highest; in between expansion is smooth
_BEYOND = 1.1  # of the way to the furthest strain computed, which the hottest crystal may go
_MOST = 6  # strains at which phonons are computed
_FURTHEST = 0.3  # strain beyond which no crystal hangs together
# Change of strain at which a minimum is found, and forces on atoms [eV/Å], in double and in single precision.
_SETTLED = {np.dtype(np.float64): (1e-9, 1e-6), np.dtype(np.float32): (2e-6, 1e-3)}
_OF_OTHERS = (1e-6, 1e-4)  # the same of calculators of other packages, whose precision nobody states


@dataclass(frozen=True)
class AnisotropicExpansion:
    """A crystal at each temperature.

    Attributes:
        temperatures: (t,) [K].
        cells: (t, 3, 3) of the crystal given, vectors in rows [Å].
        strains: (t, 3, 3) logarithmic ones from the crystal at rest, without vibrations.
        expansion: (t, 3, 3) their derivative by temperature [1/K].
        scaled_positions: (t, n, 3) reduced, of atoms at rest under each strain.
        free_energies: (t,) at the minimum, of the cell [eV].
        n_evaluations: strains at which phonons were computed.
        highest_thz: frequency of the crystal at rest.
    """

    temperatures: NDArray[np.float64]
    cells: NDArray[np.float64]
    scaled_positions: NDArray[np.float64]
    strains: NDArray[np.float64]
    expansion: NDArray[np.float64]
    free_energies: NDArray[np.float64]
    n_evaluations: int
    highest_thz: float

    @property
    def volumes(self) -> NDArray[np.float64]:
        """(t,) of the cell [Å³]."""
        return np.abs(np.linalg.det(self.cells))


@dataclass(frozen=True)
class _Node:
    """Phonons at one strain: how far along the way it lies, and its modes."""

    place: float
    amounts: NDArray[np.float64]
    modes: StrainedModes


def get_anisotropic_expansion(
    atoms: Atoms,
    calc: EvaluatedCrystalCalculator,
    supercell_matrix: int | ArrayLike,
    max_temperature: float = T_MAX,
    *,
    mesh_length: float = VOLUME_MESH_LENGTH,
    symprec: float = SYMPREC,
    progress: Progress | None = None,
) -> AnisotropicExpansion:
    """Cells of least free energy from 0 K on, by exact slopes in all strains that symmetry allows.

    Args:
        atoms: primitive crystal at rest; not changed.
        calc: a `PhonaxCalculator`, without charges.
        supercell_matrix: one integer, three, or (3, 3), of the force constants at every strain.
        max_temperature: [K].
        mesh_length: q-points along each reciprocal vector b are length * |b| / 2 pi [Å].
        progress: called with (done, total) strains whose phonons are known; up to three more may follow.

    Raises:
        InputError: a temperature that is none; a calculator with charges.
        StructureError: a crystal that is not at rest, is unstable, or becomes so on the way.
    """
    check_calculator(calc, "get_force_constants")
    refuse_charges(calc)
    if not 0 < max_temperature < np.inf:
        raise InputError(
            f"the highest temperature is {max_temperature}",
            "the crystal is heated up to it",
            "give it in K, such as 1000",
        )
    crystal = _Crystal(atoms, calc, supercell_matrix, mesh_length, symprec)
    # To first order the hottest crystal is where heat pulls the one at rest.
    first = crystal.node(0.0, np.zeros(len(crystal.basis)))
    top = np.linalg.solve(crystal.stiffness, -first.modes.slopes(max_temperature))
    if np.abs(top).max() > _FURTHEST:
        raise _no_minimum(max_temperature)
    nodes = [first]
    for place in (0.5, 1.0):
        if progress:
            progress(len(nodes), 3)
        nodes.append(crystal.node(place, place * top))
    while True:
        hottest = crystal.minimum(nodes, top, max_temperature, nodes[-1].amounts)
        place = float(hottest @ top / (top @ top))
        if progress:
            progress(len(nodes), len(nodes))
        places = [own.place for own in nodes]
        if _BEYOND * min(*places, -0.1) <= place <= _BEYOND * max(places):
            break
        if len(nodes) == _MOST:
            raise StructureError(
                f"at {max_temperature:g} K the crystal lies beyond {len(nodes)} strains, each further than the last",
                "its free energy would be continued to where no phonons are known",
                "ask for lower temperatures",
            )
        nodes.append(crystal.node(place, hottest))
    return crystal.expansion(nodes, top, _temperatures(max_temperature))


def _no_minimum(temperature: float) -> StructureError:
    return StructureError(
        f"the free energy has no minimum near the crystal at {temperature:.0f} K",
        "heat pulls it further than its stiffness holds it",
        "ask for lower temperatures",
    )


def _temperatures(highest: float) -> NDArray[np.float64]:
    """From 0 K in round steps, 300 K among them where it lies below the highest."""
    steps = [size * 10.0**power for power in range(-3, 4) for size in (1, 2, 2.5, 5)]
    step = next((own for own in steps if highest / own < _MOST_TEMPERATURES), highest)
    return np.append(step * np.arange(np.ceil(highest / step - 1e-9)), highest)


class _Crystal:
    """A crystal that can be strained."""

    def __init__(
        self,
        atoms: Atoms,
        calc: EvaluatedCrystalCalculator,
        matrix: int | ArrayLike,
        mesh_length: float,
        symprec: float,
    ):
        self.atoms, self.calc, self.matrix, self.symprec = atoms.copy(), calc, matrix, symprec
        self.atoms.set_constraint()  # they follow the strain, all of them
        self.settled, self.fmax = _SETTLED.get(getattr(calc.evaluator, "dtype", None), _OF_OTHERS)
        self.basis = invariant_strains(atoms, symprec)
        elastic = elastic_constants(atoms, calc)
        engineers = as_engineers(self.basis)
        self.stiffness = engineers @ elastic.relaxed_ion @ engineers.T * atoms.get_volume() * units.GPa  # [eV]
        self.mesh = get_mesh(get_phonopy(atoms, calc, matrix, symprec=symprec), mesh_length).mesh_numbers
        self._last: tuple[bytes, Atoms] | None = None

    def at(self, amounts: NDArray[np.float64]) -> Atoms:
        """The crystal under a strain, atoms relaxed, calculator attached."""
        key = amounts.tobytes()
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        # From the last one, whose atoms have gone most of the way.
        start = (self.atoms if self._last is None else self._last[1]).copy()
        start.set_cell(self.atoms.cell[:] @ expm(self._strain(amounts)), scale_atoms=True)
        relaxed = relax(start, self.calc, fix_cell=True, fmax=self.fmax, symprec=self.symprec)[0]
        self._last = key, relaxed
        return relaxed

    def node(self, place: float, amounts: NDArray[np.float64]) -> _Node:
        """Phonons under a strain."""
        atoms = self.at(amounts)
        phonopy = get_phonopy(atoms, self.calc, self.matrix, symprec=self.symprec)
        mesh = phonopy.run_mesh([int(n) for n in self.mesh], is_gamma_center=True)
        lowest = np.where(gamma_acoustics(mesh.qpoints, mesh.frequencies), 0.0, mesh.frequencies).min()
        if lowest < -IMAGINARY_THRESHOLD_THZ:
            change = 100 * (atoms.get_volume() / self.atoms.get_volume() - 1)
            raise StructureError(
                f"at {change:+.2f} % of its volume the crystal has imaginary modes, down to {lowest:.2f} THz",
                "its free energy in the quasi-harmonic approximation does not exist there",
                "take a larger supercell if exact phonons are stable, or a lower `max_temperature`",
            )
        strains = self._moves(amounts)
        followed = internal_strain(atoms, self.calc)
        constants = strained_constants(phonopy, self.calc, strains, followed)
        return _Node(place, amounts, strained_modes(phonopy, constants, strains, mesh.qpoints, mesh.weights))

    def minimum(
        self, nodes: list[_Node], top: NDArray[np.float64], temperature: float, start: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Amounts of strain (k,) of least free energy, by Broyden's method from the stiffness at rest."""
        vibrational = np.array([own.modes.slopes(temperature) for own in nodes])

        def slopes_at(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
            return self._static_slopes(amounts) + _joined(nodes, vibrational, amounts, top)

        amounts, slopes, stiffness = start, slopes_at(start), self.stiffness
        for _ in range(60):
            step = np.linalg.solve(stiffness, -slopes)
            amounts = amounts + step
            if np.abs(amounts).max() > _FURTHEST:
                break
            if np.abs(step).max() < self.settled:
                return amounts
            before, slopes = slopes, slopes_at(amounts)
            # Broyden's update: what the step has taught about the stiffness here.
            stiffness = stiffness + np.outer(slopes - before - stiffness @ step, step) / (step @ step)
        raise _no_minimum(temperature)

    def expansion(
        self, nodes: list[_Node], top: NDArray[np.float64], temperatures: NDArray[np.float64]
    ) -> AnisotropicExpansion:
        """Minima at all temperatures."""
        found, free, places, amounts = [], [], [], np.zeros(len(self.basis))
        for temperature in temperatures:
            amounts = self.minimum(nodes, top, float(temperature), amounts)
            found.append(amounts)
            places.append(self.at(amounts).get_scaled_positions(wrap=False))
            free.append(self.at(amounts).get_potential_energy() + _integrated(nodes, top, amounts, float(temperature)))
        path = CubicSpline(temperatures, np.array(found), bc_type=((1, np.zeros(len(self.basis))), "not-a-knot"))
        strains = np.einsum("tk,kxy->txy", path(temperatures), self.basis)
        return AnisotropicExpansion(
            temperatures=temperatures,
            cells=np.array([self.atoms.cell[:] @ expm(own) for own in strains]),
            scaled_positions=np.array(places),
            strains=strains,
            expansion=np.einsum("tk,kxy->txy", path(temperatures, 1), self.basis),
            free_energies=np.array(free),
            n_evaluations=len(nodes),
            highest_thz=float(nodes[0].modes.frequencies_thz.max()),
        )

    def _strain(self, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.einsum("k,kxy->xy", amounts, self.basis))

    def _moves(self, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Strains of the strained crystal that change each amount: (k, 3, 3), symmetric."""
        strain = self._strain(amounts)
        moves = np.array(
            [np.linalg.solve(expm(strain), expm_frechet(strain, own, compute_expm=False)) for own in self.basis]
        )
        return (moves + moves.swapaxes(1, 2)) / 2

    def _static_slopes(self, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        """dE/ds (k,) [eV]."""
        atoms = self.at(amounts)
        stress = voigt_6_to_full_3x3_stress(atoms.get_stress())
        return np.asarray(np.einsum("kxy,xy->k", self._moves(amounts), stress) * atoms.get_volume())


def _joined(
    nodes: Sequence[_Node], values: NDArray[np.float64], amounts: NDArray[np.float64], top: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values (nodes, k) at a strain, by the polynomial through all nodes along the way."""
    place = float(amounts @ top / (top @ top))
    x = np.array([own.place for own in nodes])
    weights = [np.prod((place - np.delete(x, i)) / (x[i] - np.delete(x, i))) for i in range(len(x))]
    return np.asarray(np.array(weights) @ values)


def _integrated(
    nodes: Sequence[_Node], top: NDArray[np.float64], amounts: NDArray[np.float64], temperature: float
) -> float:
    """The free energy of the modes at a strain: that of the first node, and its slopes along the way there."""
    values = np.array([own.modes.slopes(temperature) for own in nodes])
    x, w = np.polynomial.legendre.leggauss(4)
    slopes = [_joined(nodes, values, (1 + point) / 2 * amounts, top) @ amounts for point in x]
    return nodes[0].modes.free_energy(temperature) + float(np.array(w) @ slopes) / 2
