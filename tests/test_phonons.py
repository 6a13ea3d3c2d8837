"""phonopy filled, its cells, its band paths, its meshes: the traps that give wrong physics in silence."""

import numpy as np
import pytest
import seekpath
from ase import Atoms
from ase.build import bulk, molecule
from ase.cell import Cell
from ase.dft.kpoints import BandPath
from ase.spacegroup import crystal
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax.base.errors import InputError, StructureError, SupercellError, UnstableWarning
from ase_phonax.phonons.bands.paths import crystal_path, mathtext_label, named_path, path_in_words, plain_label
from ase_phonax.phonons.bands.structure import get_band_structure
from ase_phonax.phonons.sampling import heat, meshes, stability
from ase_phonax.phonons.supercell.checks import checks
from ase_phonax.phonons.supercell.constants import crystal_atoms
from ase_phonax.phonons.supercell.objects import build_phonopy, get_phonopy
from ase_phonax.structures import space_groups, supercells
from ase_phonax.structures.checks import require_crystal

from .pair_potential import PairCalculator

# phonopy diagonalises in double precision: equal matrices give frequencies equal to about 1e-7 THz near
# zero (square root of rounding) and 1e-12 elsewhere.
TOLERANCE_THZ = 1e-5

ROCKSALT = bulk("NaCl", "rocksalt", a=5.65)
SKEWED = np.array([[1, 0, 0], [1, 1, 0], [0, 2, 1]])  # determinant 1: another primitive cell


def with_vectors(atoms: Atoms, matrix: np.ndarray) -> Atoms:
    """The same crystal in other lattice vectors, matrix @ cell; as many atoms, so |det| must be 1."""
    other = atoms.copy()
    other.set_cell(matrix @ atoms.cell[:], scale_atoms=False)
    return other


def gallium_oxide() -> Atoms:
    """β-Ga2O3, C2/m, primitive."""
    sites = [(0.0905, 0, 0.7946), (0.3414, 0, 0.6859), (0.1645, 0, 0.1098), (0.4959, 0, 0.2566), (0.8266, 0, 0.4365)]
    return crystal(
        ("Ga", "Ga", "O", "O", "O"),
        sites,
        spacegroup=12,
        cellpar=[12.21, 3.04, 5.80, 90, 103.83, 90],
        primitive_cell=True,
    )


def triclinic() -> Atoms:
    sites = [[0.0, 0.0, 0.0], [0.47, 0.41, 0.52], [0.92, 0.48, 0.12], [0.42, 0.05, 0.88]]
    return Atoms("GaOGaO", scaled_positions=sites, cell=Cell.fromcellpar([3.9, 4.6, 5.3, 81, 97, 113]), pbc=True)


def base_centred() -> Atoms:
    """Amm2, polar, primitive in spglib's setting, which is not seekpath's."""
    conventional = crystal(
        ("Ga", "O", "O"),
        [(0, 0, 0), (0, 0, 0.44), (0.5, 0, 0.72)],
        spacegroup=38,
        cellpar=[3.1, 4.4, 6.7, 90, 90, 90],
    )
    return space_groups.reduce_to_primitive(conventional)


@pytest.fixture
def calc() -> PairCalculator:
    return PairCalculator(like=0.0)


def frequencies_at(phonopy, qpoints) -> np.ndarray:
    return np.sort(phonopy.run_qpoints(qpoints).frequencies, axis=1)


def standard_primitive(atoms: Atoms) -> tuple[Atoms, dict]:
    """seekpath's own primitive cell of a crystal, and its table of special points."""
    found = seekpath.get_path((atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers))
    standard = Atoms(
        numbers=found["primitive_types"],
        scaled_positions=found["primitive_positions"],
        cell=found["primitive_lattice"],
        pbc=True,
    )
    return standard, found


# ---- filling phonopy -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The supercell keeps")
def test_constants_reach_phonopy_and_give_the_exact_frequencies(calc):
    """Kills a transposed supercell matrix: with this one the supercell would be another."""
    matrix = [[5, 1, 0], [0, 5, 0], [0, 0, 6]]
    phonopy = get_phonopy(gallium_oxide(), calc, matrix)
    assert phonopy.force_constants.shape == (10, 1500, 3, 3)
    np.testing.assert_allclose(phonopy.supercell.cell, np.transpose(matrix) @ phonopy.primitive.cell, atol=1e-12)
    # The potential reaches 4.5 Å, the supercell more than twice that: interpolation is exact.
    found = checks(phonopy, lambda q, **how: calc.get_dynamical_matrix(crystal_atoms(phonopy.primitive), q, **how))
    assert found["interpolation_error_thz"] < 1e-6


