"""The door for `Phonopy` objects that come from outside: units are ours, and symmetry knows masses.

phonopy keeps the units of the program that an object was made for, and takes atoms of one element as the same
whatever their masses. Every function that takes an object calls `checked` first, and trusts it afterwards.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.harmonic.dynamical_matrix import DynamicalMatrix
from phonopy.phonon.mesh import Mesh
from phonopy.physical_units import get_calculator_physical_units
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.symmetry import NosymDataset, Symmetry

from ...base.errors import InputError, SupercellError, UnstableWarning
from ...base.units import THZ_PER_SQRT_EV_A2_AMU
from ...structures.species import SAME_MASS, distinct_species, say_moments_are_ignored

_OURS = ("angstrom", "eV/angstrom^2")


class _Isotopes(PhonopyAtoms):
    """A cell that shows spglib and phonopy's symmetry the species of `distinct_species` for elements."""

    species: NDArray[np.int64]

    def totuple(self, *how: Any, **more: Any) -> Any:
        """Cell, reduced positions, species, and magnetic moments where there are any."""
        lattice, positions, _, *moments = super().totuple(*how, **more)
        return (lattice, positions, self.species, *moments)


class IsotopeSymmetry(Symmetry):
    """phonopy's symmetry of a cell in which atoms of one element may differ in mass.

    Attributes:
        species: (n_atoms,) of `distinct_species`.
    """

    def __init__(self, cell: PhonopyAtoms, symprec: float, species: NDArray[np.int64]) -> None:
        self.species = species
        shown = _Isotopes(
            symbols=cell.symbols,
            cell=cell.cell,
            scaled_positions=cell.scaled_positions,
            masses=cell.masses,
            magnetic_moments=cell.magnetic_moments,
        )
        shown.species = species
        super().__init__(shown, symprec)


def checked(phonopy: Phonopy) -> Phonopy:
    """The object itself: in Å and eV, its primitive cell's symmetry one of elements and masses.

    phonopy's symmetry of the *supercell* is left alone: it serves displacements and force constants, which do not
    depend on masses.

    Raises:
        InputError: units of another program, or frequencies that are not in THz.
        SupercellError: a primitive cell that joins atoms of different masses.
    """
    require_our_units(phonopy)
    primitive, supercell = phonopy.primitive, phonopy.supercell
    places = primitive.p2p_map
    homes = [places[s] for s in primitive.s2p_map]
    off = np.abs(primitive.masses[homes] - supercell.masses)
    if off.max() > SAME_MASS:
        atom = int(off.argmax())
        raise SupercellError(
            f"the primitive cell joins atoms of different masses: atom {atom} of the supercell, counted from 0, has"
            f" {supercell.masses[atom]:g} amu and stands for one of {primitive.masses[homes[atom]]:g}",
            "phonopy reduces by elements and positions alone, and would compute a crystal of other isotopes",
            'make the object with primitive_matrix="P", or by get_phonopy with "auto", which tells masses apart',
        )
    symmetry = phonopy.primitive_symmetry
    apart = getattr(phonopy, "_distinguish_symbol_index", False)
    kinds = primitive.species_ids if apart else primitive.totuple()[2]
    species = distinct_species(kinds, primitive.masses)
    known = symmetry.species if isinstance(symmetry, IsotopeSymmetry) else distinct_species(kinds, np.ones(len(kinds)))
    if not np.array_equal(known, species) and not isinstance(symmetry.dataset, NosymDataset):
        set_primitive_symmetry(phonopy, IsotopeSymmetry(primitive, symmetry.tolerance, species))
    return phonopy


def checked_for_potential(phonopy: Phonopy) -> Phonopy:
    """The object as `checked` returns it, for a potential to fill: magnetic moments are said to be ignored."""
    moments = phonopy.unitcell.magnetic_moments
    if moments is not None and np.any(moments):
        say_moments_are_ignored()
    return checked(phonopy)


def checked_phono3py(phono3py: Any) -> Any:
    """A `Phono3py` object itself, which is known by what it has: the package is an extra.

    Raises:
        InputError: something else, or units that are not ours.
    """
    if not hasattr(phono3py, "fc3") or not hasattr(phono3py, "phonon_supercell"):
        raise InputError(
            f"force constants were asked for a {type(phono3py).__name__}",
            "they belong to a supercell, and its atoms have an order",
            "give ASE Atoms with a supercell matrix, or a Phonopy or Phono3py object",
        )
    if phono3py.calculator not in (None, "vasp"):
        raise InputError(
            f"the phono3py object is made for {phono3py.calculator}",
            "cell and force constants would be taken for Å and eV",
            "convert the cell to Å and make the object without `calculator`",
        )
    return phono3py


def dynamical_matrix(phonopy: Phonopy) -> DynamicalMatrix:
    """What gives D(q) of an object with force constants.

    Raises:
        InputError: it has none.
    """
    if phonopy.dynamical_matrix is None:
        raise InputError(
            "the Phonopy object has no force constants", "modes are theirs", "take it from ase_phonax.get_phonopy"
        )
    return phonopy.dynamical_matrix


def set_primitive_symmetry(phonopy: Phonopy, symmetry: Symmetry) -> None:
    """Give an object another symmetry of its primitive cell; what rests on the old one goes.

    phonopy offers no other way: since 4.10 an argument tells species apart by an index in their symbols, but it has to
    be given when the object is made, and the symbols would stand in every file.
    """
    phonopy._primitive_symmetry = symmetry
    phonopy._group_velocity = None
    if isinstance(phonopy.mesh, Mesh) and len(phonopy.mesh.qpoints) < np.prod(phonopy.mesh.mesh_numbers):
        phonopy._mesh = phonopy._total_dos = phonopy._thermal_properties = None
        warnings.warn(
            "The Phonopy object has atoms of one element with different masses, and held a mesh that phonopy had"
            " reduced as if they were the same. It is dropped: run the mesh again.",
            UnstableWarning,
            stacklevel=4,
        )


def require_our_units(phonopy: Phonopy, origin: str = "the phonopy object") -> None:
    """Refuse an object that is not in Å, eV/Å² and THz.

    Args:
        origin: what to call it, such as a file.

    Raises:
        InputError: naming its program and units, or its factor; or it is no `Phonopy` object.
    """
    if not hasattr(phonopy, "unit_conversion_factor"):
        raise InputError(
            f"{origin} is a {type(phonopy).__name__}",
            "this is read off a Phonopy object",
            "give the attribute `phonopy` of a study, or what get_phonopy returns",
        )
    units = get_calculator_physical_units(phonopy.calculator)
    if (units.length_unit, units.force_constants_unit) != _OURS:
        raise InputError(
            f"{origin} is made for {phonopy.calculator} and is in {units.length_unit} and {units.force_constants_unit}",
            "cell and force constants would be taken for Å and eV/Å²",
            "convert the cell to Å (forces to eV/Å, constants to eV/Å²) and make the object without `calculator`",
        )
    factor = phonopy.unit_conversion_factor
    if abs(factor / THZ_PER_SQRT_EV_A2_AMU - 1) > 1e-4:
        raise InputError(
            f"{origin} has the unit conversion factor {factor:g}, where THz have {THZ_PER_SQRT_EV_A2_AMU:g}",
            "its frequencies would be taken for THz by every threshold, sum and table",
            "leave the factor as it is and convert the frequencies that come out",
        )
