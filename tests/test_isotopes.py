"""Atoms are the same where element and mass are: in groups, labels, paths, meshes, and everything summed over them."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

import ase_phonax
from ase_phonax.base.errors import InputError, SupercellError, UnstableWarning
from ase_phonax.phonons.bands import paths
from ase_phonax.phonons.instabilities.imaginary import find_imaginary_modes
from ase_phonax.phonons.sampling import meshes
from ase_phonax.phonons.sampling.heat import get_thermal_properties
from ase_phonax.phonons.supercell.constants import commensurate_qpoints, crystal_atoms
from ase_phonax.phonons.supercell.door import checked, checked_for_potential
from ase_phonax.phonons.supercell.objects import build_phonopy, get_phonopy
from ase_phonax.phonons.symmetry.irreps import find_irreps
from ase_phonax.structures import checks, space_groups
from ase_phonax.structures.species import distinct_species, set_isotopes

from .pair_potential import PairCalculator
from .test_mode_symmetry import rutile

pytestmark = pytest.mark.filterwarnings("ignore:The supercell keeps")


def isotope_diamond() -> Atoms:
    atoms = bulk("C", "diamond", 3.567)
    atoms.set_masses([12.0, 13.003355])
    return atoms


def rutile_with_heavy_oxygen() -> Atoms:
    atoms = rutile()
    set_isotopes(atoms, [("6", 17.99916)])
    return atoms


def layer() -> Atoms:
    """A square layer of two atoms of one element, one of them heavy."""
    atoms = Atoms("Si2", scaled_positions=[[0, 0, 0.5], [0.5, 0.5, 0.55]], cell=[3.2, 3.2, 15.0], pbc=True)
    atoms.set_masses([28.0, 30.0])
    return atoms


CRYSTALS = {
    "diamond": (isotope_diamond(), (4, 4, 4)),
    "rutile, one heavy oxygen": (rutile_with_heavy_oxygen(), (3, 3, 4)),
    "layer": (layer(), (5, 5, 1)),
}


def phonopy_of(atoms: Atoms) -> Phonopy:
    return get_phonopy(atoms, PairCalculator(like=0.0), 2 if atoms.cell.lengths().max() < 10 else (2, 2, 1))


def sums(phonopy: Phonopy) -> np.ndarray:
    """Densities and heat of the mesh at hand."""
    top = phonopy.mesh.frequencies.max()
    dos = phonopy.run_total_dos(freq_min=0, freq_max=1.02 * top, freq_pitch=top / 50, sigma=top / 40).dos
    heat = get_thermal_properties(phonopy, [10.0, 300.0]).thermal_properties
    return np.concatenate([dos, *(np.ravel(x) for x in heat[1:])])


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_reduced_mesh_sums_to_what_the_whole_mesh_does(name):
    """Kills meshes reduced by operations that exchange isotopes: D(q) of their images differ."""
    atoms, numbers = CRYSTALS[name]
    phonopy = phonopy_of(atoms)
    mesh = meshes.get_mesh(phonopy, numbers=numbers)
    reduced, weights = sums(phonopy), mesh.weights
    assert weights.sum() == np.prod(numbers)
    assert len(weights) < np.prod(numbers) / 2, "no symmetry is left to test"
    phonopy.run_mesh(numbers, is_gamma_center=True, is_mesh_symmetry=False)
    np.testing.assert_allclose(reduced, sums(phonopy), rtol=1e-10, atol=1e-10)


def test_a_mesh_reduced_by_elements_alone_would_be_another():
    """The test above can fail: one heavy oxygen in rutile leaves fewer operations than rutile has."""
    phonopy = phonopy_of(rutile_with_heavy_oxygen())
    assert len(phonopy.symmetry.pointgroup_operations) == 16
    assert phonopy.primitive_symmetry.pointgroup_symbol == "mm2"


def test_labels_of_a_diamond_of_two_isotopes_are_those_of_zincblende():
    """Inversion exchanges the isotopes: T1u and T2g become T2, the optical one infrared active."""
    phonopy = phonopy_of(isotope_diamond())
    found = find_irreps(phonopy)
    assert found.point_group == "-43m"
    assert [(s.label, s.activity) for s in found.sets] == [("T2", "acoustic"), ("T2", "IR + Raman")]
    assert found.splitting_thz < 1e-6
    exact = np.sort(phonopy.run_qpoints([[0.5, 0, 0.5]]).frequencies[0])
    at_x = find_irreps(phonopy, (0.5, 0, 0.5))
    np.testing.assert_allclose(
        np.repeat([s.frequency_thz for s in at_x.sets], [s.degeneracy for s in at_x.sets]), exact
    )
    assert [s.degeneracy for s in at_x.sets].count(2) == 2
    assert len(at_x.sets) == 4, "longitudinal modes of light and heavy atoms are two"


@pytest.mark.data
def test_the_shipped_model_splits_the_modes_of_isotopes_at_the_zone_boundary(data):
    atoms = ase_phonax_case(data)
    phonopy = get_phonopy(atoms, ase_phonax.PhonaxCalculator(), 3)
    optical = find_irreps(phonopy).sets[1]
    assert (optical.label, optical.activity, round(optical.frequency_thz, 3)) == ("T2", "IR + Raman", 36.461)
    at_x = [(round(s.frequency_thz, 3), s.degeneracy) for s in find_irreps(phonopy, (0.5, 0, 0.5)).sets]
    assert at_x == [(20.228, 2), (27.490, 2), (29.233, 1), (30.431, 1)]


def ase_phonax_case(data):
    from ase.io import read

    path = data / "cases" / "C12C13.extxyz"
    if not path.is_file():
        pytest.skip("the cases are not at hand")
    atoms = read(path)
    atoms.calc = None
    return atoms


def users_object(atoms: Atoms, masses=None) -> Phonopy:
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(), cell=atoms.cell[:], positions=atoms.positions, masses=masses
    )
    phonopy = Phonopy(cell, supercell_matrix=np.diag([2, 2, 2]), primitive_matrix="P")
    phonopy.force_constants = PairCalculator(like=0.0).get_force_constants(phonopy)
    return phonopy


def test_an_object_made_by_the_user_gets_the_symmetry_of_its_masses():
    """Masses given when it is made, set afterwards, and set back."""
    atoms = isotope_diamond()
    phonopy = users_object(atoms, atoms.get_masses())
    assert phonopy.primitive_symmetry.pointgroup_symbol == "m-3m", "phonopy counts masses: the door may go"
    assert {s.label for s in find_irreps(phonopy).sets} == {"T2"}
    later = users_object(atoms)
    assert {s.label for s in find_irreps(later).sets} == {"T1u", "T2g"}
    later.masses = atoms.get_masses()
    assert {s.label for s in find_irreps(later).sets} == {"T2"}
    later.masses = [12.0, 12.0]
    assert {s.label for s in find_irreps(later).sets} == {"T1u", "T2g"}


def test_a_mesh_that_phonopy_reduced_by_elements_is_dropped():
    """It would give heat and densities of images that are none."""
    atoms = rutile_with_heavy_oxygen()
    phonopy = users_object(atoms, atoms.get_masses())
    phonopy.run_mesh([3, 3, 3], is_gamma_center=True)
    with (
        pytest.warns(UnstableWarning, match="had reduced as if they were the same"),
        pytest.raises(InputError, match="has no mesh"),
    ):
        get_thermal_properties(phonopy)
    meshes.get_mesh(phonopy, numbers=(3, 3, 3))
    get_thermal_properties(phonopy)


def test_velocities_of_phonopy_are_not_made_symmetric_by_operations_that_exchange_isotopes():
    atoms = rutile_with_heavy_oxygen()
    phonopy = phonopy_of(atoms)
    q = [[0.2, 0.2, 0.1]]
    phonopy.run_qpoints(q, with_group_velocities=True)
    symmetric = phonopy.qpoints.group_velocities
    phonopy._group_velocity = None
    phonopy._primitive_symmetry = build_phonopy(atoms, 2, is_symmetry=False).primitive_symmetry
    phonopy.run_qpoints(q, with_group_velocities=True)
    np.testing.assert_allclose(symmetric, phonopy.qpoints.group_velocities, atol=1e-6)


def test_displacements_and_force_constants_keep_the_symmetry_of_elements():
    """Forces do not know masses: one displacement is enough, and constants made from it are the same."""
    atoms = isotope_diamond()
    phonopy = checked(users_object(atoms, atoms.get_masses()))
    phonopy.generate_displacements()
    assert len(phonopy.displacements) == 1
    assert phonopy.symmetry.pointgroup_symbol == "m-3m"


def test_an_object_told_to_look_for_no_symmetry_gets_none():
    phonopy = build_phonopy(isotope_diamond(), 2, is_symmetry=False)
    assert len(phonopy.primitive_symmetry.pointgroup_operations) == 1


def test_magnetic_moments_in_a_phonopy_object_are_still_symmetry_of_it():
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    moments = [[0, 0, 1.0] if z == "Na" else [0, 0, 0] for z in atoms.symbols]
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        positions=atoms.positions,
        masses=[22.98977] * 4 + [35.0] * 4,
        magnetic_moments=moments,
    )
    cell.masses = [*cell.masses[:7], 37.0]
    phonopy = Phonopy(cell, np.eye(3, dtype=int), primitive_matrix="P")
    before = len(phonopy.primitive_symmetry.pointgroup_operations)
    after = len(checked(phonopy).primitive_symmetry.pointgroup_operations)
    assert 1 < after <= before < 48


def test_a_primitive_cell_that_joins_isotopes_is_refused():
    """phonopy's own reduction takes elements alone, and would compute the crystal of the first isotope."""
    atoms = bulk("Si", "diamond", 5.43, cubic=True)
    masses = atoms.get_masses()
    masses[3] = 30.0
    atoms.set_masses(masses)
    assert len(build_phonopy(atoms, 1, primitive_matrix="auto").primitive) == 8
    with pytest.raises(SupercellError, match="joins atoms of different masses: atom 3"):
        build_phonopy(atoms, 1, primitive_matrix="F")