def test_masses_are_those_of_the_atoms_never_phonopys_table(calc):
    """phonopy's masses of sixteen elements differ from ASE's by more than 2e-5."""
    atoms = bulk("Ge", "fcc", a=3.9)
    phonopy = get_phonopy(atoms, calc, 2)
    assert phonopy.primitive.masses[0] == atoms.get_masses()[0]
    assert PhonopyAtoms(["Ge"], cell=np.eye(3), scaled_positions=[[0, 0, 0]]).masses[0] != atoms.get_masses()[0]
    light = atoms.copy()
    light.set_masses([4 * 1.008])
    ratio = frequencies_at(get_phonopy(light, calc, 2), [[0.5, 0, 0]]) / frequencies_at(phonopy, [[0.5, 0, 0]])
    np.testing.assert_allclose(ratio, np.sqrt(atoms.get_masses()[0] / (4 * 1.008)), rtol=1e-10)
    given = get_phonopy(atoms, calc, 2, masses=[74.0])
    assert given.primitive.masses[0] == 74.0


@pytest.mark.parametrize("masses", [[1.0], [1.0, -2.0], [1.0, np.nan]])
def test_masses_that_are_none_are_refused(calc, masses):
    with pytest.raises(InputError, match="one positive number for each of 2 atoms"):
        get_phonopy(ROCKSALT, calc, 2, masses=masses)


@pytest.mark.parametrize(
    "constants", [np.zeros((16, 2, 3, 3)), np.zeros((2, 16, 9)), np.full((2, 16, 3, 3), np.nan)], ids=str
)
def test_constants_that_phonopy_would_swallow_are_refused(constants):
    class Wrong:
        def get_force_constants(self, phonopy, *, progress=None):
            return constants

    with pytest.raises(InputError, match="force constants"):
        get_phonopy(ROCKSALT, Wrong(), 2)


def test_a_calculator_that_fills_phonopy_itself_is_not_overwritten(calc):
    """The setter rebuilds the dynamical matrix, seconds for a large supercell."""

    class Filling(PairCalculator):
        def get_force_constants(self, phonopy, *, progress=None):
            phonopy.force_constants = super().get_force_constants(phonopy)
            self.built = phonopy.dynamical_matrix
            return phonopy.force_constants

    filling = Filling(like=0.0)
    assert get_phonopy(ROCKSALT, filling, 2).dynamical_matrix is filling.built


@pytest.mark.parametrize("calc", ["phonax-small", None])
def test_what_is_no_calculator_is_refused(calc):
    with pytest.raises(
        InputError, match=rf"the calculator is {calc!r}, which has no get_force_constants[\s\S]*Calculator\("
    ):
        get_phonopy(ROCKSALT, calc, 2)


def test_progress_is_passed_on(calc):
    calls = []
    get_phonopy(ROCKSALT, calc, 2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 1)]


# ---- cells -----------------------------------------------------------------------------------------


def test_a_conventional_cell_is_kept_with_a_warning_or_reduced_on_request(calc):
    conventional = bulk("NaCl", "rocksalt", a=5.65, cubic=True)
    with pytest.warns(UnstableWarning, match="kept with 8 atoms, but its primitive cell has 2"):
        kept = get_phonopy(conventional, calc, 2)
    reduced = get_phonopy(conventional, calc, 2, primitive_matrix="auto")
    assert (len(kept.primitive), len(reduced.primitive)) == (8, 2)
    folded, plain = frequencies_at(kept, [[0, 0, 0]])[0], frequencies_at(reduced, [[0, 0, 0], [0.5, 0.5, 0]])
    assert len(folded) == 24
    for frequency in plain.ravel():  # Gamma and X of the primitive cell fold onto Gamma of the conventional one
        assert np.abs(folded - frequency).min() < TOLERANCE_THZ


@pytest.mark.parametrize("matrix", [np.eye(3), SKEWED, [[0, 1, 0], [1, 0, 0], [0, 0, 1]]], ids=str)
def test_auto_keeps_every_primitive_cell_as_it_is(calc, matrix):
    """phonopy's own "auto" would exchange the vectors of a skewed primitive cell for others."""
    atoms = with_vectors(ROCKSALT, np.array(matrix))
    phonopy = get_phonopy(atoms, calc, 2, primitive_matrix="auto")
    np.testing.assert_allclose(phonopy.primitive.cell, atoms.cell[:], atol=1e-12)


