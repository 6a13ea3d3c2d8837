"""Modes that move: waves of the right direction, the right masses, in cells they fit."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.cell import Cell
from ase.io import read

from ase_phonax.base.errors import InputError
from ase_phonax.base.units import THZ_PER_SQRT_EV_A2_AMU
from ase_phonax.cli.tables import Table
from ase_phonax.phonons.motion import animations
from ase_phonax.phonons.motion.animations import animate, checked_qpoint, largest_displacement, modulate, write_v_sim
from ase_phonax.phonons.supercell.objects import get_phonopy
from ase_phonax.studies.section import Context
from ase_phonax.studies.sections import animation as animation_section

from .pair_potential import PairCalculator
from .typed import typed


@pytest.fixture(scope="module")
def calc() -> PairCalculator:
    return PairCalculator(like=0.0)


@pytest.fixture(scope="module")
def polar(calc):
    """Four atoms without symmetry: a conjugate eigenvector has nowhere to hide."""
    sites = [[0.02, 0.01, 0.97], [0.47, 0.41, 0.52], [0.92, 0.48, 0.12], [0.42, 0.05, 0.88]]
    atoms = Atoms("GaOGaO", scaled_positions=sites, cell=Cell.fromcellpar([3.9, 4.6, 5.3, 81, 97, 113]), pbc=True)
    return get_phonopy(atoms, calc, [3, 3, 2])


@pytest.fixture(scope="module")
def rocksalt(calc):
    return get_phonopy(bulk("NaCl", "rocksalt", a=5.65), calc, 2)


@pytest.mark.parametrize("mode", [4, 9, 12])
@pytest.mark.parametrize("qpoint", [(1 / 3, 0, 0), (1 / 3, -1 / 3, 1 / 2), (0, 0, 0.5)])
def test_every_frame_obeys_newton(polar, calc, qpoint, mode):
    """m d²u/dt² = F(u), with forces of the potential itself in the cell drawn; phonopy is not asked.

    Kills displacements without 1/sqrt(m), eigenvectors of -q, phases of cells that are not those of positions.
    """
    found = animate(polar, qpoint, mode, amplitude=1e-4, n_frames=5)
    rest = found.equilibrium.copy()
    residual = calc.get_forces(rest)
    for frame in found.frames():
        shift = frame.positions - rest.positions
        forces = calc.get_forces(frame) - residual
        expected = -((found.frequency_thz / THZ_PER_SQRT_EV_A2_AMU) ** 2) * rest.get_masses()[:, None] * shift
        expected *= np.sign(found.frequency_thz)
        np.testing.assert_allclose(forces, expected, atol=2e-3 * np.abs(forces).max())


def test_the_wave_travels_along_q(polar):
    """What an atom does now, its image one cell further along does a third of a period later."""
    found = animate(polar, (1 / 3, 0, 0), 7, n_frames=3)
    frames = [frame.positions - found.equilibrium.positions for frame in found.frames()]
    places = found.equilibrium.get_scaled_positions() * [3, 1, 1]
    home = np.flatnonzero(places[:, 0] < 1)
    following = [int(np.argmin(np.linalg.norm(places - (places[i] + [1, 0, 0]), axis=1))) for i in home]
    np.testing.assert_allclose(frames[1][following], frames[0][home], atol=1e-6)
    np.testing.assert_allclose(frames[2][following], frames[1][home], atol=1e-6)
    assert np.abs(frames[2][following] - frames[0][home]).max() > 0.05


@pytest.mark.parametrize(("qpoint", "mode"), [((1 / 3, 1 / 3, 0), 5), ((0, 0, 0), 10), ((0.5, 0, 0.5), 12)])
def test_the_amplitude_is_the_farthest_an_atom_goes(polar, qpoint, mode):
    found = animate(polar, qpoint, mode, amplitude=0.25, n_frames=720)
    distances = [np.linalg.norm(f.positions - found.equilibrium.positions, axis=1).max() for f in found.frames()]
    assert max(distances) == pytest.approx(0.25, rel=1e-4)
    circle = np.array([[1, 1j, 0]])  # always one away from rest
    assert largest_displacement(circle) == pytest.approx(1.0)
    assert largest_displacement(np.array([[3 + 4j, 0, 0]])) == pytest.approx(5.0)


def test_optical_modes_keep_the_centre_of_mass_and_acoustic_ones_the_shape(rocksalt):
    masses = rocksalt.primitive.masses[:, None]
    for mode in (1, 2, 3):
        shift = animate(rocksalt, (0, 0, 0), mode).displacements
        np.testing.assert_allclose(shift[0], shift[1], atol=1e-8)
    for mode in (4, 5, 6):
        shift = animate(rocksalt, (0, 0, 0), mode).displacements
        assert np.abs((masses * shift).sum(axis=0)).max() < 1e-9
        assert np.abs(shift).max() == pytest.approx(animations.AMPLITUDE, rel=0.8)


def test_the_cell_drawn_is_the_smallest_that_holds_whole_waves(rocksalt):
    for qpoint, cells in (((0, 0, 0), 1), ((0.5, 0.5, 0), 4), ((0.33333, 0, 0.25), 12), ((1.5, 0, 0), 2)):
        assert len(animate(rocksalt, qpoint, 1).equilibrium) == 2 * cells
    assert len(animate(rocksalt, (0.5, 0, 0), 1, cells=(4, 1, 2)).equilibrium) == 16
    assert [str(x) for x in checked_qpoint([0.66667, -0.125, 1.0])] == ["2/3", "-1/8", "1"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (((0, 0, 0), 7), "there is no mode 7[\\s\\S]*has 6 modes"),
        (((0, 0, 0), 0), "there is no mode 0"),
        (((0.1234, 0, 0), 1), "fits no cell of up to 60"),
        (((np.nan, 0, 0), 1), "not three numbers"),
        (((0, 0), 1), "not three numbers"),
    ],
)
def test_modes_that_are_none_are_refused(rocksalt, arguments, text):
    with pytest.raises(InputError, match=text):
        animate(rocksalt, *arguments)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"amplitude": 0.0}, "amplitude 0 Å"),
        ({"amplitude": np.nan}, "amplitude nan Å"),
        ({"n_frames": 1}, "1 frames"),
        ({"cells": (3, 1, 1)}, r"3 x 1 x 1 cells do not hold whole waves of q = \(1/2, 0, 0\)"),
        ({"cells": (200, 100, 10)}, "have 400000 atoms"),
    ],
)
def test_pictures_that_are_none_are_refused(rocksalt, options, text):
    with pytest.raises(InputError, match=text):
        animate(rocksalt, (0.5, 0, 0), 1, **options)


def test_modes_frozen_in_add_up_and_turn_round_with_the_phase(polar):
    one = ((1 / 3, 0, 0), 6, 0.2, 0.0)
    two = ((0, 0.5, 0), 9, 0.1, 90.0)
    rest = modulate(polar, [(one[0], 6, 1e-12, 0.0), (two[0], 9, 1e-12, 0.0)])[0]
    shifts = [modulate(polar, modes, cells=(3, 2, 1))[0].positions - rest.positions for modes in ([one], [two])]
    both, found = modulate(polar, [one, two])
    assert len(both) == 4 * 6
    np.testing.assert_allclose(both.positions - rest.positions, shifts[0] + shifts[1], atol=1e-9)
    assert largest_displacement(found.modulations[0]) == pytest.approx(0.2)
    back = modulate(polar, [(one[0], 6, 0.2, 180.0)], cells=(3, 2, 1))[0]
    np.testing.assert_allclose(back.positions - rest.positions, -shifts[0], atol=1e-9)
    with pytest.raises(InputError, match="no modes are given"):
        modulate(polar, [])
    with pytest.raises(InputError, match="phase nan"):
        modulate(polar, [(one[0], 6, 0.2, np.nan)])


def test_the_v_sim_file_holds_all_modes_and_nothing_is_left_in_the_object(rocksalt, tmp_path):
    animate(rocksalt, (0.5, 0.5, 0), 1)
    assert rocksalt.modulation is None
    write_v_sim(rocksalt, (0.5, 0.5, 0), tmp_path / "modes.ascii")
    lines = (tmp_path / "modes.ascii").read_text().splitlines()
    heads = [line for line in lines if line.startswith("#metaData: qpt=")]
    frequencies = rocksalt.run_qpoints([[0.5, 0.5, 0]]).frequencies[0]
    assert len(heads) == 6
    np.testing.assert_allclose([float(h.split(";")[3].split()[0]) for h in heads], frequencies, atol=1e-6)


# ---- as a section of `phonons` ---------------------------------------------------------------------


def section(phonopy, *words):
    settings = typed(*words)
    atoms = Atoms(phonopy.primitive.symbols, cell=phonopy.primitive.cell, pbc=True)
    animation_section.check(settings, atoms)
    return animation_section.compute(Context(settings, phonopy))


def test_nothing_asked_for_is_nothing_found(rocksalt):
    assert section(rocksalt) is None


def test_defaults_of_the_section_are_those_of_the_library():
    assert (animation_section.AMPLITUDE, animation_section.FRAMES) == (animations.AMPLITUDE, animations.FRAMES)


def test_the_section_writes_what_it_announces(rocksalt, tmp_path):
    found = section(
        rocksalt,
        *("--animate", "0", "0", "0", "4", "6", "--animate", "1/2", "1/2", "0", "1", "--animation-frames", "6"),
        *("--modulate", "1/2", "0", "0", "2", "0.1", "0"),
    )
    found.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(found.files())
    assert "animation_q_0.5_0.5_0_mode1.extxyz" in found.files()
    assert len(found.files()) == 3 + 2 + 2
    frames = read(tmp_path / "animation_q_0_0_0_mode4.extxyz", ":")
    assert len(frames) == 6
    assert frames[1].info["phase"] == pytest.approx(1 / 6)
    summary = json.loads(json.dumps(found.summary()))
    assert summary["animations"][2]["n_atoms"] == 8
    assert len(read(tmp_path / "modulated.extxyz")) == summary["modulated_n_atoms"] == 4
    text = Table("")
    found.describe(text)
    assert "at q = (0.5, 0.5, 0): " in str(text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--animate", "0", "0", "0"), "is not a wave vector and modes"),
        (("--animate", "0", "0", "0", "1.5"), "is not a wave vector and modes"),
        (("--animate", "0", "0", "0", "9"), "there is no mode 9"),
        (("--animate", "0.1234", "0", "0", "1"), "fits no cell"),
        (("--animation-frames", "0"), "0 frames"),
        (("--animate", "1/2", "0", "0", "1", "--animation-cells", "3", "1", "1"), "do not hold whole waves"),
        (("--modulate", "0", "0", "0", "8", "0.1", "0"), "there is no mode 8"),
        (("--modulate", "0", "0", "0", "1.5", "0.1", "0"), r"there is no mode 1\.5"),
        (("--modulate", "0", "0", "0", "1", "-0.1", "0"), "amplitude -0.1"),
    ],
)
def test_bad_options_are_refused_before_anything_is_computed(rocksalt, words, text):
    with pytest.raises(InputError, match=text):
        section(rocksalt, *words)


def test_numbers_that_are_none_are_refused_by_the_parser(rocksalt, capsys):
    with pytest.raises(SystemExit):
        section(rocksalt, "--animate", "1/0", "0", "0", "1")
    assert "neither a number nor a fraction" in capsys.readouterr().err
