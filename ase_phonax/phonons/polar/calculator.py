"""A calculator and the charges of one crystal: exact D(q) with the interaction of its dipoles."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.harmonic.dynamical_matrix import NacParams
from phonopy.structure.atoms import PhonopyAtoms

from ...base.errors import InputError, UnstableWarning
from ...derivatives.conventions import wave_vectors
from ...derivatives.crystals import scaled_positions
from ...structures.layers import vacuum_axis
from ...structures.space_groups import SYMPREC
from ..calculators import ModelCalculator
from ..supercell.constants import (
    commensurate_qpoints,
    constants_from_lattice_matrices,
    crystal_atoms,
    validate_constants,
)
from ..supercell.door import checked_for_potential
from .charges import Born, NonAnalyticCorrection, read_correction
from .dipoles import DipoleInteraction
from .prediction import PredictedCharges
from .splitting import checked_directions
from .widths import UNKNOWN, checked_width, width_of

if TYPE_CHECKING:
    from ...base.progress import Progress

_SAME = 0.1  # of a cell vector, that an atom or a vector may lie from where the charges were given


class _Charged:
    """What calculators with charges have in common."""

    _of_layers = False

    def __init__(
        self,
        calc: ModelCalculator,
        atoms: Atoms | PhonopyAtoms,
        born: Born | PredictedCharges,
        width: float | None = None,
        symprec: float = SYMPREC,
    ):
        if isinstance(calc, _Charged) or getattr(calc, "field", None) is not None:
            raise InputError(
                f"the calculator {calc!r} has charges already, or stands in an electric field",
                "dipoles would be added twice; and a crystal in a uniform field has no minimum",
                "give the PhonaxCalculator itself, without a field",
            )
        self.calc = calc
        self.crystal = crystal_atoms(atoms).copy()
        self.crystal.calc = None
        self.charges_from = "nac_params" if isinstance(born, dict) else str(born)
        self.doubt: str | None = None
        self.expected_error: tuple[float, float] | None = None
        if isinstance(born, PredictedCharges):
            self.expected_error = born.expected_error
            self.charges_from, self.doubt, born = born.model, born.doubt, born.born
        self.correction: NonAnalyticCorrection = read_correction(
            born, atoms, symprec, method="gonze", layer=self._of_layers
        )
        self._vacuum = vacuum_axis(self.crystal) if self._of_layers else None
        if self._vacuum is not None:
            across, plane = self.crystal.cell[self._vacuum], np.delete(self.crystal.cell.array, self._vacuum, axis=0)
            if np.abs(plane @ across).max() > 1e-6 * np.linalg.norm(across) * np.linalg.norm(plane, axis=1).max():
                raise InputError(
                    "the vacuum of the layer is tilted",
                    "its height, which the dielectric tensor belongs to, is then not the length of a cell vector",
                    "give a cell whose vacuum is perpendicular to the layer (structures.layers.as_layer makes one)",
                )
            self._polarizability = (self.correction.dielectric - np.eye(3)) * np.linalg.norm(across) / 2
        measured = width_of(calc.potential) if width is None else checked_width(width)
        self.width = UNKNOWN if measured is None else measured
        if measured is None:
            warnings.warn(
                f"Where the reach of {calc.potential.name!r} ends is not known: the interaction of dipoles is added as"
                f" for a model of L = {UNKNOWN:g} 1/Å. LO branches between Γ and about 0.3 1/Å depend on it.",
                UnstableWarning,
                stacklevel=2,
            )

    def __getattr__(self, name: str) -> Any:
        """What is not of dipoles: the calculator's."""
        if name.startswith("__") or name == "calc":  # a copy or pickle in the making has none
            raise AttributeError(name)
        return getattr(self.calc, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.crystal.get_chemical_formula()}, L = {self.width:g} 1/Å: {self.calc}>"

    def interaction(self, atoms: Atoms | PhonopyAtoms) -> DipoleInteraction:
        """The dipoles of the crystal, strained or displaced by little.

        Raises:
            InputError: another crystal, or another order of its atoms.
        """
        crystal = crystal_atoms(atoms)
        scaled = scaled_positions(crystal)
        if not self._is_known(crystal, scaled):
            raise InputError(
                f"{crystal.get_chemical_formula()} is not the crystal that the charges belong to"
                f" ({self.crystal.get_chemical_formula()}), or its atoms are in another order",
                "charges on the wrong atoms give frequencies that look reasonable and are wrong",
                "make a PolarCalculator of this cell, with one charge for each of its atoms",
            )
        used = self.correction
        screening = used.dielectric if self._vacuum is None else self._polarizability
        return DipoleInteraction(
            crystal.cell.array, scaled, used.charges, screening, self.width, used.factor, self._vacuum
        )

    def get_dynamical_matrix(
        self,
        atoms: Atoms | PhonopyAtoms,
        qpoints: ArrayLike,
        *,
        symmetry: bool = True,
        progress: Progress | None = None,
    ) -> NDArray[np.complex128]:
        """Exact D(q) in phonopy's convention with the interaction of dipoles: (n_q, 3n, 3n) [eV/Å²/amu].

        Args:
            atoms: what the charges belong to.
            qpoints: (n_q, 3) or (3,) reduced.
            symmetry, progress: as `PhonaxCalculator.get_dynamical_matrix`; dipoles are summed at every wave vector.
        """
        return self._matrices(atoms, qpoints, symmetry, progress, None)

    def _matrices(
        self,
        atoms: Atoms | PhonopyAtoms,
        qpoints: ArrayLike,
        symmetry: bool,
        progress: Progress | None,
        towards: NDArray[np.float64] | None,
    ) -> NDArray[np.complex128]:
        vectors = wave_vectors(qpoints)
        dipoles = self.interaction(atoms)
        matrices = self.calc.get_dynamical_matrix(atoms, vectors, symmetry=symmetry, progress=progress)
        return np.asarray(matrices + dipoles.matrices(vectors, towards) / _root_masses(atoms))

    def get_dynamical_matrix_gradient(
        self, atoms: Atoms | PhonopyAtoms, qpoints: ArrayLike, *, progress: Progress | None = None
    ) -> NDArray[np.complex128]:
        """Exact dD/dk along x, y, z, k in 1/Å without 2 pi: (n_q, 3, 3n, 3n) [eV/Å/amu].

        At Gamma D(q) has a slope of each direction, and what is given is the one of transverse modes.
        """
        vectors = wave_vectors(qpoints)
        dipoles = self.interaction(atoms)
        slopes = self.calc.get_dynamical_matrix_gradient(atoms, vectors, progress=progress)
        return np.asarray(slopes + dipoles.slopes(vectors) / _root_masses(atoms))

    def get_force_constants(self, phonopy: Phonopy, *, progress: Progress | None = None) -> NDArray[np.float64]:
        """(n_primitive, n_supercell, 3, 3) compact constants with dipoles, also set in the object [eV/Å²]."""
        primitive = checked_for_potential(phonopy).primitive
        dipoles = self.interaction(primitive)
        constants = self.calc.get_force_constants(phonopy, progress=progress)
        qpoints, weights = commensurate_qpoints(primitive.cell, phonopy.supercell.cell)
        lattice = dipoles.lattice_matrices(qpoints)
        constants = constants + constants_from_lattice_matrices(lattice, qpoints, weights, phonopy)
        phonopy.force_constants = validate_constants(constants, phonopy)
        return constants

    def _is_known(self, crystal: Atoms, scaled: NDArray[np.float64]) -> bool:
        if not np.array_equal(crystal.numbers, self.crystal.numbers):
            return False
        apart = scaled - scaled_positions(self.crystal)
        # Strained by little: not turned, and not another lattice with the same reduced positions.
        strain = np.linalg.solve(self.crystal.cell.array, crystal.cell.array) - np.eye(3)
        off = max(np.abs(apart - np.rint(apart)).max(initial=0.0), np.abs(strain).max())
        return bool(off < _SAME)


