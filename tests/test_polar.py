"""Charges given from outside: what they do at Gamma, and what is refused."""

import numpy as np
import phonopy as phonopy_package
import pytest
from ase import Atoms
from ase.build import bulk

from ase_phonax import exact_matrices
from ase_phonax.base.errors import InputError
from ase_phonax.base.units import THZ_PER_SQRT_EV_A2_AMU
from ase_phonax.cli.tables import Table
from ase_phonax.phonons.polar import (
    NAC_FACTOR,
    directions_of_path,
    get_gamma_splitting,
    read_correction,
    set_nac,
)
from ase_phonax.phonons.supercell.checks import checks
from ase_phonax.phonons.supercell.objects import get_phonopy
from ase_phonax.studies import charges
from ase_phonax.studies.section import Context
from ase_phonax.studies.sections import polar

from .crystals import CRYSTALS
from .pair_potential import PairCalculator
from .typed import typed

# CODATA 2018, SI
CHARGE, PERMITTIVITY, AMU = 1.602176634e-19, 8.8541878128e-12, 1.66053906660e-27
Z, EPSILON = 1.1, 2.4
BORN = """14.39965172592227
2.4 0 0 0 2.4 0 0 0 2.4
1.1 0 0 0 1.1 0 0 0 1.1
-1.1 0 0 0 -1.1 0 0 0 -1.1
"""


def salt(repeats: int = 2):
    return get_phonopy(bulk("NaCl", "rocksalt", a=5.6), PairCalculator(like=0.0), repeats)


def squares(frequencies) -> np.ndarray:
    """Eigenvalues [THz²]: those of the acoustic modes at Gamma are zero to rounding, their roots are not."""
    return np.sort(np.asarray(frequencies) * np.abs(frequencies))


def isotropic(*charges: float) -> np.ndarray:
    return np.array(charges)[:, None, None] * np.eye(3)


CUBIC = {"born": isotropic(Z, -Z), "dielectric": EPSILON * np.eye(3)}


@pytest.fixture
def born_file(tmp_path):
    def write(text: str = BORN):
        path = tmp_path / "BORN"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("method", ["wang", "gonze"])
@pytest.mark.parametrize("direction", [[0.5, 0, 0.5], [1, 1, 1], [0.1, 0.3, -0.7]])
def test_lo_of_a_cubic_pair_of_ions_is_the_analytic_one_and_to_stays(method, direction):
    """omega_LO² = omega_TO² + e² Z² / (eps0 eps mu V), every unit from scratch."""
    phonopy = salt()
    before = phonopy.run_qpoints([[0, 0, 0]]).frequencies[0]
    set_nac(phonopy, CUBIC, method)
    found = get_gamma_splitting(phonopy, [direction])
    np.testing.assert_allclose(squares(found.without_thz), squares(before), atol=1e-9)
    np.testing.assert_allclose(squares(found.frequencies_thz[0])[:5], squares(before)[:5], atol=1e-9)
    m_plus, m_minus = phonopy.primitive.masses * AMU
    reduced_mass, volume = m_plus * m_minus / (m_plus + m_minus), phonopy.primitive.volume * 1e-30
    shift = (CHARGE * Z) ** 2 / (PERMITTIVITY * EPSILON * reduced_mass * volume)  # of squared angular frequency
    expected = np.sqrt((before[-1] * 1e12) ** 2 + shift / (2 * np.pi) ** 2) * 1e-12
    # phonopy's factor and frequency unit are of an older CODATA set: 1e-7.
    assert found.frequencies_thz[0, 5] == pytest.approx(expected, rel=1e-6)
    assert found.frequencies_thz[0, 5] > before[-1] + 1


def test_a_supercell_changes_nothing_at_gamma_and_much_beside_it():
    """What is defined and what is not (docs/polar.md)."""
    limits, beside = [], []
    for repeats in (2, 3):
        phonopy = salt(repeats)
        set_nac(phonopy, CUBIC)
        limits.append(get_gamma_splitting(phonopy, [[0.5, 0, 0.5]]).frequencies_thz)
        beside.append(phonopy.run_qpoints([[0.1, 0, 0.1]]).frequencies.max())
    np.testing.assert_allclose(limits[0], limits[1], atol=1e-6)
    assert abs(beside[0] - beside[1]) > 0.05