def test_no_unstable_wave_vector_is_taken_for_an_image_of_another():
    """Rutile has an operation from (½, 0, 0) to (0, ½, 0); with one heavy oxygen they are two, of other frequencies."""
    phonopy = phonopy_of(rutile_with_heavy_oxygen())
    phonopy.force_constants = -phonopy.force_constants
    found = np.array([mode.frequency_thz for mode in find_imaginary_modes(phonopy, [])])
    qpoints, _ = commensurate_qpoints(phonopy.primitive.cell, phonopy.supercell.cell)
    for frequencies in phonopy.run_qpoints(qpoints).frequencies:
        assert np.abs(found - frequencies.min()).min() < 1e-6


@pytest.mark.filterwarnings("ignore:oA lattice")  # its metric is still the tetragonal one
def test_a_band_path_is_that_of_the_group_with_isotopes():
    """seekpath gets species: tetragonal rutile with a heavy oxygen is orthorhombic."""
    names = [
        {name for segment in paths.crystal_path(atoms, 0.1) for name in (segment.start, segment.end)}
        for atoms in (rutile(), rutile_with_heavy_oxygen())
    ]
    assert names[0] != names[1]


@pytest.mark.filterwarnings("ignore:.*of the modes are imaginary or zero")
def test_thermal_displacements_of_isotopes_are_their_own():
    """At rest the heavy oxygen moves less than the light ones; nothing is averaged over an element."""
    motion = ase_phonax.get_thermal_motion(phonopy_of(rutile_with_heavy_oxygen()), [0.0], length=20.0)
    *light, heavy = motion.isotropic[0][2:]
    assert min(light) > heavy * 1.01