class PolarCalculator(_Charged):
    """A calculator that knows the charges of one crystal: D(q) holds the interaction of dipoles at any distance.

    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from ase_phonax import PhonaxCalculator, PolarCalculator, get_phonopy
    >>> salt = bulk("NaCl", "rocksalt", a=5.69)
    >>> born = {"born": np.array([1.1, -1.1])[:, None, None] * np.eye(3), "dielectric": 2.4 * np.eye(3)}
    >>> polar = PolarCalculator(PhonaxCalculator(), salt, born)
    >>> phonopy = get_phonopy(salt, polar, 3)  # constants with dipoles, and phonopy's nac_params
    >>> polar.get_dynamical_matrix(salt, [0, 0, 0], direction=[0.5, 0, 0.5]).shape
    (1, 6, 6)

    D(q) = D_model(q) + D_long(q), where D_long is Gonze and Lee's sum cut off at the reach of the model (`dipoles`). It
    takes the calculator's place in whatever asks for exact matrices, slopes or force constants. All else, energies and
    forces among it, is the calculator's own.

    Args:
        calc: a `PhonaxCalculator`.
        atoms: the primitive cell that the charges belong to, relaxed.
        born: file in phonopy's BORN format, `nac_params`, or what `predict_charges` returns.
        width: where the model's reach ends, L of the Gaussian [1/Å]; the model's unless given, or 0.1, with a
            warning, where nobody has measured it.
        symprec: distance below which positions count as equal, where charges are made symmetric [Å].

    Attributes:
        calc: the calculator.
        correction: charges and dielectric tensor as they are used.
        charges_from: name of the file or of the network.
        doubt: why the crystal may have no charges at all; None where nothing speaks for it, or they were given.
        expected_error: of predicted charges [e] and of the tensor (`PredictedCharges.expected_error`).
        width: L [1/Å].
        nac_params: what phonopy interpolates with, by Gonze and Lee's method: constants of this calculator contain the
            tail that it takes off first.

    Raises:
        InputError: as `read_correction`; a width that is none.
    """

    @property
    def nac_params(self) -> NacParams:
        """phonopy's, a copy."""
        return copy.deepcopy(self.correction.params)

    def get_dynamical_matrix(
        self,
        atoms: Atoms | PhonopyAtoms,
        qpoints: ArrayLike,
        *,
        symmetry: bool = True,
        progress: Progress | None = None,
        direction: ArrayLike | None = None,
    ) -> NDArray[np.complex128]:
        """Exact D(q) in phonopy's convention with the interaction of dipoles: (n_q, 3n, 3n) [eV/Å²/amu].

        Args:
            atoms: the crystal that the charges belong to.
            qpoints: (n_q, 3) or (3,) reduced.
            symmetry, progress: as `PhonaxCalculator.get_dynamical_matrix`; dipoles are summed at every wave vector.
            direction: (3,) reduced, along which Gamma is approached; without it Gamma has transverse modes only.
        """
        towards = None if direction is None else checked_directions(direction)[0]
        return self._matrices(atoms, qpoints, symmetry, progress, towards)

    def get_force_constants(self, phonopy: Phonopy, *, progress: Progress | None = None) -> NDArray[np.float64]:
        """(n_primitive, n_supercell, 3, 3) compact constants [eV/Å²], and phonopy's nac_params set with them.

        Where wave vectors fit the supercell, phonopy's D(q) is the exact one; in between it interpolates what is left
        when its own sum of dipoles is taken off.
        """
        constants = super().get_force_constants(phonopy, progress=progress)
        phonopy.nac_params = self.nac_params
        return constants


