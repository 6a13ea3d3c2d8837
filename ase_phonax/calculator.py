"""The ASE face: energies, forces and stress like any calculator, and exact second derivatives."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError, all_changes
from ase.outputs import Properties, all_outputs
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import ArrayLike
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from .base.calculators import SharedCalculator
from .base.errors import InputError
from .base.progress import Progress
from .derivatives.compiled.devices import DeviceLike
from .derivatives.crystals import Crystals
from .derivatives.evaluator import Evaluator, checked_route
from .derivatives.fields import FieldResponse, refuse_no_neutral_molecule
from .derivatives.route import COMPILED
from .models.fields import DIPOLE, checked_field, has_output, in_field, not_given
from .models.loading import load_model
from .models.potential import Potential
from .models.registry import DEFAULT, models_with, refuse_without_energies
from .phonons.anharmonic.third_order import exact_third_order
from .phonons.supercell.constants import crystal_atoms, exact_constants
from .phonons.supercell.objects import cells_asked_for
from .structures.checks import vibrating

if TYPE_CHECKING:
    from ase.vibrations import VibrationsData
    from phono3py import Phono3py


class PhonaxCalculator(SharedCalculator):
    """ASE calculator of a message-passing potential, with exact second derivatives.

    >>> from ase.build import bulk
    >>> from ase_phonax import PhonaxCalculator
    >>> atoms = bulk("Si")
    >>> atoms.calc = PhonaxCalculator("phonax-small")
    >>> forces = atoms.get_forces()
    >>> hessian = atoms.calc.get_hessian(atoms)  # (n, 3, n, 3) eV/Å²

    Everything is evaluated in `dtype`, by one of two routes. Networks run in NumPy, with nothing to compile. What
    goes through JAX (`route="compiled"`, and potentials that are plain functions) enters float64 by the scoped
    `enable_x64` inside each call and leaves with NumPy arrays: no global JAX setting is changed. There a run at a
    fixed number of atoms compiles once, and again only when the number of neighbours outgrows the padded capacity
    (at least 10 % above the first structure, never shrinking).

    Several threads may share one: each gets what it asked for. Questions about energies, forces and stress wait for
    each other, dynamical matrices are computed side by side. It is pickled with its potential and last results.

    Args:
        model: path of a model file, a name of `list_models()`, or a `Potential`; None: the one that ships.
        dtype: "float64" (default) or "float32" (faster; noise 1e-6 to 1e-5 of the largest constant).
        compiled: the older word for `route="compiled"`.
        route: "arrays", or "compiled" by JAX: seconds to compile, then faster for the smallest networks on CPUs
            (docs/performance.md), and able to use an accelerator. Both give the same numbers to rounding. None:
            arrays, unless an accelerator is named or the potential is a plain function.
        field: (3,) uniform electric field [V/Å] in which energies, forces, dipoles and second derivatives of a neutral
            molecule are those of U = E - mu.F - 1/2 F.alpha.F; for models that give a dipole.
        device: where compiled functions run: "cpu", "gpu", "gpu:1" or a `jax.Device`; None as JAX chooses. How many
            columns of second derivatives are taken at once follows from its memory.
        **kwargs: passed to ASE's Calculator (`atoms`, `directory`, ...).

    Attributes:
        evaluator: the potential in this precision, by this route: per-atom energies, and second derivatives in the
            lattice phase of docs/conventions.md.

    Raises:
        ModelError: the model cannot be found or read.
        InputError: another dtype, what names no model, no route or one that does not suit the potential, a device
            that is not there.
    """

    # Stress is offered for three-dimensional periodicity only; ASE raises PropertyNotImplementedError otherwise.
    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "hessian"]
    default_parameters = {
        "route": None,
        "device": None,
        "field": None,
    }  # left out by `todict` where nothing was asked for
    nolabel = True  # `ase run` would pass a label otherwise
    evaluator: Evaluator

    def __init__(
        self,
        model: str | os.PathLike | Potential | None = None,
        dtype: str = "float64",
        *,
        compiled: bool = False,
        route: str | None = None,
        device: DeviceLike = None,
        field: ArrayLike | None = None,
        **kwargs: Any,
    ):
        if (dtype if isinstance(dtype, str) else np.dtype(dtype).name) not in ("float64", "float32"):
            raise InputError(
                f"dtype is {dtype!r}",
                "second derivatives need real numbers of known noise",
                'use "float64" or "float32"',
            )
        route, device = checked_route(route, compiled, device)
        self.potential: Potential = load_model(DEFAULT if model is None else model)
        refuse_without_energies(self.potential.name)
        self.dtype = np.dtype(dtype)
        model_itself = Evaluator(self.potential, self.dtype, route, device, models_with)
        self.field = None if field is None else checked_field(field)
        self._fields = FieldResponse(model_itself, self.field)
        self.evaluator = model_itself if self.field is None else model_itself.of(in_field(self.potential, self.field))
        self._crystals = Crystals(self.evaluator)
        name = str(model) if isinstance(model, (str, os.PathLike)) else self.potential.name
        compiled = route == COMPILED
        stated = None if self.field is None else self.field.tolist()
        asked = {"compiled": compiled, "route": route, "device": device, "field": stated}
        super().__init__(model=name, dtype=self.dtype.name, **asked, **kwargs)
        if has_output(self.potential, DIPOLE):
            self.implemented_properties = [*type(self).implemented_properties, "dipole"]

    def __repr__(self) -> str:
        field = "" if self.field is None else f", in the field {self.field.tolist()} V/Å"
        return f"<{type(self).__name__} {self.potential.name!r}: {self.evaluator.described}{field}>"

    def get_property(self, name, atoms=None, allow_calculation=True):
        """One result of a structure, computed unless it is known (ASE's interface)."""
        if name == "dipole" and not has_output(self.potential, DIPOLE):
            raise PropertyNotImplementedError(str(not_given(self.potential, DIPOLE)))
        return super().get_property(name, atoms, allow_calculation)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Energy, forces and stress together, and the Hessian where it is asked for (ASE's interface)."""
        with self._one_at_a_time:
            super().calculate(atoms, properties, system_changes)
            self._calculate(properties, system_changes)

    def _calculate(self, properties, system_changes):
        structure: Any = self.atoms  # the copy that ASE made, for its cache
        if structure is None:
            raise InputError(
                "no atoms were given, and none before",
                "energies and their derivatives are those of a structure",
                "give it as the argument, or attach the calculator (atoms.calc = calc) and ask the atoms",
            )
        if self.field is not None:
            refuse_no_neutral_molecule(structure)
        if "energy" not in self.results or system_changes:
            self.results = {}  # where this is refused or interrupted, none of other atoms are left
            energies, forces, virial = self.evaluator.energy_forces_stress(structure)
            energy = float(energies.sum(dtype=np.float64))
            # A new dictionary: callers that skip ASE's reset must not find the Hessian of other positions.
            self.results = {"energy": energy, "free_energy": energy, "energies": energies, "forces": forces}
            if all(structure.pbc):
                # |V|: the volume of a left-handed cell is as real as any other.
                self.results["stress"] = full_3x3_to_voigt_6_stress(virial / abs(np.linalg.det(structure.cell.array)))
        if "dipole" in properties:
            self.results["dipole"] = self._fields.dipole(structure)
        if "hessian" in properties:
            self.results["hessian"] = self.evaluator.hessian(structure, np.arange(len(structure)))

    def export_properties(self) -> Properties:
        """Results under ASE's official names only; "hessian" is none and would raise KeyError."""
        return Properties({key: value for key, value in self.results.items() if key in all_outputs})

    def get_hessian(self, atoms: Atoms | None = None) -> np.ndarray:
        """Second derivatives of the energy with respect to positions.

        They are exact derivatives, not differences. In a periodic cell all images of an atom move together.

        Args:
            atoms: the last structure when None.

        Returns:
            (n, 3, n, 3) [eV/Å²], ASE's order; symmetric up to rounding, which is not repaired.
        """
        return self.get_property("hessian", atoms)

    def get_outputs(self, atoms: Atoms | None = None) -> dict[str, np.ndarray]:
        """What the network gives, by the names of `potential.outputs`.

        Args:
            atoms: the last structure when None.

        Returns:
            for each name (n, components) of the atoms, or (components,) of the structure.
        """
        return self._fields.evaluator.outputs(self.get_atoms() if atoms is None else atoms)

    def get_polarizability(self, atoms: Atoms | None = None) -> np.ndarray:
        """(3, 3) alpha = -d²U/dF² of a neutral molecule [e²Å²/eV; times 14.39964 in Å³].

        Args:
            atoms: the last structure when None.

        Raises:
            InputError: the model does not give it.
            StructureError: a periodic or charged structure.
        """
        return self._fields.polarizability(self.get_atoms() if atoms is None else atoms)

    def get_born_charges(self, atoms: Atoms | None = None) -> np.ndarray:
        """(n, 3, 3) dmu_a/dx_b of every atom of a neutral molecule, field first, displacement second [e].

        They add up to zero over the atoms. Arguments and errors are those of `get_polarizability`.
        """
        return self._fields.born_charges(self.get_atoms() if atoms is None else atoms)

    def get_polarizability_gradient(self, atoms: Atoms | None = None) -> np.ndarray:
        """(n, 3, 3, 3) d alpha_ab/dx_c of every atom, displacement last [e²Å/eV].

        Arguments and errors are those of `get_polarizability`.
        """
        return self._fields.polarizability_gradient(self.get_atoms() if atoms is None else atoms)

    def get_vibrations(
        self, atoms: Atoms, indices: Sequence[int] | None = None, *, progress: Progress | None = None
    ) -> "VibrationsData":
        """Vibrations as ASE's container, from the exact Hessian.

        Args:
            atoms: FixAtoms constraints are honoured: fixed atoms have no rows and columns.
            indices: atoms that vibrate; all free ones when None.
            progress: called with (done, total) columns.

        Raises:
            InputError: no atom is left to vibrate, or constraints hold parts of an atom's motion.
        """
        from ase.vibrations import VibrationsData  # brings matplotlib

        rows = vibrating(atoms, indices)
        block = self.evaluator.hessian(atoms, rows, progress)[:, :, rows, :]
        return VibrationsData(atoms, block, indices=rows)

    def get_force_constants(
        self,
        atoms: Atoms | Phonopy,
        supercell_matrix: ArrayLike | None = None,
        primitive_matrix: str | ArrayLike = "P",
        *,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Exact force constants of a supercell, computed on its primitive cell alone.

        Args:
            atoms: a crystal; or a `Phonopy` object, which is then filled as well.
            supercell_matrix: int, three ints or (3, 3) integers in phonopy's convention, in the basis of
                the given cell; not for a `Phonopy` object, which has one.
            primitive_matrix: "P", "auto" or a matrix in phonopy's convention.
            progress: called with (done, total) columns.

        Returns:
            (n_primitive, n_supercell, 3, 3) compact constants in phonopy's order [eV/Å²].
        """
        phonopy = cells_asked_for(atoms, supercell_matrix, primitive_matrix)
        constants = exact_constants(self._crystals, phonopy, progress)
        if isinstance(atoms, Phonopy):
            atoms.force_constants = constants
        return constants

    def get_third_order(
        self,
        atoms: "Atoms | Phonopy | Phono3py",
        supercell_matrix: ArrayLike | None = None,
        primitive_matrix: str | ArrayLike = "P",
        *,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Exact third-order force constants of a supercell, computed on its primitive cell alone.

        They are what displacements on this supercell give in the limit of zero step.

        Args:
            atoms: a crystal, or a `Phonopy` object of its cells; or a `Phono3py` object, which is filled as well.
            supercell_matrix, primitive_matrix: those of `get_force_constants`.
            progress: called with (done, total).

        Returns:
            (n_primitive, n_supercell, n_supercell, 3, 3, 3) compact constants in phono3py's order [eV/Å³].
        """
        cells = cells_asked_for(atoms, supercell_matrix, primitive_matrix, third=True)
        constants = exact_third_order(self._crystals, cells, progress)
        if not isinstance(atoms, Atoms | Phonopy):
            atoms.fc3 = constants
        return constants

    def get_dynamical_matrix(
        self,
        atoms: Atoms | PhonopyAtoms,
        qpoints: ArrayLike,
        *,
        symmetry: bool = True,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Exact dynamical matrices at any wave vectors, from this cell alone.

        D_ij(q) = sum_R Phi_ij(R) exp[2 pi i q.(R + f_j - f_i)] / sqrt(m_i m_j): phonopy's phase and sign.

        Args:
            atoms: a crystal, usually primitive; its own masses are used.
            qpoints: (n_q, 3) or (3,) in reduced coordinates of its reciprocal cell.
            symmetry: compute one member of each star of wave vectors and rotate it to the others, where the
                atoms obey the space group to 1e-8 Å; matrices of the last structure are remembered. Else
                every q-point by itself.
            progress: called with (done, total) columns.

        Returns:
            (n_q, 3n, 3n) complex [eV/Å²/amu]; frequencies in THz are sign(l) sqrt(|l|) * 15.633302 of
            its eigenvalues l.

        Raises:
            StructureError: not periodic in three directions, or an atom out of reach of all others.
        """
        return self._crystals.dynamical_matrices(crystal_atoms(atoms), qpoints, symmetry, progress)

    def get_dynamical_matrix_gradient(
        self, atoms: Atoms | PhonopyAtoms, qpoints: ArrayLike, *, progress: Progress | None = None
    ) -> np.ndarray:
        """Exact derivatives of `get_dynamical_matrix` with respect to the wave vector.

        Args:
            atoms: a crystal, usually primitive; its own masses are used.
            qpoints: (n_q, 3) or (3,) in reduced coordinates of its reciprocal cell.
            progress: called with (done, total) columns, of the matrices and then of their derivatives.

        Returns:
            (n_q, 3, 3n, 3n) complex: dD/dk along x, y, z, with k in 1/Å without 2 pi [eV/Å/amu].

        Raises:
            StructureError: not periodic in three directions, or an atom out of reach of all others.
        """
        return self._crystals.dynamical_gradients(crystal_atoms(atoms), qpoints, progress)

    def _forget(self) -> None:
        """Drop what is remembered of the last structure's second derivatives."""
        self._crystals.forget()
