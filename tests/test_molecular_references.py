"""The committed reference labels of ethanol and propane contradict neither themselves nor each other."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from ase_phonax import PhonaxCalculator

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# About their bonds to the middle carbon, which is atom 0.
METHYLS = ((1, (5, 7, 8)), (2, (6, 9, 10)))


def rms(x, axis=None):
    return np.sqrt((x**2).mean(axis=axis))


@pytest.fixture(scope="module")
def ethanol():
    with np.load(EXAMPLES / "ethanol/data/displaced.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def propane_map():
    with np.load(EXAMPLES / "propane/data/propane_map.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def propane_train():
    with np.load(EXAMPLES / "propane/data/propane_train.npz") as file:
        return dict(file)


def test_displaced_positions_are_the_directions_times_the_sizes(ethanol):
    np.testing.assert_allclose(rms(ethanol["directions"], axis=(1, 2)), 1, rtol=1e-12)
    steps = ethanol["sizes"][:, None, None, None] * ethanol["directions"]
    np.testing.assert_allclose(ethanol["displaced_positions"], ethanol["positions"] + steps, rtol=0, atol=1e-12)


def test_hessian_of_ethanol_predicts_the_forces_up_to_the_square_of_the_displacement(ethanol):
    """A Hessian of the wrong sign, unit or index order leaves more than all of the change."""
    change = ethanol["displaced_forces"] - ethanol["forces"]
    steps = ethanol["displaced_positions"] - ethanol["positions"]
    left = rms(change + np.einsum("iajb,sdjb->sdia", ethanol["hessian"], steps), axis=(1, 2, 3))
    assert left[0] < 0.01 * rms(change[0])
    slopes = np.diff(np.log(left)) / np.diff(np.log(ethanol["sizes"]))
    np.testing.assert_allclose(slopes, 2, atol=0.1)


def test_energies_of_ethanol_belong_to_its_forces(ethanol):
    """The trapezoid of the forces leaves a rest of third order; without the grid's response it would be of first."""
    steps = ethanol["displaced_positions"] - ethanol["positions"]
    mean = (ethanol["displaced_forces"] + ethanol["forces"]) / 2
    left = ethanol["displaced_energies"] - ethanol["energy"] + np.einsum("sdia,sdia->sd", mean, steps)
    slopes = np.diff(np.log(rms(left, axis=1))) / np.diff(np.log(ethanol["sizes"]))
    np.testing.assert_allclose(slopes[:3], 3, atol=0.035)  # beyond 0.01 Å higher orders count
    assert np.abs(ethanol["displaced_forces"].sum(axis=2)).max() < 1e-8


def test_labels_of_ethanol_are_of_the_training_sets_level(ethanol):
    """The training set's own forces are uncertain by 0.0025 eV/Å: see the data's README."""
    assert abs(ethanol["energy"] - ethanol["energy_training_set"]) < 1e-4
    assert rms(ethanol["forces"] - ethanol["forces_training_set"]) < 4e-3
    assert rms(ethanol["hessian"] - ethanol["hessian_training_set"]) < 1e-3 * rms(ethanol["hessian"])


def test_map_of_propane_unfolds_from_its_irreducible_points(propane_map):
    m = propane_map
    forces, positions = m["irreducible_forces"][m["representative"]], m["irreducible_positions"][m["representative"]]
    for irreducible, full in ((forces, m["forces"]), (positions, m["positions"])):
        moved = np.einsum("xyia,xyba->xyib", irreducible, m["operation"])
        unfolded = np.take_along_axis(moved, m["permutation"][..., None], axis=2)
        np.testing.assert_allclose(unfolded, full, rtol=0, atol=1e-6)
    tested = np.all(m["turns"] == m["direct_turns"], axis=-1)
    assert not np.array_equal(m["operation"][tested][0], np.eye(3))
    np.testing.assert_allclose(m["forces"][tested][0], m["direct_forces"], rtol=0, atol=1e-5)


