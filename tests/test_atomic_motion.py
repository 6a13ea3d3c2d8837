"""How far atoms move, which take part, in which direction: exact answers and independent sums."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from scipy.stats import unitary_group

from ase_phonax.base.errors import InputError, UnstableWarning
from ase_phonax.cli.tables import Table
from ase_phonax.phonons.motion.displacements import (
    get_directional_densities,
    get_participation,
    get_thermal_motion,
    participation_ratios,
)
from ase_phonax.phonons.sampling import meshes
from ase_phonax.phonons.supercell.objects import build_phonopy, get_phonopy
from ase_phonax.structures.relaxation import relax
from ase_phonax.studies.section import Context
from ase_phonax.studies.sections import motion

from .pair_potential import PairCalculator
from .typed import typed

HBAR_SQUARED_PER_AMU = 4.18015929e-3  # ħ² / (amu Å² eV), CODATA 2018
BOLTZMANN = 8.617333262e-5  # [eV/K]
EV_PER_THZ = 4.135667697e-3
ROOM = 300.0


def amplitude_squared(frequency_thz, mass, temperature):
    """<u²> of one oscillator, (ħ / 2mω) coth(ħω / 2kT) [Å²]."""
    quantum = EV_PER_THZ * np.asarray(frequency_thz)
    thermal = 1.0 if temperature == 0 else 1 / np.tanh(quantum / (2 * BOLTZMANN * temperature))
    return HBAR_SQUARED_PER_AMU / (2 * mass * quantum) * thermal


def einstein(springs=(3.0, 5.0)):
    """NaCl with every atom tied to its place by a spring of its own [eV/Å²]."""
    phonopy = build_phonopy(bulk("NaCl", "rocksalt", a=5.65), 2)
    constants = np.zeros((2, 16, 3, 3))
    for i, spring in enumerate(springs):
        constants[i, phonopy.primitive.p2s_map[i]] = spring * np.eye(3)
    phonopy.force_constants = constants
    return phonopy


@pytest.fixture(scope="module")
def copper():
    calc = PairCalculator()
    return get_phonopy(relax(bulk("Cu", "fcc", a=3.9), calc)[0], calc, 3)


@pytest.fixture(scope="module")
def carbide():
    """Hexagonal, two elements."""
    atoms, calc = bulk("Zn", "hcp", a=2.9, c=4.4), PairCalculator(like=0.44)
    atoms.symbols = "AlCu"
    return get_phonopy(relax(atoms, calc)[0], calc, 3)


# ---- thermal displacements -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*acoustic mode:UserWarning")  # Einstein's crystal has none, phonopy thinks
def test_an_einstein_crystal_moves_as_its_oscillators():
    phonopy = einstein()
    frequencies = np.sqrt(np.array([3.0, 5.0]) / phonopy.primitive.masses) * phonopy.unit_conversion_factor
    found = get_thermal_motion(phonopy, [0.0, ROOM, 2000.0], length=15.0)
    for temperature, matrices in zip(found.temperatures, found.matrices, strict=True):
        for mass, frequency, matrix in zip(phonopy.primitive.masses, frequencies, matrices, strict=True):
            expected = amplitude_squared(frequency, mass, temperature)
            np.testing.assert_allclose(matrix, expected * np.eye(3), rtol=1e-6, atol=1e-12)
    assert found.extrapolated < 1e-12
    assert found.fraction_left_out == 0


def test_displacements_equal_the_sum_over_modes_written_down(copper):
    """One atom: trace U = Σ <u²> of all modes, whatever the eigenvectors; acoustic modes at Γ left out."""
    found = get_thermal_motion(copper, [0.0, ROOM], length=30.0)
    sums = []
    for n in (found.mesh_numbers, np.array(found.mesh_numbers) // 2):
        mesh = copper.run_mesh(n, is_gamma_center=True)
        real = mesh.frequencies > 1e-3
        assert np.count_nonzero(~real) == 3
        for temperature in found.temperatures:
            modes = amplitude_squared(np.where(real, mesh.frequencies, 1), copper.primitive.masses[0], temperature)
            sums.append(mesh.weights @ np.where(real, modes, 0).sum(axis=1) / mesh.weights.sum())
    fine, coarse = np.array(sums).reshape(2, -1)
    np.testing.assert_allclose(3 * found.isotropic[:, 0], 2 * fine - coarse, rtol=1e-6)
    assert found.extrapolated == pytest.approx(np.max((fine - coarse) / (2 * fine - coarse)), rel=1e-5)


def test_the_limit_of_a_dense_mesh_is_reached_from_coarse_ones(copper):
    """The plain sum is 3 to 10 % too small at such meshes, as 1/length: the cell around Γ is missing."""
    coarse, dense = (get_thermal_motion(copper, [ROOM], length=length) for length in (25.0, 75.0))
    assert coarse.isotropic[0, 0] == pytest.approx(dense.isotropic[0, 0], rel=4e-3)
    assert coarse.extrapolated > 0.06
    refined = dense.mesh_numbers[0] / coarse.mesh_numbers[0]
    assert coarse.extrapolated / dense.extrapolated == pytest.approx(refined, rel=0.1)


def test_cubic_crystals_move_alike_in_all_directions_and_hexagonal_ones_in_the_plane(copper, carbide):
    matrix = get_thermal_motion(copper, [ROOM], length=25.0).matrices[0, 0]
    np.testing.assert_allclose(matrix, matrix[0, 0] * np.eye(3), atol=1e-10)
    for matrix in get_thermal_motion(carbide, [ROOM], length=25.0).matrices[0]:
        np.testing.assert_allclose(matrix, np.diag(matrix.diagonal()), atol=1e-9)
        assert matrix[0, 0] == pytest.approx(matrix[1, 1], rel=1e-6)
        assert abs(matrix[2, 2] / matrix[0, 0] - 1) > 0.01, "this crystal would not notice exchanged axes"


def test_the_cif_file_holds_the_crystal_and_its_displacements(carbide, tmp_path):
    """CIF's U refer to unit vectors along a*, b*, c*: U_cart = (A N) U (A N)^T, N = diag(|a*|, |b*|, |c*|)."""
    found = get_thermal_motion(carbide, [100.0, ROOM], length=25.0)
    found.write_cif(tmp_path / "motion.cif", 1)
    atoms = read(tmp_path / "motion.cif")
    np.testing.assert_allclose(atoms.cell.cellpar(), Atoms(cell=carbide.primitive.cell).cell.cellpar(), atol=1e-4)
    rows = [line.split() for line in (tmp_path / "motion.cif").read_text().splitlines()]
    values = [[float(x) for x in row[1:]] for row in rows if len(row) == 7]
    assert len(values) == 2
    frame = carbide.primitive.cell.T @ np.diag(np.linalg.norm(np.linalg.inv(carbide.primitive.cell), axis=0))
    for (u11, u22, u33, u23, u13, u12), matrix in zip(values, found.matrices[1], strict=True):
        cif = np.array([[u11, u12, u13], [u12, u22, u23], [u13, u23, u33]])
        np.testing.assert_allclose(frame @ cif @ frame.T, matrix, atol=2e-5)


