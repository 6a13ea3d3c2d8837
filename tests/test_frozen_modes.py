"""Crystals displaced along a mode: energies that the frequency predicts, symmetries that group theory predicts."""

import json

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.io import read

from ase_phonax.base.errors import InputError, RelaxationError, UnstableWarning
from ase_phonax.cli.tables import Table
from ase_phonax.phonons.instabilities.directions import special_directions
from ase_phonax.phonons.instabilities.frozen import follow_mode, mode_pattern, scan_mode
from ase_phonax.phonons.supercell.objects import build_phonopy, get_phonopy
from ase_phonax.phonons.symmetry.irreps import find_irreps
from ase_phonax.structures.commensurate_cells import commensurate_cell
from ase_phonax.structures.relaxation import relax
from ase_phonax.structures.space_groups import get_space_group
from ase_phonax.studies.section import Context
from ase_phonax.studies.sections import instability

from .crystals import CRYSTALS
from .pair_potential import PairCalculator
from .typed import typed

# Said as it should be, and asserted in two tests; in the others the scan ends on purpose while the energy falls.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The energy along mode"),
    pytest.mark.filterwarnings("ignore:The relaxation took the structure"),
    pytest.mark.filterwarnings("ignore:The volume changed"),
]

CALC, METAL = PairCalculator(like=0.0), PairCalculator()
R_CORNER = (0.5, 0.5, 0.5)


def perovskite(a: float = 3.9) -> Atoms:
    sites = [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Atoms("CaTiO3", scaled_positions=sites, cell=[a] * 3, pbc=True)


@pytest.fixture(scope="module")
def tilting():
    """A perovskite whose octahedra tilt: R25 and M3 are imaginary."""
    return get_phonopy(perovskite(), CALC, 2)


@pytest.fixture(scope="module")
def simple_cubic():
    """A simple cubic metal at its own lattice constant: unstable towards bcc."""
    atoms, _ = relax(bulk("Cu", "sc", 2.6), METAL)
    return get_phonopy(atoms, METAL, 2)


# ---- the pattern -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("qpoint", "mode"),
    [
        ((0.5, 0.5, 0.5), 1),
        ((0.5, 0.5, 0.5), 2),
        ((0.5, 0.5, 0), 1),
        ((0, 0, 0), 4),
        ((0, 0, 0.25), 4),
        ((1 / 3, 1 / 3, 0), 2),
        ((0.25, 0.5, 0), 15),
        ((-0.5, 1, 0.5), 3),
    ],
    ids=str,
)
def test_the_energy_at_small_amplitude_is_half_omega_squared_q_squared(tilting, qpoint, mode):
    """Sign included. Kills wrong phases, masses, normalisation and modes that mix: each changes the curvature."""
    scan = scan_mode(tilting, CALC, qpoint, mode, [-2e-3, 2e-3])
    pattern = scan.pattern
    assert np.linalg.norm(pattern.displacements, axis=1).max() == pytest.approx(1)
    # Fourth order is 1e-4 of the second at 2e-3 Å; rounding of energies of 100 eV is 1e-14 / 1e-6.
    measured = (scan.energies[0] + scan.energies[-1]) / 2e-3**2
    assert measured == pytest.approx(pattern.curvature, rel=2e-4)
    assert np.sign(measured) == np.sign(pattern.frequency_thz)


def test_patterns_of_a_crystal_without_symmetry_have_the_right_curvature():
    """Complex waves, no inversion: the conjugate phase would not be an eigenvector."""
    atoms = CRYSTALS["triclinic, no symmetry"][0]
    phonopy = get_phonopy(atoms, CALC, 1)
    for mode in (2, 7):
        scan = scan_mode(phonopy, CALC, (1 / 3, 0, -0.25), mode, [-1e-3, 1e-3])
        assert scan.pattern.n_cells == 12
        assert not scan.pattern.reversible or scan.energies[0] == pytest.approx(scan.energies[-1], abs=1e-9)
        measured = (scan.energies[0] + scan.energies[-1]) / 1e-3**2
        assert measured == pytest.approx(scan.pattern.curvature, rel=1e-3)


