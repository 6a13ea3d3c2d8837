"""Textbook formulas of a density of states, on densities whose answers are known."""

import numpy as np
import pytest
from ase import units

from ase_phonax import debye_temperature, kinetic_conductivity, spectral_overlap, superconductivity
from ase_phonax.base.errors import InputError
from ase_phonax.phonons.densities.formulas import debye_heat_capacity

GRID = np.linspace(0, 20, 4001)
KELVIN_PER_THZ = 1e12 * units._hplanck / units._k


def debye(cutoff: float) -> np.ndarray:
    """Three modes below a frequency, as its square."""
    density = np.where(cutoff >= GRID, GRID**2, 0.0)
    return 3 * density / (density.sum() * GRID[1])


def einstein(frequency: float) -> np.ndarray:
    density = np.zeros_like(GRID)
    density[np.argmin(np.abs(GRID - frequency))] = 3 / GRID[1]
    return density


@pytest.mark.parametrize("temperature", [30, 100, 300])
def test_the_debye_temperature_of_debyes_density_is_its_cutoff_at_any_temperature(temperature):
    assert debye_temperature(GRID, debye(9.0), temperature) == pytest.approx(9 * KELVIN_PER_THZ, rel=2e-3)


def test_debyes_heat_capacity_has_its_limits():
    assert debye_heat_capacity(1e-2) == pytest.approx(1, abs=1e-4)
    assert debye_heat_capacity(50) == pytest.approx(4 * np.pi**4 / 5 / 50**3, rel=1e-6)  # T³


def test_a_temperature_that_says_nothing_is_refused():
    with pytest.raises(InputError, match="of that at high temperature"):
        debye_temperature(GRID, debye(9.0), 1e5)


def test_kinetic_theory_of_silicon():
    # 19.8 J/K/mol, 20.0 Å³, 6400 m/s and 43 nm (textbook numbers) are of the order of 150 W/m/K.
    found = kinetic_conductivity(19.8, 20.0, 6400, 43)
    assert found == pytest.approx(19.8 / 6.02214e23 / 20e-30 * 6400 * 43e-9 / 3, rel=1e-5)
    assert found == pytest.approx(150, rel=0.1)
    with pytest.raises(InputError, match="kinetic theory multiplies"):
        kinetic_conductivity(19.8, 20.0, -1, 43)


def test_overlaps_of_equal_and_of_separate_densities():
    cosine, shared = spectral_overlap(GRID, debye(9.0), debye(9.0), 1000)
    assert cosine == pytest.approx(1)
    assert shared == pytest.approx(3 * units._k * units._Nav, rel=0.02)
    assert spectral_overlap(GRID, einstein(3), einstein(7)) == (0, 0)


def test_couplings_of_one_frequency_are_exact():
    coupling, logarithmic, critical = superconductivity(GRID, einstein(5.0), alpha_squared=0.8)
    assert coupling == pytest.approx(2 * 0.8 * 3 / 5)
    assert logarithmic == pytest.approx(5.0)
    lam = coupling
    expected = 5 * KELVIN_PER_THZ / 1.2 * np.exp(-1.04 * (1 + lam) / (lam - 0.1 * (1 + 0.62 * lam)))
    assert critical == pytest.approx(expected)
    # Weak coupling loses against the repulsion; a heavier metal has a lower T_c for the same coupling constant.
    assert superconductivity(GRID, einstein(5.0), alpha_squared=0.01)[2] == 0
    heavy = superconductivity(GRID, einstein(2.5), alpha_squared=0.4)
    assert heavy[0] == pytest.approx(lam)
    assert heavy[2] == pytest.approx(expected / 2)


@pytest.mark.parametrize(("alpha", "mu"), [(0, 0.1), (-1, 0.1), (np.nan, 0.1), (1, 1.5), (1, -0.1)])
def test_couplings_that_are_none_are_refused(alpha, mu):
    with pytest.raises(InputError, match="both come from elsewhere"):
        superconductivity(GRID, debye(9.0), alpha, mu)