def uniaxial():
    """A tetragonal crystal whose Z and eps differ along its axis, turned off the axes of space."""
    atoms = Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[3.3, 3.3, 3.1], pbc=True)
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    axes = atoms.cell[:] / atoms.cell.lengths()[:, None]
    charges = np.array([axes.T @ np.diag(sign * np.array([1.1, 1.1, 2.2])) @ axes for sign in (1, -1)])
    dielectric = axes.T @ np.diag([2.2, 2.2, 3.0]) @ axes
    return atoms, {"born": charges, "dielectric": dielectric}


@pytest.mark.parametrize("method", ["wang", "gonze"])
def test_frequencies_depend_on_the_direction_in_a_uniaxial_crystal(method):
    """Against the formula by hand. Kills: a direction read as Cartesian, the tensor screened by its mean, Z transposed
    (no difference where both are symmetric, so charges get an antisymmetric part in the next test)."""
    atoms, params = uniaxial()
    phonopy = get_phonopy(atoms, PairCalculator(like=0.0), 2)
    phonopy.dynamical_matrix.run([0, 0, 0])
    without = phonopy.dynamical_matrix.dynamical_matrix.real.copy()
    set_nac(phonopy, params, method)
    directions = np.array([[0, 0, 1], [1, 0, 0], [1, 0, 1], [0.2, -0.5, 0.3]])
    found = get_gamma_splitting(phonopy, directions).frequencies_thz
    for direction, frequencies in zip(directions, found, strict=True):
        q = direction @ np.linalg.inv(atoms.cell[:]).T
        field = np.concatenate(
            [q @ z / np.sqrt(m) for z, m in zip(params["born"], phonopy.primitive.masses, strict=True)]
        )
        scale = 4 * np.pi * NAC_FACTOR / phonopy.primitive.volume / (q @ params["dielectric"] @ q)
        eigenvalues = np.linalg.eigvalsh(without + scale * np.outer(field, field))
        expected = np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * THZ_PER_SQRT_EV_A2_AMU
        np.testing.assert_allclose(frequencies, expected, atol=1e-5)
    assert abs(found[0, 5] - found[1, 5]) > 0.3
    # Transverse modes stay: the pair across the axis for a field along it, the single one for a field across.
    optical = get_gamma_splitting(phonopy, directions).without_thz[3:]
    pair = optical[1]
    single = optical[0] if abs(optical[2] - pair) < abs(optical[0] - pair) else optical[2]
    assert np.count_nonzero(np.abs(found[0] - pair) < 1e-6) == 2
    assert np.count_nonzero(np.abs(found[1] - single) < 1e-6) == 1


def test_the_first_index_of_a_charge_is_the_field():
    """Quartz's twofold axes leave antisymmetric charges: the transposed ones give other frequencies."""
    atoms, _ = CRYSTALS["quartz, chiral"]
    phonopy = get_phonopy(atoms, PairCalculator(like=0.0), 1)
    rng = np.random.default_rng(1)
    silicon = atoms.numbers == 14
    mean = np.where(silicon, 3.2, -3.2 * silicon.sum() / (~silicon).sum())
    charges = mean[:, None, None] * np.eye(3) + 0.08 * rng.normal(size=(len(atoms), 3, 3))
    charges -= charges.mean(axis=0)
    correction = set_nac(phonopy, {"born": charges, "dielectric": np.diag([2.4, 2.4, 2.43])})
    assert np.abs(correction.charges - correction.charges.transpose(0, 2, 1)).max() > 0.02
    assert np.abs(correction.charges.sum(axis=0)).max() < 1e-12
    assert 0 < correction.charges_changed_by < 0.32
    q = np.array([1.0, 0, 0]) @ np.linalg.inv(atoms.cell[:]).T
    phonopy.dynamical_matrix._run_without_NAC(np.zeros(3))
    without = phonopy.dynamical_matrix.dynamical_matrix.real.copy()
    roots = np.sqrt(phonopy.primitive.masses)
    scale = 4 * np.pi * NAC_FACTOR / phonopy.primitive.volume / (q @ correction.dielectric @ q)

    def by_hand(charges):
        field = np.concatenate([q @ z / root for z, root in zip(charges, roots, strict=True)])
        eigenvalues = np.linalg.eigvalsh(without + scale * np.outer(field, field))
        return np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * THZ_PER_SQRT_EV_A2_AMU

    found = get_gamma_splitting(phonopy, [[1, 0, 0]]).frequencies_thz[0]
    np.testing.assert_allclose(found, by_hand(correction.charges), atol=1e-5)
    assert np.abs(found - by_hand(correction.charges.transpose(0, 2, 1))).max() > 1e-3


