"""The interaction of dipoles beyond the reach of a model: what holds for every crystal, and routes of other hands."""

import copy
import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_phonax import (
    Frame,
    PhonaxCalculator,
    PolarCalculator,
    PolarLayerCalculator,
    choose_supercell,
    exact_matrices,
    get_band_structure,
    get_group_velocities,
    get_phonopy,
    without_dipoles,
)
from ase_phonax.base.errors import InputError, UnstableWarning
from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.derivatives.stars import exact_operations, rotated
from ase_phonax.models.potential import Provenance
from ase_phonax.phonons.polar import NAC_FACTOR, DipoleInteraction, get_gamma_splitting, width_of
from ase_phonax.phonons.supercell.checks import checks
from ase_phonax.phonons.supercell.objects import build_phonopy
from ase_phonax.training.labels.phonopy_labels import frame_of_phonopy

from .crystals import CRYSTALS
from .pair_potential import PairCalculator
from .test_polar import CUBIC, isotropic, uniaxial

QPOINTS = np.array([[0.13, -0.31, 0.44], [0.5, 0.0, 0.5], [1.2, -0.7, 0.05]])
SALT = bulk("NaCl", "rocksalt", a=5.6)


class Nothing:
    """A model that feels nothing: what is left is dipoles."""

    potential = SimpleNamespace(name="nothing", provenance=Provenance())

    def get_dynamical_matrix(self, atoms, qpoints, *, symmetry=True, progress=None):
        n = 3 * len(atoms)
        return np.zeros((len(np.reshape(qpoints, (-1, 3))), n, n), complex)

    def get_force_constants(self, phonopy, *, progress=None):
        return np.zeros((len(phonopy.primitive), len(phonopy.supercell), 3, 3))


def low_symmetry(width: float = 0.3) -> DipoleInteraction:
    """Five atoms, and tensors without any symmetry but the sum rule."""
    rng = np.random.default_rng(1)
    charges = rng.normal(size=(5, 3, 3))
    dielectric = rng.normal(size=(3, 3))
    return DipoleInteraction(
        cell=np.array([[9.0, 0, 0], [1.0, 10, 0], [-2, 1.5, 12]]),
        scaled=rng.random((5, 3)) * 2 - 0.5,
        charges=charges - charges.mean(axis=0),
        dielectric=3 * np.eye(3) + 0.2 * dielectric @ dielectric.T,
        width=width,
        factor=NAC_FACTOR,
    )


def test_it_is_hermitian_periodic_and_obeys_the_sum_rule_without_symmetry():
    dipoles = low_symmetry()
    n, far = len(dipoles.scaled), np.array([1, -2, 3])
    matrices = dipoles.matrices(QPOINTS)
    scale = np.abs(matrices).max()
    assert scale > 0.1
    assert np.abs(matrices - matrices.conj().transpose(0, 2, 1)).max() < 1e-13 * scale
    at_gamma = dipoles.matrices(np.zeros((1, 3)))[0]
    # Antisymmetric parts of a row are there to be held by the other atoms.
    assert np.abs(dipoles._at_rest[1]).max() > 1e-3
    assert np.abs(at_gamma.reshape(n, 3, n, 3).sum(axis=2)).max() < 1e-13 * scale
    phases = np.repeat(np.exp(-2j * np.pi * dipoles.scaled @ far), 3)
    moved = phases[:, None] * matrices * phases.conj()
    np.testing.assert_allclose(dipoles.matrices(QPOINTS + far), moved, atol=1e-13 * scale)
    np.testing.assert_allclose(dipoles.matrices(-QPOINTS), matrices.conj(), atol=1e-13 * scale)