def test_a_left_handed_conventional_cell_is_reduced_to_a_left_handed_primitive_one(calc):
    conventional = bulk("NaCl", "rocksalt", a=5.65, cubic=True)
    mirrored = Atoms(
        conventional.numbers, positions=conventional.positions, cell=conventional.cell[[1, 0, 2]], pbc=True
    )
    phonopy = build_phonopy(mirrored, 2, primitive_matrix="auto")
    assert len(phonopy.primitive) == 2
    assert np.linalg.det(phonopy.primitive.cell) < 0


def test_reduction_keeps_orientation_positions_and_isotopes():
    """Kills spglib's find_primitive, which turns the crystal."""
    conventional = bulk("NaCl", "rocksalt", a=5.65, cubic=True)
    conventional.rotate(33, (1, 2, 3), rotate_cell=True)
    conventional.positions += [0.3, 0.1, 0.2]
    primitive = space_groups.reduce_to_primitive(conventional)
    assert len(primitive) == 2
    vectors = primitive.cell[:] @ np.linalg.inv(conventional.cell[:])
    np.testing.assert_allclose(2 * vectors, np.rint(2 * vectors), atol=1e-9)
    for symbol, position in zip(primitive.symbols, primitive.positions, strict=True):
        steps = (conventional.positions - position) @ np.linalg.inv(conventional.cell[:])
        hits = np.abs(steps - np.rint(steps)).max(axis=1) < 1e-9
        assert conventional.symbols[hits] == symbol
    masses = conventional.get_masses()
    masses[1] = 36.97
    conventional.set_masses(masses)
    assert len(space_groups.reduce_to_primitive(conventional)) == 8


@pytest.mark.parametrize(
    ("supercell", "text"),
    [
        (0, "is singular"),
        ([[1, 1, 0], [1, 1, 0], [0, 0, 1]], "is singular"),
        ([2, 2], "has 2 entries"),
        ([2, 2, 1.5], "not made of integers"),
        ([2, 2, np.nan], "not made of integers"),
        ("two", "not made of numbers"),
        ([-2, 2, 2], r"negative determinant -8[\s\S]*\[\[2, 0, 0\], \[0, -2, 0\], \[0, 0, -2\]\]"),
    ],
)
def test_supercells_that_are_none_are_refused(calc, supercell, text):
    with pytest.raises(SupercellError, match=text):
        get_phonopy(ROCKSALT, calc, supercell)


def test_a_supercell_that_breaks_the_symmetry_is_warned_of_in_words(calc):
    with pytest.warns(UnstableWarning, match=r"keeps 12 of the crystal's 48 point-group operations") as warned:
        get_phonopy(ROCKSALT, calc, [2, 2, 4])
    assert len(warned) == 1


@pytest.mark.parametrize("primitive", ["Q", np.zeros((3, 3)), np.eye(2)], ids=str)
def test_primitive_matrices_that_are_none_are_refused(calc, primitive):
    with pytest.raises(SupercellError, match="primitive matrix"):
        get_phonopy(ROCKSALT, calc, 2, primitive_matrix=primitive)


def test_a_primitive_matrix_that_does_not_fit_is_refused_with_phonopys_reason(calc):
    with pytest.raises(SupercellError, match="phonopy cannot build"):
        get_phonopy(ROCKSALT, calc, 2, primitive_matrix="F")


@pytest.mark.parametrize(
    ("atoms", "text"),
    [
        (molecule("H2O"), "not periodic in three directions"),
        (Atoms("Cu", cell=[3, 3, 3], pbc=(True, True, False)), r"pbc = T T F"),
        (Atoms("Cu", cell=[[3, 0, 0], [0, 3, 0], [3, 3, 0]], pbc=True), "flat or empty"),
        (Atoms("Cu", positions=[[np.nan, 0, 0]], cell=[3, 3, 3], pbc=True), "position 0 is not a finite number"),
        (Atoms("Cu", cell=[3, np.inf, 3], pbc=True), "cell vector 1 is not a finite number"),
        (Atoms("CuCu", positions=[[0, 0, 0], [0, 0, 2.9]], cell=[3, 3, 3], pbc=True), r"0 \(Cu\) and 1 .* 0.1 Å apart"),
        (Atoms(cell=[3, 3, 3], pbc=True), "has no atoms"),
        (Atoms("X", cell=[3, 3, 3], pbc=True), "no known element"),
    ],
)
def test_structures_without_phonons_are_refused(calc, atoms, text):
    with pytest.raises(StructureError, match=text):
        get_phonopy(atoms, calc, 2)


