"""Crystals in infrared light: strengths of modes, the dielectric function, what is written and drawn."""

import csv

import numpy as np
import pytest
import yaml
from ase.build import bulk

from ase_phonax import PhonaxCalculator, PolarCalculator, draw_infrared, get_infrared_response
from ase_phonax.base.errors import InputError
from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.phonons.polar import NAC_FACTOR
from ase_phonax.phonons.polar.infrared import InfraredResponse, PolarMode, write_dielectric_function, write_infrared

from .crystals import CRYSTALS
from .pair_potential import PairCalculator
from .test_dipoles import charges_by_site
from .test_polar import CUBIC, uniaxial

SALT = bulk("NaCl", "rocksalt", a=5.6)


@pytest.fixture(scope="module")
def turned():
    """A uniaxial crystal turned off the axes of space, with a potential that keeps it stable."""
    atoms, born = uniaxial()
    polar = PolarCalculator(PairCalculator(like=0.0), atoms, born, 0.2)
    return atoms, polar, get_infrared_response(polar, atoms)


def test_zeros_of_the_dielectric_function_are_the_longitudinal_frequencies(turned):
    atoms, polar, response = turned
    for direction in ([0.5, 0.1, 0.3], [0.0, 0.0, 1.0], [1.0, -1.0, 0.2]):
        frequencies = frequencies_thz(polar.get_dynamical_matrix(atoms, [0, 0, 0], direction=direction))[0]
        unit = np.asarray(direction) @ np.linalg.inv(atoms.cell.array).T
        unit /= np.linalg.norm(unit)
        transverse = [mode.frequency_thz for mode in response.modes]
        # Modes that the direction leaves transverse are poles or dark; all others are zeros.
        mixed = [f for f in frequencies[3:] if min(abs(f - t) for t in transverse) > 1e-6]
        along = np.einsum("a,nab,b->n", unit, response.dielectric(mixed, 0.0), unit)
        np.testing.assert_allclose(along, 0, atol=1e-6)
        assert len(mixed) == (1 if direction[:2] == [0.0, 0.0] else 2)


def test_the_static_tensor_is_that_of_the_force_constants_without_any_mode(turned):
    """eps_0 = eps_inf + 4 pi F / V Z Phi^+ Z^T, by the pseudo-inverse of the constants at Gamma."""
    atoms, polar, response = turned
    roots = np.repeat(np.sqrt(atoms.get_masses()), 3)
    constants = polar.get_dynamical_matrix(atoms, [0, 0, 0])[0].real * np.outer(roots, roots)
    z = polar.correction.charges.transpose(1, 0, 2).reshape(3, -1)
    expected = (
        polar.correction.dielectric
        + 4 * np.pi * NAC_FACTOR / atoms.cell.volume * z @ np.linalg.pinv(constants, rcond=1e-9) @ z.T
    )
    np.testing.assert_allclose(response.static, expected, rtol=1e-6)  # phonopy's unit of frequency: 1e-7
    # Principal axes are those of the crystal, not of space.
    off = response.axes @ expected @ response.axes.T
    assert np.abs(off - np.diag(np.diag(off))).max() < 1e-9 * np.abs(off).max()
    assert np.abs(expected - np.diag(np.diag(expected))).max() > 0.1


def test_strengths_add_up_to_charges_over_masses_and_absorption_to_strengths():
    for name in ("quartz, chiral", "monoclinic"):
        atoms = CRYSTALS[name][0]
        polar = PolarCalculator(PairCalculator(), atoms, charges_by_site(atoms), 0.2)
        response = get_infrared_response(polar, atoms)
        total = sum(mode.strength for mode in response.modes)
        expected = sum(z @ z.T / m for z, m in zip(polar.correction.charges, atoms.get_masses(), strict=True))
        np.testing.assert_allclose(total, expected, atol=1e-7 * np.abs(expected).max())
    mode = PolarMode((4,), 5.0, np.diag([1.0, 0.5, 0.0]))
    response = InfraredResponse((mode,), 3 * np.eye(3), 40.0, 0.2, np.eye(3))
    f = np.linspace(0, 400, 400_001)
    absorbed = response.dielectric(f)[:, 0, 0].imag
    assert absorbed.min() >= 0
    # The sum rule of oscillators: the integral of f Im eps is pi/2 times the strength, whatever the damping.
    assert np.trapezoid(f * absorbed, f) == pytest.approx(np.pi / 2 * 40.0, rel=1e-3)


def test_lyddane_sachs_teller_and_reststrahlen_of_a_cubic_salt():
    polar = PolarCalculator(PairCalculator(like=0.0), SALT, CUBIC, 0.15)
    response = get_infrared_response(polar, SALT, damping_thz=0.0)
    assert [mode.modes for mode in response.modes] == [(4, 5, 6)]
    to = response.modes[0].frequency_thz
    lo = frequencies_thz(polar.get_dynamical_matrix(SALT, [0, 0, 0], direction=[1, 0, 0]))[0, -1]
    np.testing.assert_allclose(response.static, CUBIC["dielectric"] * (lo / to) ** 2, rtol=1e-9, atol=1e-9)
    between = np.linspace(to, lo, 12)[1:-1]
    np.testing.assert_allclose(response.reflectivity(between), 1.0, atol=1e-9)  # light cannot enter
    assert response.reflectivity([1.2 * lo]).max() < 0.2
    np.testing.assert_array_equal(response.axes, np.eye(3))


def test_an_unstable_crystal_has_no_static_tensor():
    mode = PolarMode((4, 5), -2.0, np.diag([1.0, 1.0, 0.0]))
    response = InfraredResponse((mode,), 3 * np.eye(3), 40.0, 0.2, np.eye(3))
    assert response.static is None
    assert not response.is_stable


def test_files_hold_what_was_computed_and_the_picture_shows_each_axis_once(turned, tmp_path):
    _, _, response = turned
    write_infrared(response, tmp_path / "infrared.yaml", ["A2u", "Eu"])
    read = yaml.safe_load((tmp_path / "infrared.yaml").read_text())
    np.testing.assert_allclose(read["static_dielectric_tensor"], response.static, atol=1e-7)
    assert [mode["ir_label"] for mode in read["modes"]] == ["A2u", "Eu"]
    assert [len(mode["band_indices"]) for mode in read["modes"]] == [len(mode.modes) for mode in response.modes]
    write_dielectric_function(response, tmp_path / "infrared.csv")
    rows = list(csv.reader((tmp_path / "infrared.csv").read_text().splitlines()))
    assert rows[0][:6] == ["frequency (THz)", "wavenumber (1/cm)", "Re eps 1", "Im eps 1", "reflectivity 1", "loss 1"]
    values = np.array(rows[1:], float)
    eps = response.along_axes(values[:, 0])
    np.testing.assert_allclose(
        values[:, 2] + 1j * values[:, 3], eps[:, 0], rtol=1e-4
    )  # eight digits of a frequency on a sharp line
    np.testing.assert_allclose(values[:, 5], -(1 / eps[:, 0]).imag, rtol=1e-4, atol=1e-7)
    above = draw_infrared(response).axes[0]
    named = [text.get_text() for text in above.get_legend().get_texts()]
    assert len(named) == 2  # two axes are alike
    assert sum(words.count("(") == 2 for words in named) == 1


def test_dampings_that_are_none_are_refused():
    polar = PolarCalculator(PhonaxCalculator("phonax-small"), SALT, CUBIC)
    for damping in (-0.1, np.inf, "0.1"):
        with pytest.raises(InputError, match="the damping is"):
            get_infrared_response(polar, SALT, damping)