@pytest.mark.parametrize("width", [0.1, 0.3])
def test_slopes_are_richardsons_and_gamma_is_a_limit(width):
    dipoles = low_symmetry(width)
    slopes, step = dipoles.slopes(QPOINTS[:2]), 2e-3
    for axis in range(3):
        along = np.eye(3)[axis] @ dipoles.cell.T  # the reduced q of a k of 1 1/Å without 2 pi

        def differences(h, along=along):
            return (dipoles.matrices(QPOINTS[:2] + h * along) - dipoles.matrices(QPOINTS[:2] - h * along)) / (2 * h)

        coarse, fine, finest = (differences(step / 2**k) for k in range(3))
        better = [(4 * b - a) / 3 for a, b in ((coarse, fine), (fine, finest))]
        np.testing.assert_allclose(slopes[:, axis], (16 * better[1] - better[0]) / 15, atol=1e-7 * np.abs(slopes).max())
    direction = np.array([0.3, 0.1, -0.2])
    near = dipoles.matrices(1e-6 * direction[None])
    np.testing.assert_allclose(dipoles.matrices(np.zeros((1, 3)), direction), near, atol=1e-7)


def charges_by_site(atoms: Atoms) -> dict:
    """Tensors of the crystal's own symmetry, different along every axis that it tells apart."""
    rng, n = np.random.default_rng(3), len(atoms)
    operations = exact_operations(atoms, 1e-5)
    charges, dielectric = rng.normal(size=(n, 3, 3)), 4 * np.eye(3) + np.diag([0.3, 0.0, -0.5])
    turned = np.zeros_like(charges)
    for rotation, images in zip(operations.cartesian, operations.images, strict=True):
        turned[images] += rotation @ charges @ rotation.T / len(operations.images)
    dielectric = np.mean([r @ dielectric @ r.T for r in operations.cartesian], axis=0)
    return {"born": turned - turned.mean(axis=0), "dielectric": dielectric}


@pytest.mark.parametrize("name", ["wurtzite, polar", "left-handed rutile", "monoclinic", "quartz, chiral"])
def test_it_has_the_symmetry_of_the_crystal(name):
    atoms = CRYSTALS[name][0]
    polar = PolarCalculator(Nothing(), atoms, charges_by_site(atoms), 0.4)
    dipoles, operations = polar.interaction(atoms), exact_operations(atoms, 1e-5)
    here = dipoles.matrices(QPOINTS[:1])[0]
    assert np.abs(here).max() > 1e-3
    for which, rotation in enumerate(operations.rotations):
        there = dipoles.matrices(np.linalg.solve(rotation.T, QPOINTS[0])[None])[0]
        np.testing.assert_allclose(there, rotated(here, which, operations), atol=1e-9)  # atoms obey them to 1e-8 Å


def test_the_whole_sum_is_phonopys():
    """With phonopy's own Gaussian: it takes its sum off these constants, nothing is left, and it adds it again."""
    scaled = [[0, 0, 0], [0.31, 0.2, 0.5], [0.6, 0.7, 0.9]]
    atoms = Atoms("NaClCl", scaled_positions=scaled, cell=[4.1, 5.2, 6.3], pbc=True)
    atoms.rotate(30, (1, 2, 3), rotate_cell=True)
    width, permittivity = 0.8, 3.0
    born = {
        "born": isotropic(1.0, -0.4, -0.6),
        "dielectric": permittivity * np.eye(3),
        "G_cutoff": 2.0,
        "Lambda": width * np.sqrt(permittivity) / (2 * np.pi),  # exp(-k.eps.k / 4 Lambda²), k without 2 pi
    }
    polar = PolarCalculator(Nothing(), atoms, born, width)
    phonopy = get_phonopy(atoms, polar, 2, is_symmetry=False)
    for q in QPOINTS[:2]:
        phonopy.run_qpoints([q], with_dynamical_matrices=True)
        theirs, ours = phonopy.qpoints.dynamical_matrices[0], polar.get_dynamical_matrix(atoms, q)[0]
        assert np.abs(ours).max() > 5e-3
        np.testing.assert_allclose(theirs, ours, atol=1e-8)