def test_an_unstable_crystal_is_said_to_lack_amplitudes():
    phonopy = get_phonopy(bulk("Po", "sc", a=2.6), PairCalculator(), 3)
    with pytest.warns(UnstableWarning, match="% of the modes are imaginary or zero"):
        found = get_thermal_motion(phonopy, [ROOM], length=15.0)
    assert 0.01 < found.fraction_left_out < 0.9


@pytest.mark.parametrize("temperatures", [[], [-1.0], [np.nan], [300.0, 1e9]])
def test_temperatures_that_are_none_are_refused(copper, temperatures):
    with pytest.raises(InputError, match="are not all between 0 and"):
        get_thermal_motion(copper, temperatures)


# ---- participation ---------------------------------------------------------------------------------


def test_atoms_that_move_alike_take_part_together_and_one_alone_is_one_of_n(copper):
    alike = np.ones((3 * 4, 1)) / np.sqrt(12)
    alone = np.zeros((12, 1))
    alone[4] = 1
    vectors = np.linalg.qr(np.hstack([alike, alone, np.random.default_rng(0).normal(size=(12, 10))]))[0]
    frequencies = np.arange(12.0)[None]
    ratios = participation_ratios(frequencies, np.hstack([alike, alone, vectors[:, 2:]])[None])[0]
    assert ratios[0] == pytest.approx(1.0)
    assert ratios[1] == pytest.approx(1 / 4)
    assert np.all((ratios > 1 / 4 - 1e-12) & (ratios < 1 + 1e-12))
    np.testing.assert_allclose(get_participation(copper, length=15.0).ratios, 1.0)  # one atom


def test_acoustic_modes_at_gamma_take_part_by_mass():
    """e is proportional to sqrt(m): p = (Σ m)² / (N Σ m²). Kills a ratio of displacements, which would be 1."""
    phonopy = get_phonopy(bulk("NaCl", "rocksalt", a=5.65), PairCalculator(like=0.0), 2)
    masses = phonopy.primitive.masses
    found = get_participation(phonopy, length=15.0)
    at_gamma = found.ratios[np.abs(found.qpoints).max(axis=1) == 0][0]
    np.testing.assert_allclose(at_gamma[:3], masses.sum() ** 2 / (2 * np.sum(masses**2)), rtol=1e-6)


def test_an_einstein_crystal_is_localised_to_one_atom():
    found = get_participation(einstein(), length=15.0)
    np.testing.assert_allclose(found.ratios, 0.5, rtol=1e-9)
    assert found.mean == pytest.approx(0.5)