def test_patterns_equal_phonopys_modulations(tilting):
    pattern = mode_pattern(tilting, CALC, (0.5, 0.5, 0), 1)
    modulation = tilting.run_modulations(pattern.supercell_matrix.T, [[[0.5, 0.5, 0], 0, 1.0, 0.0]])
    theirs, positions = modulation.modulations[0].real, pattern.undistorted.get_scaled_positions()
    theirs = theirs / np.linalg.norm(theirs, axis=1).max()
    ours = np.empty_like(theirs)
    for i, where in enumerate(modulation.supercell.scaled_positions):
        difference = positions - where
        ours[i] = pattern.displacements[np.argmin(np.abs(difference - np.rint(difference)).max(axis=1))]
    np.testing.assert_allclose(np.sign(np.sum(ours * theirs)) * theirs, ours, atol=1e-8)


def test_degenerate_modes_are_followed_along_the_directions_of_the_published_tilts(tilting):
    """R25 of a perovskite: a0a0c-, a-a-a-, a0b-b- (Howard and Stokes, Acta Cryst. B 54, 782 (1998)).

    Kills eigenvectors as a program returns them: an arbitrary mixture has P-1.
    """
    groups = [get_space_group(mode_pattern(tilting, CALC, R_CORNER, mode).displaced(0.1), 1e-3) for mode in (1, 2, 3)]
    assert [group.international for group in groups] == ["I4/mcm", "R-3c", "Imma"]
    tilt = mode_pattern(tilting, CALC, (0.5, 0.5, 0), 1).displaced(0.1)
    assert get_space_group(tilt, 1e-3).international == "P4/mbm"  # a0a0c+


def test_a_polar_mode_is_followed_along_the_axes_of_ferroelectrics(tilting):
    groups = [get_space_group(mode_pattern(tilting, CALC, (0, 0, 0), 12 + k).displaced(0.1), 1e-3) for k in (1, 2, 3)]
    assert [group.international for group in groups] == ["P4mm", "R3m", "Amm2"]


def test_special_directions_of_known_groups():
    """C3v on E: one direction and its negative differ; C4v on E: axes and diagonals."""

    def turn(angle):
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    mirror = np.diag([1.0, -1.0])
    three = np.array([m for k in range(3) for m in (turn(2 * np.pi * k / 3), turn(2 * np.pi * k / 3) @ mirror)])
    first, second = special_directions(three)
    assert (first.n_operations, first.reversible, second.n_operations) == (2, False, 1)
    assert second.reversible
    four = np.array([m for k in range(4) for m in (turn(np.pi * k / 2), turn(np.pi * k / 2) @ mirror)])
    first, second = special_directions(four)
    assert (first.n_operations, first.reversible, second.n_operations) == (2, True, 2)
    assert abs(first.vector @ second.vector) == pytest.approx(0.5**0.5)


@pytest.mark.parametrize(
    ("qpoint", "n_cells"),
    [
        ((0, 0, 0), 1),
        ((0.5, 0.5, 0.5), 2),
        ((1 / 3, 1 / 3, 0), 3),
        ((0.25, 0.5, 0), 4),
        ((0.3333, -0.6667, 0.5), 6),
        ((1 / 12, 1 / 7, 0), 84),
        ((2, 0.5, -1), 2),
    ],
    ids=str,
)
def test_the_smallest_cell_holds_the_wave_and_has_the_fewest_cells(qpoint, n_cells):
    cell = np.array([[3.1, 0.2, 0], [0.4, 3.6, -0.2], [0.2, 0.5, 3.8]])
    rows = commensurate_cell(qpoint, cell)
    assert round(np.linalg.det(rows)) == n_cells
    phases = rows @ np.asarray(qpoint)
    np.testing.assert_allclose(phases, np.rint(phases), atol=2e-3)


# ---- where it leads --------------------------------------------------------------------------------