def test_lo_of_a_cubic_pair_of_ions_rises_by_the_plasma_frequency_at_any_width():
    for width in (0.05, 0.1, 0.3):
        polar = PolarCalculator(PairCalculator(like=0.0), SALT, CUBIC, width)
        direction = [0.5, 0.0, 0.5]
        lo = frequencies_thz(polar.get_dynamical_matrix(SALT, [0, 0, 0], direction=direction))[0, -1]
        assert lo == pytest.approx(get_gamma_splitting(get_phonopy(SALT, polar, 2), [direction]).frequencies_thz[0, -1])
        near = frequencies_thz(polar.get_dynamical_matrix(SALT, [1e-4, 0, 1e-4]))[0, -1]
        assert lo == pytest.approx(near, abs=1e-4)


def test_bands_are_those_of_the_matrices_with_lo_at_gamma_and_equal_at_u_and_k():
    polar = PolarCalculator(PairCalculator(like=0.0), SALT, CUBIC, 0.15)
    phonopy = get_phonopy(SALT, polar, 2)
    bands = get_band_structure(phonopy, exact=polar)
    at_gamma = [f[0].max() for q, f in zip(bands.qpoints, bands.frequencies, strict=True) if not np.abs(q[0]).max()] + [
        f[-1].max() for q, f in zip(bands.qpoints, bands.frequencies, strict=True) if not np.abs(q[-1]).max()
    ]
    limit = get_gamma_splitting(phonopy).frequencies_thz.max()
    assert len(at_gamma) == 3
    np.testing.assert_allclose(at_gamma, limit, atol=1e-6)
    for q, frequencies in zip(np.concatenate(bands.qpoints), np.concatenate(bands.frequencies), strict=True):
        if np.abs(q).max():
            np.testing.assert_allclose(frequencies, frequencies_thz(polar.get_dynamical_matrix(SALT, q))[0], atol=1e-5)
    u, k = frequencies_thz(polar.get_dynamical_matrix(SALT, [[0.625, 0.25, 0.625], [0.375, 0.375, 0.75]]))
    np.testing.assert_allclose(u, k, atol=1e-9)


def test_constants_are_exact_where_waves_fit_and_the_supercell_is_chosen_with_dipoles():
    polar = PolarCalculator(PairCalculator(like=0.0), SALT, CUBIC, 0.15)
    phonopy = get_phonopy(SALT, polar, 4)
    fitting = np.array([[0.25, 0, 0.25], [0.5, 0.25, 0.75], [0.25, 0.25, 0.25]])
    found = phonopy.run_qpoints(fitting).frequencies
    np.testing.assert_allclose(found, frequencies_thz(polar.get_dynamical_matrix(SALT, fitting)), atol=1e-6)
    residuals = checks(phonopy, lambda q, **how: polar.get_dynamical_matrix(SALT, q, **how), charged=True)
    assert residuals["acoustic_sum_rule"] < 1e-12
    assert residuals["space_group_residual"] < 1e-9
    choice = choose_supercell(SALT, polar, 0.05)
    assert choice.reached


def test_group_velocities_are_slopes_of_frequencies():
    atoms, born = uniaxial()
    polar = PolarCalculator(PhonaxCalculator("phonax-small"), atoms, born, 0.2)
    q, step = np.array([0.08, 0.03, 0.05]), 1e-5
    _, velocities = get_group_velocities(polar, atoms, q)
    for axis in range(3):
        along = step * np.eye(3)[axis] @ atoms.cell.array.T
        plus, minus = frequencies_thz(polar.get_dynamical_matrix(atoms, [q + along, q - along]))
        np.testing.assert_allclose(velocities[0, :, axis], (plus - minus) / (2 * step), rtol=1e-4, atol=1e-3)


def test_another_crystal_and_widths_that_are_none_are_refused():
    calc = PairCalculator(like=0.0)
    polar = PolarCalculator(calc, SALT, CUBIC, 0.15)
    for other in (bulk("KCl", "rocksalt", a=5.6), SALT[::-1], SALT.repeat((2, 1, 1))):
        with pytest.raises(InputError, match="not the crystal that the charges belong to"):
            polar.get_dynamical_matrix(other, [0, 0, 0])
    strained = SALT.copy()
    strained.set_cell(1.01 * SALT.cell[:], scale_atoms=True)
    assert polar.get_dynamical_matrix(strained, [0.1, 0, 0.1]).shape == (1, 6, 6)
    for width in (0.0, -0.1, 5.0, np.nan, "0.1"):
        with pytest.raises(InputError, match="the width of the window of dipoles"):
            PolarCalculator(calc, SALT, CUBIC, width)
    with pytest.raises(InputError, match="no length"):
        polar.get_dynamical_matrix(SALT, [0, 0, 0], direction=[0, 0, 0])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UnstableWarning)
        assert PolarCalculator(calc, SALT, CUBIC).width == 0.1
    assert "'pair-potential' ends is not known" in str(said[-1].message)