def test_the_basis_of_degenerate_modes_does_not_matter():
    rng = np.random.default_rng(3)
    vectors = unitary_group.rvs(6, random_state=rng)
    frequencies = np.array([1.0, 2.0, 2.00001, 2.00002, 5.0, 6.0])
    turned = vectors.copy()
    turned[:, 1:4] = vectors[:, 1:4] @ unitary_group.rvs(3, random_state=rng)
    first, second = (participation_ratios(frequencies[None], v[None])[0] for v in (vectors, turned))
    np.testing.assert_allclose(first, second, rtol=1e-12)
    apart = participation_ratios(np.arange(6.0)[None], turned[None])[0]
    assert np.abs(apart - first)[1:4].max() > 1e-3


# ---- directions ------------------------------------------------------------------------------------


def test_axes_add_up_to_the_atoms_and_the_atoms_to_all(carbide):
    meshes.get_mesh(carbide, 40.0)
    total, projected = meshes.get_densities(carbide, 20.0)
    found = get_directional_densities(carbide, length=20.0)
    np.testing.assert_array_equal(found.frequency_points, total.frequency_points)
    by_axis = np.asarray(found.projected_dos).reshape(2, 3, -1)
    np.testing.assert_allclose(by_axis.sum(axis=1), projected.projected_dos, atol=1e-9)
    along_c = get_directional_densities(carbide, [0, 0, 2], length=20.0)
    np.testing.assert_allclose(along_c.projected_dos, by_axis[:, 2], atol=1e-9)
    assert np.abs(by_axis[:, 2] - by_axis[:, 0]).max() > 0.1
    for atom in by_axis:
        for axis in atom:
            assert np.trapezoid(axis, found.frequency_points) == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize("direction", [[0, 0, 0], [1, np.nan, 0], [1, 0]])
def test_directions_that_are_none_are_refused(copper, direction):
    with pytest.raises(InputError, match="the direction"):
        get_directional_densities(copper, direction)


def test_meshes_and_densities_of_the_object_stay_as_they_are(carbide):
    """The picture of bands and densities is drawn from them afterwards."""
    meshes.get_mesh(carbide, 20.0)
    meshes.get_densities(carbide, 15.0)
    before = carbide.mesh, carbide.projected_dos, carbide.total_dos
    get_thermal_motion(carbide, [ROOM], length=15.0)
    get_participation(carbide, length=15.0)
    get_directional_densities(carbide, length=15.0)
    assert all(a is b for a, b in zip(before, (carbide.mesh, carbide.projected_dos, carbide.total_dos), strict=True))


# ---- as a section of `phonons` ---------------------------------------------------------------------


def section(phonopy, *words, **context):
    settings = typed(*words)
    motion.check(settings, Atoms())
    return motion.compute(Context(settings, phonopy, **context))


def test_nothing_asked_for_is_nothing_found(copper):
    assert section(copper) is None


def test_the_section_writes_what_it_announces(carbide, tmp_path):
    words = "--thermal-displacements 100 300 --participation-ratio --pdos-directions --pdos-along 1 1 0"
    found = section(carbide, *words.split(), "--unit", "cm-1")
    found.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(found.files())
    assert "thermal_displacements_100K.cif" in found.files()
    summary = json.loads(json.dumps(found.summary()))
    isotropic = summary["thermal_displacements"]["u_iso_angstrom2"]
    text = Table("")
    found.describe(text)
    assert f"Al {isotropic[1][0]:.5f}, Cu {isotropic[1][1]:.5f}" in str(text)
    assert "cm⁻¹) at q =" in str(text)
    columns = np.loadtxt(tmp_path / "projected_dos_xyz.dat")
    assert columns.shape[1] == 7
    along = np.loadtxt(tmp_path / "projected_dos_along_1.dat")
    assert np.trapezoid(along[:, 2], along[:, 0]) == pytest.approx(1.0, rel=0.03)
    table = np.loadtxt(tmp_path / "participation_ratio.dat")
    assert np.average(table[:, 6], weights=table[:, 3]) == pytest.approx(summary["participation_ratio"]["mean"])


def test_a_temperature_is_chosen_where_none_is_named(copper):
    assert section(copper, "--thermal-displacements").motion.temperatures.tolist() == [ROOM]


def test_a_layer_has_no_finite_displacements_and_says_so(copper):
    with pytest.warns(UnstableWarning, match="free layer grow without limit"):
        found = section(copper, "--thermal-displacements", "--participation-ratio", repeated=(True, True, False))
    assert found.motion is None
    assert found.files() == ("participation_ratio.dat",)


@pytest.mark.parametrize("words", ["--thermal-displacements -5", "--pdos-along 0 0 0"])
def test_bad_options_are_refused_before_anything_is_computed(copper, words):
    with pytest.raises(InputError):
        section(copper, *words.split())