def test_simple_cubic_copper_falls_into_body_centred(simple_cubic):
    """The end of the M mode is known: bcc at its own lattice constant, found here from another side."""
    followed = follow_mode(simple_cubic, METAL, (0.5, 0.5, 0), 1)
    assert followed.report.space_group_after.international == "Im-3m"
    body_centred, _ = relax(bulk("Cu", "bcc", 2.7), METAL)
    gain = body_centred.get_potential_energy() - simple_cubic_energy(simple_cubic)
    assert gain < 0
    assert followed.energy_gain == pytest.approx(gain, abs=1e-5)
    assert followed.scan.energies.min() < 0


def simple_cubic_energy(phonopy) -> float:
    atoms = Atoms("Cu", cell=phonopy.primitive.cell, pbc=True)
    atoms.calc = METAL
    return atoms.get_potential_energy()


def test_the_relaxed_structure_keeps_the_symmetry_of_the_displaced_one():
    atoms, _ = relax(perovskite(5.5), CALC)
    followed = follow_mode(get_phonopy(atoms, CALC, 2), CALC, (0.5, 0.5, 0), 1, [0.2, 0.4], fix_cell=True)
    assert followed.report.space_group_after.international == "P4/mbm"
    assert followed.report.max_force < 1e-4
    assert followed.energy_gain * followed.scan.pattern.n_cells < followed.scan.energies.min() < 0
    np.testing.assert_allclose(followed.relaxed.cell[:], followed.scan.pattern.undistorted.cell[:])


def test_a_stable_mode_is_followed_as_well_and_leads_back():
    phonopy = get_phonopy(bulk("CsCl", "cesiumchloride", 3.5), CALC, 2)
    followed = follow_mode(phonopy, CALC, R_CORNER, 1, [0.05], fix_cell=True)
    assert followed.scan.pattern.frequency_thz > 0
    assert followed.scan.energies.max() > 0
    assert followed.energy_gain == pytest.approx(0, abs=1e-6)


def test_both_signs_are_scanned_where_no_symmetry_makes_them_one(tilting):
    assert scan_mode(tilting, CALC, R_CORNER, 1).amplitudes.min() == 0
    polar = get_phonopy(bulk("SiC", "wurtzite", 3.1, 5.0), CALC, 1)
    names = find_irreps(polar).sets
    mode = next(found.modes[0] for found in names if found.label == "A1" and not found.acoustic)
    scan = scan_mode(polar, CALC, (0, 0, 0), mode)
    assert not scan.pattern.reversible
    np.testing.assert_allclose(scan.amplitudes, -scan.amplitudes[::-1])
    assert np.abs(scan.energies - scan.energies[::-1]).max() > 0.01


# ---- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("qpoint", "mode", "text"),
    [
        (R_CORNER, 16, "there is no mode 16: at each wave vector there are 15"),
        (R_CORNER, 0, "there is no mode 0"),
        (R_CORNER, 1.5, "there is no mode 1.5"),
        (R_CORNER, float("nan"), "there is no mode nan"),
        ((0.5, 0.5), 1, "not three finite numbers"),
        ((0.5, np.inf, 0), 1, "not three finite numbers"),
        ((0.1234, 0, 0), 1, r"denominators up to 12, the largest tried[\s\S]*nearby, such as"),
        ((1 / 12, 1 / 11, 1 / 7), 1, "has 4620 atoms"),
    ],
    ids=str,
)
def test_modes_that_cannot_be_followed_are_refused(tilting, qpoint, mode, text):
    with pytest.raises(InputError, match=text):
        mode_pattern(tilting, CALC, qpoint, mode)


@pytest.mark.parametrize("amplitudes", [[0.0], [np.nan, 0.1], [9.0], []], ids=str)
def test_amplitudes_that_are_none_are_refused(tilting, amplitudes):
    with pytest.raises(InputError, match="are not displacements up to 5 Å"):
        scan_mode(tilting, CALC, R_CORNER, 1, amplitudes)


def test_an_empty_object_is_refused():
    with pytest.raises(InputError, match="no force constants"):
        mode_pattern(build_phonopy(perovskite(), 1), CALC, R_CORNER, 1)


# ---- the section of the command --------------------------------------------------------------------


