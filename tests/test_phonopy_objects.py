"""`Phonopy` objects from outside: units of other programs are refused everywhere, and orders that differ are said."""

import inspect

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from matplotlib.figure import Figure
from phonopy import Phonopy
from phonopy.physical_units import get_calculator_physical_units
from phonopy.structure.atoms import PhonopyAtoms

import ase_phonax
from ase_phonax.base.errors import ColumnOrderWarning, InputError
from ase_phonax.base.units import BOHR_PER_ANGSTROM
from ase_phonax.phonons import formats, pictures, polar
from ase_phonax.phonons.bands import structure
from ase_phonax.phonons.instabilities import frozen, imaginary
from ase_phonax.phonons.motion import animations, displacements
from ase_phonax.phonons.sampling import heat, meshes, stability
from ase_phonax.phonons.supercell import checks, constants, objects, patches, rotations
from ase_phonax.phonons.symmetry import irreps
from ase_phonax.training.labels import phonopy_labels

from .pair_potential import PairCalculator

INTERFACES = (
    *("vasp", "wien2k", "abinit", "elk", "exciting", "qe", "siesta", "crystal", "dftbp", "turbomole", "cp2k", "aims"),
    *("castep", "fleur", "abacus", "lammps", "qlm", "pwmat", "octopus"),
)
BORN = {"born": [np.eye(3), -np.eye(3)], "dielectric": 2 * np.eye(3)}


def silicon(calculator: str | None, scale: float = 1.0) -> Phonopy:
    atoms = bulk("Si", "diamond", 5.47)
    cell = PhonopyAtoms(symbols=["Si", "Si"], cell=scale * atoms.cell[:], scaled_positions=[[0, 0, 0], [0.25] * 3])
    return Phonopy(cell, np.diag([2, 2, 2]), primitive_matrix="P", calculator=calculator)


def with_constants(phonopy: Phonopy) -> Phonopy:
    atoms = constants.crystal_atoms(phonopy.primitive)
    phonopy.force_constants = PairCalculator().get_force_constants(objects.build_phonopy(atoms, 2))
    return phonopy


Q = (0.5, 0.0, 0.5)
TAKERS = {
    "get_band_structure": lambda p, calc: structure.get_band_structure(p),
    "get_mesh": lambda p, calc: meshes.get_mesh(p),
    "converge_mesh": lambda p, calc: heat.converge_mesh(p),
    "get_densities": lambda p, calc: meshes.get_densities(p),
    "get_thermal_properties": lambda p, calc: heat.get_thermal_properties(p),
    "get_frequency_range": lambda p, calc: stability.get_frequency_range(p),
    "exact_minimum": lambda p, calc: stability.exact_minimum(p, calc),
    "acoustic_noise": lambda p, calc: stability.acoustic_noise(p),
    "sampled_mesh": lambda p, calc: meshes.sampled_mesh(p),
    "get_thermal_motion": lambda p, calc: displacements.get_thermal_motion(p, [300.0]),
    "get_participation": lambda p, calc: displacements.get_participation(p),
    "get_directional_densities": lambda p, calc: displacements.get_directional_densities(p),
    "find_irreps": lambda p, calc: irreps.find_irreps(p),
    "find_imaginary_modes": lambda p, calc: imaginary.find_imaginary_modes(p),
    "special_points": lambda p, calc: imaginary.special_points(p),
    "mode_pattern": lambda p, calc: frozen.mode_pattern(p, calc, Q, 1),
    "scan_mode": lambda p, calc: frozen.scan_mode(p, calc, Q, 1),
    "follow_mode": lambda p, calc: frozen.follow_mode(p, calc, Q, 1),
    "animate": lambda p, calc: animations.animate(p, Q, 1),
    "write_v_sim": lambda p, calc: animations.write_v_sim(p, Q, "nowhere"),
    "modulate": lambda p, calc: animations.modulate(p, [(Q, 1, 0.1, 0.0)]),
    "phonon_website": lambda p, calc: formats.phonon_website(p, None, "Si"),
    "set_nac": lambda p, calc: polar.set_nac(p, BORN),
    "get_gamma_splitting": lambda p, calc: polar.get_gamma_splitting(p),
    "directions_of_path": lambda p, calc: polar.splitting.directions_of_path(p),
    "exact_matrices": lambda p, calc: patches.exact_matrices(p, calc).__enter__(),
    "checks": lambda p, calc: checks.checks(p, calc.get_dynamical_matrix),
    "measure_rotations": lambda p, calc: rotations.measure_rotations(p),
    "impose_rotations": lambda p, calc: rotations.impose_rotations(p),
    "bands_and_dos": lambda p, calc: pictures.bands_and_dos(p),
    "draw_bands": lambda p, calc: pictures.draw_bands(p, Figure().subplots()),
    "draw_densities": lambda p, calc: pictures.draw_densities(p, Figure().subplots()),
    "frame_of_phonopy": lambda p, calc: phonopy_labels.frame_of_phonopy(p),
    "phonopy_density": lambda p, calc: ase_phonax.phonopy_density(p),
    "frame_of_density": lambda p, calc: ase_phonax.frame_of_density(p),
}
NEED_NO_CONSTANTS = ("special_points", "directions_of_path")