def test_phonopy_reads_the_file_with_masses_and_gives_the_same_frequencies(tmp_path):
    """What phonopy then takes for the symmetry is phonopy's: elements alone (docs/conventions.md)."""
    from phonopy import load

    phonopy = phonopy_of(isotope_diamond())
    phonopy.save(tmp_path / "phonopy_params.yaml", settings={"force_constants": True})
    read = load(tmp_path / "phonopy_params.yaml", produce_fc=False, symmetrize_fc=False, log_level=0)
    assert list(read.primitive.symbols) == ["C", "C"]
    np.testing.assert_allclose(read.primitive.masses, [12.0, 13.003355], atol=1e-6)
    q = [[0.5, 0, 0.5], [0.1, 0.2, 0.3]]
    np.testing.assert_allclose(read.run_qpoints(q).frequencies, phonopy.run_qpoints(q).frequencies, atol=1e-6)
    assert read.primitive_symmetry.pointgroup_symbol == "m-3m"
    assert {s.label for s in find_irreps(read).sets} == {"T2"}


def test_masses_are_given_by_element_or_by_number():
    atoms = rutile()
    set_isotopes(atoms, [("O", 17.0), ("6", 18.0)])
    np.testing.assert_allclose(atoms.get_masses()[2:], [17.0, 17.0, 17.0, 18.0])
    with pytest.raises(InputError, match="a mass is given for N, which is not in"):
        set_isotopes(atoms, [("N", 15.0)])
    with pytest.raises(InputError, match=r"a mass is given for 7, which is not in .* of 6 atoms"):
        set_isotopes(atoms, [("7", 15.0)])