@pytest.mark.data
@pytest.mark.parametrize("name", ["NaCl", "TiO2-anatase"])
def test_frequencies_equal_phonopys_own_from_the_same_files(data, name):
    folder = data / "data" / "phonopy" / name
    axes = {"NaCl": "F", "TiO2-anatase": "I"}[name]
    files = {"force_sets_filename": folder / "FORCE_SETS", "primitive_matrix": axes, "log_level": 0}
    theirs = phonopy_package.load(folder / "phonopy_disp.yaml", born_filename=folder / "BORN", **files)
    ours = phonopy_package.load(folder / "phonopy_disp.yaml", is_nac=False, **files)
    correction = set_nac(ours, folder / "BORN", "gonze")
    assert correction.charges_changed_by < 0.03
    qpoints = [[0.05, 0.02, 0], [0.3, 0.1, 0.2]]
    np.testing.assert_allclose(
        ours.run_qpoints(qpoints).frequencies, theirs.run_qpoints(qpoints).frequencies, atol=1e-9
    )
    found = get_gamma_splitting(ours)
    for direction, frequencies in zip(found.directions, found.frequencies_thz, strict=True):
        reference = theirs.run_qpoints([[0, 0, 0]], nac_q_direction=direction).frequencies[0]
        np.testing.assert_allclose(squares(frequencies), squares(reference), atol=1e-9)
    if name == "TiO2-anatase":  # uniaxial
        assert np.ptp(found.frequencies_thz, axis=0).max() > 1


def test_directions_of_the_path_are_those_that_meet_gamma_each_once():
    names, vectors = directions_of_path(salt())
    assert names == ["Γ–X", "Γ–K", "Γ–L"]
    np.testing.assert_allclose(vectors[0], [0.5, 0, 0.5])
    names, _ = directions_of_path(salt(), "XGX,LG")
    assert names == ["Γ–X", "Γ–L"]
    with pytest.raises(InputError, match="no nac_params"):
        get_gamma_splitting(salt())


def test_a_born_file_and_a_dictionary_mean_the_same(born_file):
    from_file = set_nac(salt(), born_file())
    np.testing.assert_allclose(from_file.charges, CUBIC["born"], atol=1e-12)
    correction = set_nac(salt(), CUBIC)
    assert correction.factor == pytest.approx(14.39965, abs=1e-5)
    assert correction.method == "wang"
    assert correction.charges_changed_by < 1e-12
    # A word in place of the factor stands for the right one, as in files that phonopy writes itself.
    assert (
        set_nac(salt(), born_file(BORN.replace("14.39965172592227", "# epsilon and Z* of atoms 1 2"))).factor
        == NAC_FACTOR
    )