def test_sites_occupied_in_part_are_refused():
    sites, cell = [(0, 0, 0), (0.5, 0.5, 0.5)], [5.9, 5.9, 5.9, 90, 90, 90]
    half = crystal(("Na", "Cl"), sites, occupancies=[0.5, 1.0], spacegroup=225, cellpar=cell)
    with pytest.raises(StructureError, match=r"occupied in part .*: atoms 0, 1, 2, 3: 0\.5 Na\n") as caught:
        get_phonopy(half, PairCalculator(like=0.0), 1)
    assert 'delete atoms.info["occupancy"]' in caught.value.remedy
    del half.info["occupancy"]
    require_crystal(half)


def test_the_chosen_supercell_is_the_smallest_diagonal_one_of_that_height():
    hexagonal = bulk("Zn", "hcp", a=3.0, c=5.0)  # heights 3 sqrt(3)/2 = 2.598, 2.598, 5
    matrix = supercells.supercell_for_height(hexagonal.cell[:], 12.0)
    np.testing.assert_array_equal(matrix, np.diag([5, 5, 3]))
    np.testing.assert_array_equal(supercells.supercell_for_height(np.eye(3) * 4, 12.0), np.diag([3, 3, 3]))
    np.testing.assert_array_equal(supercells.supercell_for_height(np.eye(3) * 40, 12.0), np.eye(3))


# ---- band paths ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The supercell keeps")
@pytest.mark.parametrize(
    ("atoms", "supercell"),
    [
        (gallium_oxide(), [2, 2, 2]),
        (triclinic(), [3, 2, 2]),
        (base_centred(), [3, 2, 2]),
        (with_vectors(ROCKSALT, SKEWED), [4, 4, 2]),
        (with_vectors(ROCKSALT, np.array([[1, 0, 0], [1, -1, 0], [0, 2, 1]])), [4, 4, 2]),
    ],
    ids=["C2/m", "P1", "Amm2", "skewed fcc", "left-handed fcc"],
)
def test_the_automatic_path_goes_where_seekpaths_own_cell_says(calc, atoms, supercell):
    """Kills phonopy's automatic path: seekpath's coordinates used in the basis of another cell.

    The comparison needs no second supercell: exact D(q) of both cells, and the same points in space.
    """
    phonopy = get_phonopy(atoms, calc, supercell)
    bands = get_band_structure(phonopy)
    standard, found = standard_primitive(atoms)
    mine, theirs = crystal_atoms(phonopy.primitive), np.array(found["reciprocal_primitive_lattice"]) / (2 * np.pi)
    naive_differs = False
    for (start, end), qpoints in zip(found["path"], bands.qpoints, strict=True):
        for name, q in ((start, qpoints[0]), (end, qpoints[-1])):
            q_standard = found["point_coords"][name]
            length = np.linalg.norm(q @ mine.cell.reciprocal()[:])
            assert length == pytest.approx(np.linalg.norm(q_standard @ theirs), abs=1e-6)
            right = spectrum(calc, standard, q_standard)
            np.testing.assert_allclose(spectrum(calc, mine, q), right, atol=1e-5)
            naive_differs |= bool(np.abs(spectrum(calc, mine, q_standard) - right).max() > 0.1)
        middle = spectrum(calc, standard, np.mean([found["point_coords"][start], found["point_coords"][end]], axis=0))
        np.testing.assert_allclose(spectrum(calc, mine, (qpoints[0] + qpoints[-1]) / 2), middle, atol=1e-5)
    assert naive_differs, "this crystal would not notice the trap"


def spectrum(calc, atoms: Atoms, q) -> np.ndarray:
    """Eigenvalues of the exact D(q), ascending."""
    return np.linalg.eigvalsh(calc.get_dynamical_matrix(atoms, [q])[0])