def test_charges_on_one_side_alone_are_refused():
    calc = PairCalculator(like=0.0)
    polar = PolarCalculator(calc, SALT, CUBIC, 0.15)
    plain, charged = get_phonopy(SALT, calc, 2), get_phonopy(SALT, polar, 2)
    with pytest.raises(InputError, match="calculator has Born charges, and the Phonopy"), exact_matrices(plain, polar):
        pass
    with (
        pytest.raises(InputError, match="object has Born charges, and the calculator"),
        exact_matrices(charged, calc),
    ):
        pass
    with pytest.raises(InputError, match="Born charges"):
        checks(charged, lambda q, **how: polar.get_dynamical_matrix(SALT, q, **how))


def test_all_else_is_the_calculators_and_copies_work():
    atoms = bulk("NaCl", "rocksalt", a=5.7)
    calc = PhonaxCalculator("phonax-small")
    polar = PolarCalculator(calc, atoms, CUBIC)
    assert polar.width == width_of(calc.potential) == 0.158
    assert polar.get_potential_energy(atoms) == calc.get_potential_energy(atoms)
    expected = polar.get_dynamical_matrix(atoms, QPOINTS)
    for other in (pickle.loads(pickle.dumps(polar)), copy.copy(polar), copy.deepcopy(polar)):
        np.testing.assert_allclose(other.get_dynamical_matrix(atoms, QPOINTS), expected, atol=1e-12)
    with pytest.raises(AttributeError):
        _ = polar.no_such_thing


def test_a_model_that_feels_nothing_has_no_transverse_modes():
    """Ions on a cubic lattice, dipoles alone: at Gamma only the longitudinal mode has a frequency at small width."""
    born = {"born": isotropic(1.0, -1.0), "dielectric": np.eye(3)}
    polar = PolarCalculator(Nothing(), SALT, born, 0.1)
    frequencies = frequencies_thz(polar.get_dynamical_matrix(SALT, [0, 0, 0], direction=[1, 2, 3]))[0]
    assert np.abs(frequencies[:5]).max() < 1e-4
    volume, masses = SALT.cell.volume, SALT.get_masses()
    squared = 4 * np.pi * NAC_FACTOR / volume * (1 / masses).sum()
    assert frequencies[5] == pytest.approx(15.633302 * np.sqrt(squared), rel=1e-6)
    assert build_phonopy(SALT, 2).nac_params is None


def sheet(height: float = 18.0) -> Atoms:
    """Hexagonal boron nitride, its vacuum along the first cell vector."""
    a = 2.51
    cell = [[0, 0, height], [a, 0, 0], [-a / 2, a * 3**0.5 / 2, 0]]
    return Atoms("BN", scaled_positions=[[0.5, 0, 0], [0.5, 1 / 3, 2 / 3]], cell=cell, pbc=True)


def born_of_sheet(height: float = 18.0) -> dict:
    """Charges of h-BN, and its in-plane polarizability as the dielectric tensor of a cell of this height."""
    charges = np.array([1.0, -1.0])[:, None, None] * np.diag([2.7, 2.7, 0.25])
    eps = 1 + 2 * 7.6 / height  # r = 7.6 Å
    return {"born": charges, "dielectric": np.diag([eps, eps, 1 + 2 * 0.5 / height])}