def test_the_section_lists_imaginary_modes_and_how_to_follow_them(tilting, tmp_path):
    section = instability.compute(Context(typed("--no-relax"), tilting, CALC))
    text = Table("title")
    section.describe(text)
    assert "imaginary modes (THz; degeneracy in parentheses)" in str(text)
    assert "at R                  -13.183  T2u  mode 1–3 (3) at q = (0.5, 0.5, 0.5)" in str(text)
    assert "--follow 0.5 0.5 0.5 1" in str(text)
    section.write(tmp_path)
    assert section.files() == ("imaginary_modes.yaml",)
    first = yaml.safe_load((tmp_path / "imaginary_modes.yaml").read_text())["imaginary_modes"][0]
    assert np.shape(first["eigenvectors"]) == (3, 5, 3, 2)
    assert np.sum(np.square(first["eigenvectors"])) == pytest.approx(3)
    assert json.loads(json.dumps(section.summary()))["imaginary"][1]["label"] == "B1g"


def test_the_section_says_nothing_of_a_stable_crystal():
    phonopy = get_phonopy(bulk("CsCl", "cesiumchloride", 3.5), CALC, 2)
    section = instability.compute(Context(typed("--no-relax"), phonopy, CALC))
    text = Table("title")
    section.describe(text)
    assert (str(text), section.files(), section.summary()) == ("title", (), {"imaginary": []})


def test_the_section_writes_the_scan_and_the_relaxed_structure(simple_cubic, tmp_path):
    settings = typed("--follow", "0.5", "0.5", "0", "1", "--amplitudes", "0.3", "0.6", "--unit", "cm-1")
    with pytest.warns(UnstableWarning) as warned:
        section = instability.compute(Context(settings, simple_cubic, METAL))
    assert any("still falls at the largest amplitude, 0.6 Å" in str(w.message) for w in warned)
    text = Table("title")
    section.describe(text)
    assert "along mode 1 at q = (0.5, 0.5, 0)" in str(text)
    assert "cm⁻¹, imaginary" in str(text)
    assert "P4/nmm (129) while displaced" in str(text)
    assert "Im-3m (229), -7" in str(text)
    section.write(tmp_path)
    assert section.files() == ("imaginary_modes.yaml", "follow_scan.extxyz", "follow_relaxed.extxyz")
    frames = read(tmp_path / "follow_scan.extxyz", ":")
    assert [frame.info["amplitude"] for frame in frames] == [0, 0.3, 0.6]
    energies = np.array([frame.get_potential_energy() for frame in frames])
    np.testing.assert_allclose(energies - energies[0], section.scan.energies, atol=1e-6)
    relaxed = read(tmp_path / "follow_relaxed.extxyz")
    assert relaxed.get_potential_energy() - energies[0] == pytest.approx(
        2 * section.summary()["follow"]["energy_gain_ev_per_cell"], abs=1e-6
    )


def test_a_relaxation_that_fails_keeps_the_scan(simple_cubic, monkeypatch):
    def fail(*args, **kwargs):
        raise RelaxationError("no way down", "", "")

    monkeypatch.setattr("ase_phonax.phonons.instabilities.frozen.relax", fail)
    settings = typed("--follow", "0.5", "0.5", "0", "1", "--amplitudes", "0.1", "--no-relax")
    section = instability.compute(Context(settings, simple_cubic, METAL))
    text = Table("title")
    section.describe(text)
    assert "FAILED: no way down" in str(text)
    assert "follow_relaxed.extxyz" not in section.files()
    assert section.summary()["follow"]["relaxation_failure"] == "no way down"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--follow", "0.5", "0.5", "0.5", "16"), "there is no mode 16"),
        (("--follow", "nan", "0.5", "0.5", "1"), "not three finite numbers"),
        (("--follow", "0.1234", "0.5", "0.5", "1"), "the largest tried"),
        (("--follow", "0.5", "0.5", "0.5", "1", "--amplitudes", "0"), "all are zero"),
        (("--amplitudes", "0.1"), "`amplitudes` was given without `follow`"),
    ],
)
def test_the_section_refuses_before_anything_is_computed(words, text):
    with pytest.raises(InputError, match=text):
        instability.check(typed(*words), perovskite())