def test_torques_of_the_map_are_the_slopes_of_its_energies(propane_map):
    """Energies and forces come unfolded by different rules: a wrong operation or permutation breaks this."""
    m, n = propane_map, len(propane_map["turns"])
    waves = np.fft.fftfreq(n, 1 / n) * 3  # per radian: the period is 120 degrees
    waves[n // 2] = 0
    for methyl, (carbon, hydrogens) in enumerate(METHYLS):
        axis = m["positions"][..., carbon, :] - m["positions"][..., 0, :]
        axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
        arms = m["positions"][..., list(hydrogens), :] - m["positions"][..., [carbon], :]
        torques = np.einsum("xyha,xya->xy", np.cross(arms, m["forces"][..., list(hydrogens), :]), axis)
        shape = (n, 1) if methyl == 0 else (1, n)
        slopes = np.fft.ifft(1j * waves.reshape(shape) * np.fft.fft(m["energies"], axis=methyl), axis=methyl).real
        np.testing.assert_allclose(torques, -slopes, rtol=0, atol=2e-3 * np.abs(torques).max())


def test_training_frames_of_propane_read_as_they_were_computed(propane_train):
    frames = ase.io.read(EXAMPLES / "propane/data/propane_train.extxyz", index=":")
    assert len(frames) == len(propane_train["energy"])
    for k, frame in enumerate(frames):
        np.testing.assert_allclose(frame.positions, propane_train["positions"][k], rtol=0, atol=1e-7)
        np.testing.assert_allclose(frame.get_potential_energy(), propane_train["energy"][k], rtol=0, atol=1e-5)
        np.testing.assert_allclose(frame.get_forces(), propane_train["forces"][k], rtol=0, atol=1e-7)
        hessian = propane_train["hessian"][k].reshape(33, 33)
        np.testing.assert_allclose(frame.info["hessian"], hessian, rtol=0, atol=1e-6)


def test_hessians_of_propane_turn_its_forces_with_the_molecule(propane_train):
    """H (e x r) = e x grad E: a Hessian of the wrong sign, unit or index order cannot obey it."""
    for x, f, h in zip(*(propane_train[key] for key in ("positions", "forces", "hessian")), strict=True):
        for e in np.eye(3):
            difference = np.einsum("iajb,jb->ia", h, np.cross(e, x)) + np.cross(e, f)
            assert rms(difference) < 0.004  # eV/Å, of forces near 1: the integration grid is not turned
        assert np.abs(h.sum(axis=2)).max() < 0.01


@pytest.fixture(scope="module")
def ethanol_in_fields():
    with np.load(EXAMPLES / "electric_field/data/ethanol_fields.npz") as arrays:
        return dict(arrays)


def test_born_charges_of_ethanol_add_up_to_zero_and_its_polarizabilities_are_symmetric(ethanol_in_fields):
    """Kills: gradients without the field's pull on nuclei, or without the motion of basis functions in the field."""
    assert np.abs(ethanol_in_fields["born_charges"].sum(1)).max() < 1e-9
    tensors = ethanol_in_fields["polarizability"]
    # What differences of dipoles in fields of 0.1 V/Å leave is of the order of the self-consistency.
    np.testing.assert_allclose(tensors, tensors.swapaxes(1, 2), rtol=0, atol=2e-5)


def test_energies_of_ethanol_in_fields_follow_from_its_dipoles_and_polarizabilities(ethanol_in_fields):
    """Kills: a sign or a unit of the field, the dipole or the polarizability, in U = E - mu F - F alpha F / 2."""
    data = ethanol_in_fields
    field, shift = data["fields"][:, 7], data["energies"][:, 7] - data["energies"][:, 0]
    first = shift + np.einsum("na,na->n", data["dipole"], field)
    second = first + np.einsum("na,nab,nb->n", field, data["polarizability"], field) / 2
    sizes = [float(np.abs(x).mean()) for x in (shift, first, second)]
    # What is left is of the third order, 0.5 meV of 128; a wrong sign or unit of one term leaves as much as there was.
    assert sizes[0] > 0.1
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.01 * sizes[1]


def test_forces_of_ethanol_in_fields_follow_from_its_born_charges(ethanol_in_fields):
    """Kills: Born charges with the field and the displacement exchanged."""
    data = ethanol_in_fields
    field, forces = data["fields"][:, 7], data["forces_in_fields"]
    change = forces[:, 7] - forces[:, 0]
    left = np.abs(change - np.einsum("niab,na->nib", data["born_charges"], field)).mean()
    exchanged = np.abs(change - np.einsum("niba,na->nib", data["born_charges"], field)).mean()
    assert left < 0.15 * np.abs(change).mean()
    assert exchanged > 1.2 * left


def test_the_potential_of_ethanol_in_fields_is_as_near_to_pbe_as_its_page_says(ethanol_in_fields):
    """On ten of the frames that watched its training: 0.005 eÅ, 0.005 e and 1 % were asked for."""
    data, calc = ethanol_in_fields, PhonaxCalculator(EXAMPLES / "electric_field/data/ethanol.h5")
    errors = {"dipole": [], "born_charges": [], "polarizability": []}
    for k in np.random.default_rng(1).permutation(170)[120:130]:
        atoms = Atoms(data["numbers"], data["positions"][k])
        errors["dipole"].append(np.abs(calc.get_dipole_moment(atoms) - data["dipole"][k]).mean())
        errors["born_charges"].append(np.abs(calc.get_born_charges(atoms) - data["born_charges"][k]).mean())
        alpha = data["polarizability"][k]
        errors["polarizability"].append(np.linalg.norm(calc.get_polarizability(atoms) - alpha) / np.linalg.norm(alpha))
    means = {name: np.mean(values) for name, values in errors.items()}
    assert means["dipole"] < 0.0015
    assert means["born_charges"] < 0.005
    assert means["polarizability"] < 0.01
