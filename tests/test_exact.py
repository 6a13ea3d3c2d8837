"""phonopy on exact D(q), and velocities from its derivatives, against independent routes."""

import numpy as np
import pytest
from ase.build import bulk
from phonopy.harmonic import dynamical_matrix as harmonic

from ase_phonax import PhonaxCalculator, exact_matrices
from ase_phonax.base.errors import InputError
from ase_phonax.base.units import THZ_PER_SQRT_EV_A2_AMU
from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.phonons.bands.structure import get_band_structure
from ase_phonax.phonons.bands.velocities import get_group_velocities
from ase_phonax.phonons.sampling.heat import get_thermal_properties
from ase_phonax.phonons.sampling.meshes import get_mesh
from ase_phonax.phonons.supercell.constants import crystal_atoms
from ase_phonax.phonons.supercell.objects import get_phonopy

from .analytic import spring_potential
from .crystals import CRYSTALS

pytestmark = [pytest.mark.filterwarnings("ignore:The supercell keeps:ase_phonax.base.errors.UnstableWarning")]
GENERIC = np.array([[0.11, 0.23, -0.37], [0.31, -0.07, 0.19]])


@pytest.fixture(scope="module")
def calc(untrained):
    return PhonaxCalculator(untrained)


@pytest.fixture(scope="module")
def small(calc):
    """A crystal without inversion on a supercell far too small for its constants."""
    atoms, _ = CRYSTALS["wurtzite, polar"]
    return get_phonopy(atoms, calc, 1)


def test_everything_phonopy_runs_inside_is_exact_and_nothing_afterwards(small, calc):
    primitive = crystal_atoms(small.primitive)
    interpolated = small.run_qpoints(GENERIC).frequencies.copy()
    exact = frequencies_thz(calc.get_dynamical_matrix(primitive, GENERIC, symmetry=False))
    assert np.abs(interpolated - exact).max() > 0.1
    with exact_matrices(small, calc):
        assert np.abs(small.run_qpoints(GENERIC).frequencies - exact).max() < 1e-9
        bands = get_band_structure(small, "GMK", spacing=0.5)
        mesh = get_mesh(small, 8.0)
        irreps = small.run_irreps([0, 0, 0])
    for q, f in zip(bands.qpoints, bands.frequencies, strict=True):
        # Squares: frequencies near zero magnify rounding.
        expected = frequencies_thz(calc.get_dynamical_matrix(primitive, q, symmetry=False))
        assert np.abs(f**2 - expected**2).max() < 1e-9 * np.abs(expected).max() ** 2
    expected = frequencies_thz(calc.get_dynamical_matrix(primitive, mesh.qpoints, symmetry=False))
    assert np.abs(mesh.frequencies**2 - expected**2).max() < 1e-9 * np.abs(expected).max() ** 2
    assert (
        np.abs(irreps.frequencies**2 - frequencies_thz(calc.get_dynamical_matrix(primitive, np.zeros(3)))[0] ** 2).max()
        < 1e-8
    )
    get_thermal_properties(small, [300.0])
    np.testing.assert_array_equal(small.run_qpoints(GENERIC).frequencies, interpolated)
    assert harmonic.get_dynamical_matrices_at_qpoints.__module__ == harmonic.__name__


def test_other_phonopy_objects_are_left_alone_inside(small, calc):
    other = get_phonopy(CRYSTALS["wurtzite, polar"][0], calc, 1)
    before = other.run_qpoints(GENERIC).frequencies.copy()
    with exact_matrices(small, calc):
        np.testing.assert_array_equal(other.run_qpoints(GENERIC).frequencies, before)


def test_a_dipole_term_and_exact_matrices_without_one_exclude_each_other(calc):
    phonopy = get_phonopy(CRYSTALS["wurtzite, polar"][0], calc, 1)
    phonopy.nac_params = {"born": np.zeros((4, 3, 3)), "dielectric": np.eye(3), "factor": 14.39965}
    with pytest.raises(InputError, match="the calculator has none"), exact_matrices(phonopy, calc):
        pass


@pytest.mark.parametrize("parts", [True, False])
def test_velocities_equal_differences_of_exact_frequencies(parts, calc, untrained):
    """Both routes, on a crystal without inversion: the phase of the basis and the sign of q count."""
    from dataclasses import replace

    atoms, _ = CRYSTALS["zincblende, no inversion"]
    calc = calc if parts else PhonaxCalculator(replace(untrained, parts=None))
    qpoints = GENERIC[:1]
    frequencies, velocities = get_group_velocities(calc, atoms, qpoints)
    for x in range(3):
        step = np.zeros(3)
        step[x] = 1e-4  # 1/Å; the error of a central difference of third order is about 1e-6
        to_reduced = atoms.cell[:]
        both = np.array([qpoints[0] + to_reduced @ step, qpoints[0] - to_reduced @ step])
        plus, minus = np.linalg.eigvalsh(calc.get_dynamical_matrix(atoms, both))
        slope = (plus - minus) / 2e-4 * THZ_PER_SQRT_EV_A2_AMU**2 / (2 * frequencies[0])
        moving = frequencies[0] > 0
        assert np.abs(velocities[0, moving, x] - slope[moving]).max() < 1e-5 * np.abs(velocities).max()
        assert not velocities[0, ~moving].any()


def test_velocities_equal_phonopys_where_its_supercell_holds_all_constants():
    """Springs with a short reach: the supercell holds all constants, and both differentiate the same function."""
    atoms = bulk("Si", "fcc", 2.0 * 2**0.5)
    calc = PhonaxCalculator(spring_potential((14,), {2.0: 5.0}))
    phonopy = get_phonopy(atoms, calc, 4)
    frequencies, ours = get_group_velocities(calc, atoms, GENERIC)
    theirs = phonopy.run_qpoints(GENERIC, with_group_velocities=True)
    assert frequencies.min() > 0.1
    assert np.abs(ours - theirs.group_velocities).max() < 1e-8 * np.abs(ours).max()  # of the differences at most


def test_degenerate_modes_have_the_slopes_they_split_into(calc):
    """Transverse branches on the way from Gamma to X, a step along a direction that splits them."""
    atoms, _ = CRYSTALS["zincblende, no inversion"]
    q, direction = np.array([0.2, 0.2, 0.0]), np.array([0.3, -0.5, 0.8])
    direction /= np.linalg.norm(direction)
    frequencies, velocities = get_group_velocities(calc, atoms, q, direction=direction)
    h = 1e-4
    plus, minus = (
        np.linalg.eigvalsh(calc.get_dynamical_matrix(atoms, q + sign * h * (atoms.cell[:] @ direction))[0])
        for sign in (1, -1)
    )
    for sign, moved in ((1, plus), (-1, minus)):
        f = np.sign(moved) * np.sqrt(np.abs(moved)) * THZ_PER_SQRT_EV_A2_AMU
        predicted = frequencies[0] + sign * h * velocities[0] @ direction
        real = frequencies[0] > 0.1
        # Second order in h: 1e-8 1/Å² times curvatures of about 100 THz Å².
        assert np.abs(np.sort(predicted[real]) - f[real]).max() < 1e-5