class PolarLayerCalculator(_Charged):
    """A calculator that knows the charges of one layer: LO and TO meet at Gamma, and LO leaves it with a slope.

    As `PolarCalculator`, with the interaction of dipoles in two dimensions (Sohier et al., `dipoles`). phonopy has no
    form of it: constants of a supercell are right where wave vectors fit it, and round the kink at Gamma off in
    between; exact bands have it.

    Args:
        calc, atoms, born, width, symprec: as there. The dielectric tensor is that of the cell with its vacuum; what
            counts is its in-plane part times the height, r = (eps - 1) c / 2, which is a property of the layer.

    Raises:
        InputError: as `PolarCalculator`; no layer, or a vacuum that is not perpendicular to it.
    """

    _of_layers = True

    @property
    def screening_lengths(self) -> tuple[float, float]:
        """r in the plane along its principal axes, the smaller first [Å]."""
        assert self._vacuum is not None
        across = self.crystal.cell[self._vacuum]
        plane = np.eye(3) - np.outer(across, across) / (across @ across)
        _, smaller, larger = np.linalg.eigvalsh(plane @ self._polarizability @ plane)  # the first is zero
        return float(smaller), float(larger)


def _root_masses(atoms: Atoms | PhonopyAtoms) -> NDArray[np.float64]:
    """sqrt(m_i m_j) of the rows and columns of D(q): (3n, 3n) [amu]."""
    roots = np.repeat(np.sqrt(crystal_atoms(atoms).get_masses()), 3)
    return np.outer(roots, roots)