def test_what_symmetry_and_sum_rule_change_is_told():
    noisy = isotropic(Z + 0.03, -Z)
    noisy[0, 0, 1] = 0.02
    correction = set_nac(salt(), {"born": noisy, "dielectric": np.diag([2.40, 2.41, 2.42])})
    assert correction.sum_rule_violation == pytest.approx(0.03)
    assert correction.charges_changed_by == pytest.approx(0.02)
    assert correction.dielectric_changed_by == pytest.approx(0.01)
    np.testing.assert_allclose(correction.charges, isotropic(Z + 0.015, -Z - 0.015), atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BORN + "0 0 0 0 0 0 0 0 0\n", "Too many atoms"),
        ("".join(BORN.splitlines(keepends=True)[:3]), "not enough"),
        ("".join(BORN.splitlines(keepends=True)[1:]), "line of the factor is missing"),
        ("".join(BORN.splitlines(keepends=True)[:2]) + "1.1 0 0\n", "incorrect"),
        ("NaCl\n1.0\n5.6 0 0\n", "no BORN file"),
        (BORN.replace("1.1 0 0 0", "one 0 0 0"), "no BORN file"),
        ("", "no BORN file"),
        (BORN.replace("14.39965172592227", "2.0"), "factor of the correction is 2.0"),
        (BORN.replace("-1.1", "-0.6"), "sum to 0.5 e"),
        (BORN.replace("2.4", "-2.4"), "not symmetric, or below 1"),
        (BORN.replace("2.4 0 0 0", "2.4 1 0 0"), "not symmetric, or below 1"),
        (
            BORN.replace("-1.1 0 0 0 -1.1 0", "-1.1 -0.5 0 0 -1.1 0").replace("\n1.1 0", "\n1.1 0.5"),
            "changes the Born charges",
        ),
        (BORN.replace("2.4", "nan"), "not finite"),
    ],
)
def test_files_that_are_not_the_charges_of_this_crystal_are_refused(born_file, text, message):
    with pytest.raises(InputError, match=message):
        read_correction(born_file(text), bulk("NaCl", "rocksalt", a=5.6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"born": isotropic(Z, -Z, 0)}, r"shape \(3, 3, 3\).*|give \(2, 3, 3\)"),
        ({"born": np.full((2, 3, 3), np.nan)}, "not finite"),
        ({"dielectric": np.eye(2)}, r"shape \(2, 2\)"),
        ({"factor": 27.2}, "factor of the correction is 27.2"),
        ({"factor": None}, "factor of the correction is None"),
        ({"method": "ewald"}, "'ewald' is unknown"),
        ({"borns": 1}, "unknown entry 'borns'"),
    ],
)
def test_parameters_that_phonopy_would_swallow_are_refused(change, message):
    phonopy = salt()
    with pytest.raises(InputError, match=message):
        set_nac(phonopy, {**CUBIC, **change})
    assert phonopy.nac_params is None
    with pytest.raises(InputError, match="have no 'dielectric'"):
        set_nac(phonopy, {"born": CUBIC["born"]})


def test_a_missing_file_and_a_file_of_bytes_are_named(tmp_path):
    with pytest.raises(InputError, match=r"the BORN file .* does not exist"):
        read_correction(tmp_path / "BORN", bulk("NaCl", "rocksalt", a=5.6))
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="no BORN file"):
        read_correction(tmp_path / "bytes", bulk("NaCl", "rocksalt", a=5.6))


@pytest.mark.parametrize("direction", [[[0, 0, 0]], [[1, 0]], [[np.inf, 0, 0]], []])
def test_directions_that_are_none_are_refused(direction):
    phonopy = salt()
    set_nac(phonopy, CUBIC)
    with pytest.raises(InputError, match="direction"):
        get_gamma_splitting(phonopy, direction)


def test_a_layer_has_no_such_correction():
    layer = Atoms(
        "BN", positions=[[0, 0, 0], [0, 1.45, 0]], cell=[[2.51, 0, 0], [-1.255, 2.174, 0], [0, 0, 15]], pbc=True
    )
    with pytest.raises(InputError, match="for a layer"):
        read_correction({"born": isotropic(2.7, -2.7), "dielectric": np.diag([1.8, 1.8, 1.2])}, layer)


def test_exact_routes_refuse_an_object_with_charges():
    phonopy, calc = salt(), PairCalculator(like=0.0)
    set_nac(phonopy, CUBIC)
    refused = "has Born charges, and the calculator has none"
    with pytest.raises(InputError, match=refused), exact_matrices(phonopy, calc):
        pass
    with pytest.raises(InputError, match=refused):
        checks(phonopy, lambda q, **how: calc.get_dynamical_matrix(bulk("NaCl", "rocksalt", a=5.6), q))


def test_the_section_prints_charges_and_every_direction(born_file, tmp_path):
    asked = typed("--born", str(born_file()), "--dipole-width", "0.12")
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    polar.check(asked, atoms)
    calc, because = charges.with_charges(PairCalculator(like=0.0), atoms, asked)
    phonopy = get_phonopy(atoms, calc, 2)
    bands = phonopy.run_band_structure([[[0, 0, 0], [0.25, 0, 0.25]]])
    qpoints = phonopy.run_qpoints([[0.1, 0.2, 0.3]])
    section = polar.compute(Context(asked, phonopy, calc, charges_because=because))
    assert phonopy.band_structure is bands
    assert phonopy.qpoints is qpoints  # the section does not start anything anew
    text = Table("")
    section.describe(text)
    printed = str(text)
    assert "Na +1.100  Cl -1.100" in printed
    assert all(f"at Γ, Γ–{name}" in printed for name in "XKL")
    assert "L = 0.12 1/Å" in printed
    assert "2 × 2 × 2" in printed
    found = section.summary()["gamma_directions"]
    assert len(found) == 3
    assert found[0]["frequencies_thz"][5] == pytest.approx(bands.frequencies[0][0].max())
    assert section.files() == ()