@pytest.mark.parametrize(
    "matrix", [np.eye(3), SKEWED, [[0, 1, 0], [1, 0, 0], [0, 0, 1]], [[-1, 0, 0], [1, 1, 0], [3, 2, 1]]]
)
def test_special_points_by_name_are_the_same_points_in_every_primitive_cell(matrix):
    """|q| a / 2 pi of fcc, from any textbook: X 1, W sqrt(5)/2, L sqrt(3)/2, K 3/sqrt(8)."""
    atoms = with_vectors(ROCKSALT, np.array(matrix))
    lengths = {"G": 0, "X": 1, "W": np.sqrt(5) / 2, "L": np.sqrt(3) / 2, "K": 3 / np.sqrt(8)}
    bandpath = atoms.cell.bandpath("GXWLG,KG", npoints=40)
    phonopy = build_phonopy(atoms, 1)
    phonopy.force_constants = np.zeros((2, 2, 3, 3))
    for path in ("ΓXWLG,KG", bandpath):
        bands = get_band_structure(phonopy, path)
        assert path_in_words(bands.labels, bands.path_connections) == "Γ–X–W–L–Γ|K–Γ"
        ends = [(qpoints[0], qpoints[-1]) for qpoints in bands.qpoints]
        for pair, names in zip(ends, ("GX", "XW", "WL", "LG", "KG"), strict=True):
            for q, name in zip(pair, names, strict=True):
                assert np.linalg.norm(q @ atoms.cell.reciprocal()[:]) * 5.65 == pytest.approx(lengths[name], abs=1e-9)


def test_a_band_path_of_the_unit_cell_is_transformed_to_the_primitive_one(calc):
    conventional = bulk("NaCl", "rocksalt", a=5.65, cubic=True)
    phonopy = get_phonopy(conventional, calc, 2, primitive_matrix="auto")
    bandpath = conventional.cell.bandpath("GXM", npoints=11)
    bands = get_band_structure(phonopy, bandpath)
    cartesian = np.concatenate(bands.qpoints) @ np.linalg.inv(phonopy.primitive.cell).T
    again = np.unique(np.round(cartesian, 9), axis=0)
    np.testing.assert_allclose(again, np.unique(np.round(bandpath.kpts @ conventional.cell.reciprocal()[:], 9), axis=0))


def test_a_band_path_of_another_cell_is_refused(calc):
    phonopy = get_phonopy(ROCKSALT, calc, 2)
    with pytest.raises(InputError, match="belongs to another cell"):
        get_band_structure(phonopy, bulk("Cu").cell.bandpath("GX", npoints=5))


def test_a_band_path_keeps_its_own_points_even_without_names(calc):
    phonopy = get_phonopy(ROCKSALT, calc, 2)
    kpts = np.linspace([0, 0, 0], [0.31, 0.12, 0.05], 7)
    bands = get_band_structure(phonopy, BandPath(ROCKSALT.cell, kpts=kpts, special_points={}, path=""))
    np.testing.assert_array_equal(bands.qpoints[0], kpts)


@pytest.mark.parametrize(
    ("path", "text"),
    [("GQ", r"'Q'[\s\S]*G, K, L, U, W, X"), ("gx", "'gx'"), ("GX,L", "fewer than two points"), ("", "fewer than two")],
)
def test_paths_that_lead_nowhere_are_refused(path, text):
    with pytest.raises(InputError, match=text):
        named_path(path, ROCKSALT.cell[:])


def test_jumps_are_told_to_phonopy_and_distances_do_not_count_them(calc):
    bands = get_band_structure(get_phonopy(ROCKSALT, calc, 2))
    assert bands.path_connections == [True, False, True, True, True, False]
    assert path_in_words(bands.labels, bands.path_connections) == "Γ–X–U|K–Γ–L–W–X"
    assert bands.distances[2][0] == bands.distances[1][-1]


def test_the_point_g_of_seekpath_is_not_gamma_and_ases_is():
    """Body-centred tetragonal, c > a: HPKOT has a point G on the edge of the zone."""
    tetragonal = bulk("Si", "bct", a=2.6, c=3.1)
    ends = {name: q for s in crystal_path(tetragonal) for name, q in ((s.start, s.qpoints[0]), (s.end, s.qpoints[-1]))}
    assert np.linalg.norm(ends["GAMMA"]) == 0
    assert np.linalg.norm(ends["G"]) > 0.5
    assert plain_label(mathtext_label("G")) == "G"
    assert [(s.start, s.end) for s in named_path("GX", ROCKSALT.cell[:])] == [("GAMMA", "X")]


def test_points_of_a_path_are_as_dense_as_asked():
    for segment in crystal_path(ROCKSALT, spacing=0.1):
        steps = np.diff(segment.qpoints, axis=0) @ ROCKSALT.cell.reciprocal()[:] * 2 * np.pi
        assert np.linalg.norm(steps, axis=1).max() <= 0.1