@pytest.mark.parametrize("name", TAKERS)
def test_every_function_that_takes_an_object_refuses_units_of_another_program(name):
    """Silicon in bohr was taken as Å: -11.6 THz at Γ in silence."""
    with pytest.raises(InputError, match=r"is made for qe and is in au and Ry/au\^2") as caught:
        TAKERS[name](with_constants(silicon("qe", BOHR_PER_ANGSTROM)), PairCalculator())
    assert "Å" in caught.value.why
    assert "without `calculator`" in caught.value.remedy


@pytest.mark.parametrize("name", sorted(set(TAKERS) - {"set_nac"}))  # charges need no constants, but a polar crystal
def test_every_function_that_takes_an_object_refuses_an_empty_one_or_needs_no_constants(name):
    """Kills errors of phonopy's, or of None, in the place of ours."""
    if name in NEED_NO_CONSTANTS:
        TAKERS[name](silicon(None), PairCalculator())
        return
    missing = "no force constants|neither force constants|no mesh|no bands|no projected|no nac_params"
    with pytest.raises(InputError, match=missing):
        TAKERS[name](silicon(None), PairCalculator())


def test_the_list_above_holds_every_public_function_that_takes_an_object():
    public = {}
    for name in ase_phonax.__all__:
        value = getattr(ase_phonax, name)
        if inspect.isfunction(value) and any(
            parameter.name == "phonopy" for parameter in inspect.signature(value).parameters.values()
        ):
            public[name] = value
    assert set(public) <= set(TAKERS), "a new function that takes a Phonopy object needs the door, and a line above"
    assert len(public) > 15


@pytest.mark.parametrize("calculator", INTERFACES)
def test_programs_that_use_our_units_pass_and_others_are_named(calculator, untrained):
    phonopy = silicon(calculator)
    calc = ase_phonax.PhonaxCalculator(untrained)
    units = get_calculator_physical_units(calculator)
    if abs(units.factor - get_calculator_physical_units().factor) < 1e-6:
        calc.get_force_constants(phonopy)
        assert phonopy.force_constants is not None
    else:
        with pytest.raises(InputError, match=f"is made for {calculator} and is in"):
            calc.get_force_constants(phonopy)
        assert phonopy.force_constants is None


def test_a_calculator_named_to_get_phonopy_is_refused_as_well():
    with pytest.raises(InputError, match="is made for qe"):
        objects.get_phonopy(bulk("Si", "diamond", 5.47), PairCalculator(), 2, calculator="qe")
    assert objects.get_phonopy(bulk("Si", "diamond", 5.47), PairCalculator(), 2, calculator="vasp").calculator == "vasp"


def test_a_factor_to_other_units_of_frequency_is_refused():
    """Thresholds, heat and tables take THz; phonopy lets a factor to 1/cm be set."""
    phonopy = with_constants(silicon(None))
    phonopy.unit_conversion_factor = 521.471
    with pytest.raises(InputError, match=r"unit conversion factor 521\.471, where THz have"):
        meshes.get_mesh(phonopy)
    phonopy.unit_conversion_factor = 15.6333043  # ASE's constants
    meshes.get_mesh(phonopy, numbers=(2, 2, 2))


def outside() -> Atoms:
    """A triclinic crystal, two of its atoms in other cells."""
    cell = [[3.4, 0.1, 0.0], [0.4, 3.6, -0.2], [0.2, 0.5, 3.8]]
    scaled = [[0, 0, 0], [0.47, 0.41, 1.52], [-0.1, 0.48, 0.12]]
    return Atoms("SiOC", scaled_positions=scaled, cell=cell, pbc=True)


def wrapped_object(atoms: Atoms, matrix) -> Phonopy:
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(), cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions()
    )
    return Phonopy(cell, matrix, primitive_matrix="P")


@pytest.mark.parametrize("matrix", [np.diag([3, 1, 2]), np.array([[1, 1, 0], [0, 2, 0], [0, 0, 2]])])
def test_columns_of_atoms_outside_the_cell_are_warned_of_where_a_wrapped_object_has_another_order(matrix, untrained):
    calc, atoms = ase_phonax.PhonaxCalculator(untrained), outside()
    with pytest.warns(ColumnOrderWarning, match=r"outside the cell \(1, 2, counted from 0\).*the Phonopy\s+object"):
        ours = calc.get_force_constants(atoms, matrix)
    phonopy = wrapped_object(atoms, matrix)
    right = calc.get_force_constants(phonopy)
    assert np.abs(right - ours).max() > 0.01 * np.abs(right).max(), "the orders agree: no warning is due"
    q = [[0.1, 0.2, 0.3]]
    exact_frequencies = phonopy.run_qpoints(q).frequencies
    phonopy.force_constants = ours
    assert np.abs(phonopy.run_qpoints(q).frequencies - exact_frequencies).max() > 0.05


@pytest.mark.parametrize(
    ("move", "matrix"),
    [
        ([0, 0, 0], 2),  # inside
        ([2, 2, 2], 2),  # elsewhere by vectors of the supercell
        ([1, -1, 3], 1),  # in a supercell of one cell
    ],
)
def test_no_warning_where_the_order_is_the_same(move, matrix, untrained):
    calc, atoms = ase_phonax.PhonaxCalculator(untrained), outside()
    atoms.wrap()
    atoms.positions[1] += move @ atoms.cell[:]
    ours = calc.get_force_constants(atoms, matrix)
    np.testing.assert_allclose(ours, calc.get_force_constants(wrapped_object(atoms, matrix * np.eye(3))), atol=1e-9)