def test_the_section_refuses_what_cannot_be_combined(born_file):
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    polar.check(typed(), atoms)
    with pytest.raises(InputError, match=r"`nac_direction` is given for a crystal without charges \(as asked"):
        polar.check(typed("--nac-direction", "1", "0", "0", "--born", "none"), atoms)
    with pytest.raises(InputError, match=r"`dipole_width` is given for a crystal without charges \(13 electrons"):
        polar.check(typed("--dipole-width", "0.1"), bulk("Al"))
    with pytest.raises(InputError, match="the width of the window of dipoles is 9"):
        polar.check(typed("--born", str(born_file()), "--dipole-width", "9"), atoms)
    assert charges.with_charges(calc := PairCalculator(), atoms, typed())[0] is calc
    with pytest.raises(InputError, match="no BORN file of this crystal"):
        polar.check(typed("--born", str(born_file(BORN * 2))), atoms)


@pytest.mark.parametrize("method", ["wang", "gonze"])
def test_a_left_handed_cell_splits_like_a_right_handed_one(method):
    """phonopy divides by a volume that is negative there: LO came out below TO, or not split at all."""
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    mirrored = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell.array[[1, 0, 2]], pbc=True)
    found = []
    for cell, direction in ((atoms, [0.5, 0.1, 0.3]), (mirrored, [0.1, 0.5, 0.3])):
        phonopy = get_phonopy(cell, PairCalculator(like=0.0), 2)
        assert set_nac(phonopy, CUBIC, method).factor == NAC_FACTOR
        near = phonopy.run_qpoints([0.1 * np.array(direction)]).frequencies[0]
        found.append([*get_gamma_splitting(phonopy, [direction]).frequencies_thz[0], *near])
    np.testing.assert_allclose(squares(found[0][:6]), squares(found[1][:6]), atol=1e-6)
    np.testing.assert_allclose(found[0][6:], found[1][6:], atol=1e-6)
    assert found[1][5] > found[1][4] + 1


def test_chains_and_molecules_in_a_box_have_no_such_correction():
    molecule = Atoms("NaCl", [[7, 7, 6], [7, 7, 8.5]], cell=[14, 14, 14], pbc=True)
    chain = Atoms("NaCl", [[7, 7, 0], [7, 7, 2.5]], cell=[14, 14, 5], pbc=True)
    for atoms, word in ((molecule, "a molecule"), (chain, "a chain")):
        with pytest.raises(InputError, match=f"{word} in a box"):
            read_correction(CUBIC, atoms)


def test_charges_that_are_nothing_are_taken_and_params_go_in_a_circle():
    silicon = bulk("Si")
    noise = {"born": 1e-16 * np.arange(18.0).reshape(2, 3, 3), "dielectric": 12 * np.eye(3)}
    assert np.abs(read_correction(noise, silicon).charges).max() < 1e-12
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    mirrored = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell.array[[1, 0, 2]], pbc=True)
    params = read_correction(CUBIC, mirrored).params
    assert params["factor"] < 0  # phonopy's volume is negative there
    assert read_correction(params, mirrored).factor == NAC_FACTOR


@pytest.mark.parametrize(
    ("born", "message"),
    [
        (None, "the Born charges are None"),
        ({"born": [[1, 2], [3]], "dielectric": np.eye(3)}, "no array of numbers"),
        ({"born": isotropic(Z, -Z), "dielectric": 0.5 * np.eye(3)}, "below 1 along an axis"),
    ],
)
def test_what_cannot_be_charges_is_named(born, message):
    with pytest.raises(InputError, match=message):
        read_correction(born, bulk("NaCl", "rocksalt", a=5.6))


def test_a_path_that_does_not_touch_gamma_splits_nothing():
    phonopy = salt()
    set_nac(phonopy, CUBIC)
    found = get_gamma_splitting(phonopy, path="XW")
    assert found.names == ()
    assert found.frequencies_thz.shape == (0, 6)


def test_a_file_named_predict_is_not_taken_for_the_word(born_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    born_file().rename(tmp_path / "predict")
    with pytest.raises(InputError, match="a file of that name is here"):
        polar.check(typed("--born", "predict"), bulk("NaCl", "rocksalt", a=5.6))