def test_a_path_in_a_cell_that_is_not_primitive_is_warned_of():
    with pytest.warns(UnstableWarning, match="bands appear folded"):
        crystal_path(bulk("NaCl", "rocksalt", a=5.65, cubic=True))


@pytest.mark.parametrize(
    ("name", "plain"),
    [("GAMMA", "Γ"), ("G", "G"), ("G_0", "G₀"), ("X", "X"), ("W_2", "W₂"), ("SIGMA_0", "Σ₀"), ("X1", "X₁"), ("", "")],
)
def test_labels_survive_the_way_through_phonopy(name, plain):
    assert plain_label(mathtext_label(name)) == plain


# ---- sums over the zone ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sampled():
    phonopy = get_phonopy(ROCKSALT, PairCalculator(like=0.0), 3)
    get_band_structure(phonopy)
    meshes.get_mesh(phonopy, length=33.0)
    return phonopy


def test_the_mesh_holds_gamma_and_the_full_symmetry(sampled):
    """An even mesh beside Gamma has several times the irreducible points on fcc."""
    mesh = sampled.mesh
    np.testing.assert_array_equal(mesh.mesh_numbers, [10, 10, 10])
    assert len(mesh.qpoints) == 47
    assert np.abs(mesh.qpoints).max(axis=1).min() == 0.0


def test_heat_equals_the_sum_over_modes_written_down(sampled):
    thermal = heat.get_thermal_properties(sampled, [300.0])
    h_over_k = 47.992430733  # K per THz
    frequencies, weights = sampled.mesh.frequencies, sampled.mesh.weights
    with np.errstate(divide="ignore", invalid="ignore"):
        x = h_over_k * frequencies / 300.0
        modes = np.where(frequencies > 1e-3, x**2 * np.exp(x) / np.expm1(x) ** 2, 0.0)
    expected = 8.314462618 * (weights @ modes.sum(axis=1)) / weights.sum()
    assert thermal.heat_capacity[0] == pytest.approx(expected, rel=1e-5)  # phonopy rounds its constants


def test_densities_hold_three_modes_per_atom_on_one_grid(sampled):
    total, projected = meshes.get_densities(sampled, length=20.0)
    np.testing.assert_array_equal(total.frequency_points, projected.frequency_points)
    assert np.trapezoid(total.dos, total.frequency_points) == pytest.approx(6.0, rel=0.01)
    for atom in projected.projected_dos:
        assert np.trapezoid(atom, projected.frequency_points) == pytest.approx(3.0, rel=0.03)
    meshes.get_mesh(sampled, length=33.0)


def test_densities_without_a_mesh_say_what_to_run(calc):
    with pytest.raises(InputError, match="get_mesh"):
        meshes.get_densities(get_phonopy(ROCKSALT, calc, 2))


def test_a_stable_crystal_leaves_nothing_out_and_has_no_imaginary_modes(sampled):
    found = stability.get_frequency_range(sampled)
    assert not found.imaginary
    assert found.fraction_left_out == 0.0
    assert abs(found.minimum_thz) < TOLERANCE_THZ
    np.testing.assert_allclose(found.gamma_thz[:3], 0.0, atol=TOLERANCE_THZ)
    assert found.maximum_thz == max(f.max() for f in (*sampled.band_structure.frequencies, sampled.mesh.frequencies))


def test_an_unstable_crystal_is_found_and_the_share_left_out_is_counted():
    """Simple cubic under a pair potential shears away: its transverse modes are imaginary."""
    phonopy = get_phonopy(bulk("Po", "sc", a=2.6), PairCalculator(), 4)
    mesh = meshes.get_mesh(phonopy, length=20.0)
    found = stability.get_frequency_range(phonopy)
    assert found.imaginary
    assert found.minimum_thz < -1.0
    assert found.minimum_thz == frequencies_at(phonopy, [found.minimum_qpoint]).min()
    below = np.repeat(mesh.weights, 3)[mesh.frequencies.ravel() < -1e-3].sum() / (3 * mesh.weights.sum())
    assert found.fraction_left_out == pytest.approx(below)


def test_translations_at_gamma_are_no_instability_but_a_soft_optical_mode_is():
    acoustic = meshes.gamma_acoustics(np.zeros((1, 3)), np.array([[-0.8, -0.06, -0.02, 0.03, 5.0, 6.0]]))
    np.testing.assert_array_equal(acoustic[0], [False, True, True, True, False, False])