def test_lo_of_a_layer_leaves_gamma_with_the_slope_of_two_dimensions():
    """d(omega²)/dk at Gamma is 2 pi F / A (Z²/mu), in every direction; nothing splits at Gamma itself."""
    atoms = sheet()
    calc = PhonaxCalculator("phonax-small")
    polar = PolarLayerCalculator(calc, atoms, born_of_sheet())
    plain = frequencies_thz(calc.get_dynamical_matrix(atoms, [0, 0, 0]))[0]
    np.testing.assert_allclose(frequencies_thz(polar.get_dynamical_matrix(atoms, [0, 0, 0]))[0], plain, atol=1e-4)
    area = np.linalg.norm(np.cross(atoms.cell[1], atoms.cell[2]))
    expected = 2 * np.pi * NAC_FACTOR / area * 2.7**2 * (1 / atoms.get_masses()).sum()  # eV/Å²/amu for 1 1/Å
    for direction in ([0, 1.0, 0], [0, 1 / 3, 1 / 3]):
        unit = np.asarray(direction) @ np.linalg.inv(atoms.cell.array).T
        slopes = []
        for k in (2e-4, 4e-4):  # 1/Å, 2 pi included
            q = np.asarray(direction) / (2 * np.pi * np.linalg.norm(unit)) * k
            slopes.append((np.linalg.eigvalsh(polar.get_dynamical_matrix(atoms, q)[0])[-1] - top_of(plain)) / k)
        assert 2 * slopes[0] - slopes[1] == pytest.approx(expected, rel=2e-3)
    velocity = get_group_velocities(polar, atoms, np.asarray([0, 1e-4, 0]))[1][0, -1]
    assert np.linalg.norm(velocity) == pytest.approx(15.633302**2 * 2 * np.pi * expected / (2 * plain[-1]), rel=1e-2)


def top_of(frequencies: np.ndarray) -> float:
    """Highest eigenvalue of D [eV/Å²/amu] of frequencies [THz]."""
    return float((frequencies[-1] / 15.63330230) ** 2)


def test_a_layer_does_not_know_how_high_its_cell_is_and_obeys_what_crystals_do():
    calc = PhonaxCalculator("phonax-small")
    q = np.array([[0.0, 0.11, 0.05], [0.0, 1 / 3, 1 / 3]])
    low, high = (
        PolarLayerCalculator(calc, sheet(h), born_of_sheet(h)).get_dynamical_matrix(sheet(h), q) for h in (18.0, 31.0)
    )
    np.testing.assert_allclose(low, high, atol=1e-9)
    dipoles = PolarLayerCalculator(Nothing(), sheet(), born_of_sheet(), 0.5).interaction(sheet())
    matrices, gamma = dipoles.matrices(q), dipoles.matrices(np.zeros((1, 3)))[0]
    assert np.abs(matrices).max() > 0.05
    assert np.abs(matrices - matrices.conj().transpose(0, 2, 1)).max() < 1e-13
    assert np.abs(gamma.reshape(2, 3, 2, 3).sum(axis=2)).max() < 1e-13
    step = 1e-5
    along = step * np.array([0.4, 0.6, 0.0]) @ sheet().cell.array.T
    numeric = (dipoles.matrices(q + along) - dipoles.matrices(q - along)) / (2 * step)
    exact = np.einsum("a,naij->nij", [0.4, 0.6, 0.0], dipoles.slopes(q))
    np.testing.assert_allclose(exact, numeric, atol=1e-6 * np.abs(exact).max())


def test_layers_and_crystals_are_not_taken_for_each_other():
    calc = PhonaxCalculator("phonax-small")
    with pytest.raises(InputError, match="given for a layer"):
        PolarCalculator(calc, sheet(), born_of_sheet())
    with pytest.raises(InputError, match="a crystal without vacuum"):
        PolarLayerCalculator(calc, SALT, CUBIC)
    layer = PolarLayerCalculator(calc, sheet(), born_of_sheet())
    phonopy = get_phonopy(sheet(), layer, [1, 4, 4])
    assert phonopy.nac_params is None  # phonopy's are of three dimensions
    fitting = np.array([[0, 0.25, 0.25], [0, 0.5, 0]])
    found = phonopy.run_qpoints(fitting).frequencies
    np.testing.assert_allclose(found, frequencies_thz(layer.get_dynamical_matrix(sheet(), fitting)), atol=1e-5)
    with exact_matrices(phonopy, layer):
        near = phonopy.run_qpoints([[0, 0.02, 0]]).frequencies
    np.testing.assert_allclose(near, frequencies_thz(layer.get_dynamical_matrix(sheet(), [[0, 0.02, 0]])), atol=1e-5)