def test_moments_of_an_object_that_a_potential_fills_are_said_to_be_ignored():
    cell = PhonopyAtoms(
        symbols=["Si", "Si"],
        cell=bulk("Si", "diamond", 5.0).cell[:],
        scaled_positions=[[0, 0, 0], [0.25] * 3],
        magnetic_moments=[1.0, -1.0],
    )
    phonopy = Phonopy(cell, np.eye(3, dtype=int), primitive_matrix="P")
    with pytest.warns(UnstableWarning, match="has magnetic moments. They are ignored"):
        checked_for_potential(phonopy)


@pytest.mark.parametrize("where", ["initial_magmoms", "magmom"])
def test_magnetic_moments_are_said_to_be_ignored(where):
    atoms = bulk("Si", "diamond", 5.43)
    atoms.set_array(where, np.array([1.0, -1.0]))
    with pytest.warns(UnstableWarning, match="has magnetic moments. They are ignored"):
        checks.check_structure(atoms)
    with pytest.warns(UnstableWarning, match="has magnetic moments. They are ignored"):
        build_phonopy(atoms, 1)
    atoms.set_array(where, np.zeros(2))
    checks.check_structure(atoms)


def test_symmetry_without_moments_is_what_the_calculator_has():
    """Opposite moments on the two atoms of diamond lower nothing."""
    atoms = bulk("Si", "diamond", 5.43)
    atoms.set_initial_magnetic_moments([1.0, -1.0])
    with pytest.warns(UnstableWarning, match="magnetic moments"):
        phonopy = build_phonopy(atoms, 1)
    assert phonopy.primitive_symmetry.pointgroup_symbol == "m-3m"
    assert str(space_groups.get_space_group(crystal_atoms(phonopy.primitive))) == "Fd-3m (227)"


def test_masses_that_differ_by_rounding_are_one_species_on_both_sides_of_any_edge():
    masses = 12 + np.array([0.4999999e-6, 0.5000001e-6, 1.0, 0.0])
    assert distinct_species([6, 6, 6, 6], masses).tolist() == [1, 1, 2, 1]
    assert distinct_species([8, 6, 8, 1], [16, 12, 18, 1]).tolist() == [3, 2, 4, 1]