def test_labels_without_dipoles_are_those_of_the_short_ranged_model():
    """Constants of a model with dipoles, taken for DFT's: less the dipoles, the model itself is left at every q."""
    calc = PairCalculator(like=0.0)
    charged = get_phonopy(SALT, PolarCalculator(calc, SALT, CUBIC, 0.3), 3)
    whole = frame_of_phonopy(charged)
    plain = frame_of_phonopy(get_phonopy(SALT, calc, 3))
    assert np.abs(whole.second.matrices - plain.second.matrices).max() > 0.01
    learned = without_dipoles(whole, CUBIC, 0.3)
    np.testing.assert_allclose(learned.second.matrices, plain.second.matrices, atol=1e-9)
    assert learned.energy is None
    with pytest.raises(InputError, match="has no second derivatives"):
        without_dipoles(Frame(SALT, energy=1.0), CUBIC, 0.3)


def test_charges_belong_to_one_lattice_and_one_orientation():
    polar = PolarCalculator(Nothing(), SALT, CUBIC, 0.15)
    turned, doubled = SALT.copy(), SALT.copy()
    turned.rotate(90, "z", rotate_cell=True)
    doubled.set_cell(2 * SALT.cell[:], scale_atoms=True)
    for other in (turned, doubled):
        with pytest.raises(InputError, match="not the crystal that the charges belong to"):
            polar.get_dynamical_matrix(other, [0.1, 0, 0])
    phonopy = build_phonopy(turned, 2)
    with pytest.raises(InputError, match="not the crystal"):
        polar.get_force_constants(phonopy)
    assert phonopy.nac_params is None  # what is refused leaves no trace
    polar.nac_params["born"][:] = 0
    assert np.abs(polar.nac_params["born"]).max() == pytest.approx(1.1)


def test_dipoles_are_added_once_and_not_in_a_field():
    polar = PolarCalculator(Nothing(), SALT, CUBIC, 0.15)
    with pytest.raises(InputError, match="has charges already"):
        PolarCalculator(polar, SALT, CUBIC, 0.15)
    with pytest.raises(InputError, match="stands in an electric field"):
        PolarCalculator(SimpleNamespace(field=np.array([0, 0, 0.1]), potential=Nothing.potential), SALT, CUBIC)


@pytest.mark.parametrize("width", [0.1, 1.0, 2.0])
def test_a_sharp_window_is_as_hermitian_as_a_wide_one(width):
    """Pairs that hold antisymmetric parts are spread by Gaussians that do not vanish between atoms."""
    matrices = low_symmetry(width).matrices(QPOINTS[:1])
    assert np.abs(matrices - matrices.conj().transpose(0, 2, 1)).max() < 1e-12 * np.abs(matrices).max()


def test_nothing_of_a_layer_depends_on_wave_vectors_across_it_and_its_vacuum_is_straight():
    layer = PolarLayerCalculator(Nothing(), sheet(), born_of_sheet(), 0.3)
    here, above = layer.get_dynamical_matrix(sheet(), [[0, 0.1, 0.05], [0.3, 0.1, 0.05]])
    np.testing.assert_allclose(np.abs(above), np.abs(here), atol=1e-12)
    # The polarizability is the layer's: another height afterwards changes nothing.
    higher = layer.get_dynamical_matrix(sheet(19.0), [0, 0.1, 0.05])[0]
    np.testing.assert_allclose(higher, here, atol=1e-12)
    tilted = sheet()
    tilted.set_cell(tilted.cell[:] + [[0.5, 0, 0], [0, 0, 0], [0, 0, 0]])
    with pytest.raises(InputError, match="is tilted"):
        PolarLayerCalculator(Nothing(), tilted, born_of_sheet(), 0.3)
