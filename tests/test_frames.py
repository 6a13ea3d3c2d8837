"""Labelled frames: what is read is what was computed, and what contradicts itself is refused in plain words.

Labels come from a pair potential with analytic derivatives, so that "right" has a meaning of its own here.
"""

import io
import os
import shutil
from dataclasses import fields

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import read, write
from ase.io.jsonio import write_json
from phonopy import Phonopy
from phonopy.file_IO import write_FORCE_CONSTANTS, write_force_constants_to_hdf5, write_FORCE_SETS
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax import PhonaxCalculator, get_phonopy
from ase_phonax.base.errors import InputError, OutputError
from ase_phonax.base.hdf5 import pack, sealed
from ase_phonax.derivatives.evaluator import Evaluator
from ase_phonax.training.labels import (
    Frame,
    SecondOrder,
    Spectrum,
    frame_of_atoms,
    frame_of_hessian,
    read_frames,
    save_frames,
)
from ase_phonax.training.labels.checks import check_frames
from ase_phonax.training.labels.frames import count_labels, find_elements, fingerprint
from ase_phonax.training.labels.phonopy_labels import frame_of_phonopy
from ase_phonax.training.targets import LABELS

from .analytic import two_hop_potential
from .crystals import triclinic
from .labelled import cluster, moved_clusters, strained_crystals
from .pair_potential import PairCalculator

HARTREE, BOHR = 27.211386245988, 0.529177210903


def changed(frame: Frame, **labels) -> Frame:
    """The frame with other labels; those not named stay."""
    now = {name: getattr(frame, name) for name in ("energy", "forces", "stress", "second", "weights", "origin")}
    return Frame(frame.atoms, **(now | labels))


def scaled(frame: Frame, factor: float) -> Frame:
    second = SecondOrder(frame.second.qpoints, factor * frame.second.matrices)
    return changed(frame, second=second)


def same_frames(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.atoms.numbers, y.atoms.numbers)
        np.testing.assert_array_equal(x.atoms.positions, y.atoms.positions)
        np.testing.assert_array_equal(x.atoms.cell.array, y.atoms.cell.array)
        np.testing.assert_array_equal(x.atoms.pbc, y.atoms.pbc)
        np.testing.assert_array_equal(x.atoms.get_masses(), y.atoms.get_masses())
        assert x.energy == y.energy
        assert [x.weight(name) for name in LABELS] == [y.weight(name) for name in LABELS]
        for name in ("forces", "stress"):
            assert (getattr(x, name) is None) == (getattr(y, name) is None)
            if getattr(x, name) is not None:
                np.testing.assert_array_equal(getattr(x, name), getattr(y, name))
        for name in ("second", "spectrum"):
            assert (getattr(x, name) is None) == (getattr(y, name) is None)
            if getattr(x, name) is not None:
                for field in fields(getattr(x, name)):
                    p, q = (getattr(getattr(frame, name), field.name) for frame in (x, y))
                    assert (p is None) == (q is None)
                    np.testing.assert_array_equal(p, q)


@pytest.fixture(scope="module")
def clusters():
    return moved_clusters()


def with_results(frame: Frame, **results) -> Atoms:
    atoms = frame.atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, **({"energy": frame.energy, "forces": frame.forces} | results))
    return atoms


# Reading


def test_extxyz_gives_energies_forces_stresses_hessians_and_weights_back(tmp_path, clusters):
    images = strained_crystals(3)
    for k, frame in enumerate(clusters[:3]):
        atoms = with_results(frame)
        atoms.info |= {"hessian": frame.second.matrices[0].real.ravel(), "weight": 2.0, "forces_weight": 0.5 * k}
        images.append(atoms)
    write(tmp_path / "frames.xyz", images, format="extxyz")
    found = read_frames(tmp_path / "frames.xyz")
    assert count_labels(found) == {"energy": 6, "forces": 6, "stress": 3, "curvature": 3} | dict.fromkeys(LABELS[4:], 0)
    for atoms, frame in zip(images, found, strict=True):
        assert frame.energy == pytest.approx(atoms.calc.results["energy"], abs=1e-9)
        np.testing.assert_allclose(frame.forces, atoms.calc.results["forces"], atol=1e-8)
    # Full, symmetric and of ASE's sign and order: xx yy zz yz xz xy.
    xx, yy, zz, yz, xz, xy = images[0].calc.results["stress"]
    np.testing.assert_allclose(found[0].stress, [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], atol=1e-9)
    for k, frame in enumerate(found[3:]):
        np.testing.assert_allclose(frame.second.matrices[0], clusters[k].second.matrices[0], atol=1e-7)
        assert [frame.weight(label) for label in LABELS] == [2, k] + (len(LABELS) - 2) * [2]
    assert found[4].origin.endswith("frames.xyz:4")


def test_the_free_energy_is_taken_since_forces_belong_to_it(tmp_path, clusters):
    write(tmp_path / "a.xyz", with_results(clusters[0], free_energy=-7.5), format="extxyz")
    assert read_frames(tmp_path / "a.xyz")[0].energy == -7.5


def test_labels_under_other_names_are_found_by_keys_and_only_those(tmp_path, clusters):
    images = []
    for frame in clusters:
        atoms = with_results(frame, energy=1e4)
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = frame.energy, frame.forces
        images.append(atoms)
    write(tmp_path / "a.xyz", images, format="extxyz")
    found = read_frames(tmp_path / "a.xyz", {"energy": "REF_energy", "forces": "REF_forces"})
    assert [f.energy for f in found] == pytest.approx([f.energy for f in clusters])
    assert count_labels(read_frames(tmp_path / "a.xyz", {"energy": "REF_energy"}))["forces"] == 0
    # ASE moves "forces" from the arrays to the results of a calculator: a key by that name is found there.
    mixed = read_frames(tmp_path / "a.xyz", {"energy": "REF_energy", "forces": "forces"})
    np.testing.assert_allclose(mixed[0].forces, clusters[0].forces, atol=1e-7)
    with pytest.raises(InputError, match="no frame has 'REF_force'"):
        read_frames(tmp_path / "a.xyz", {"energy": "REF_energy", "forces": "REF_force"})
    with pytest.raises(InputError, match="keys names magmom"):
        read_frames(tmp_path / "a.xyz", {"magmom": "REF_magmom"})
    with pytest.raises(InputError, match="no frame has 'REF_dipole', which keys names for dipole"):
        read_frames(tmp_path / "a.xyz", {"dipole": "REF_dipole"})


def test_an_ase_database_gives_labels_data_and_weights_back(tmp_path, clusters):
    with connect(tmp_path / "frames.db") as rows:
        for frame in clusters[:2]:
            rows.write(with_results(frame), data={"hessian": frame.second.matrices[0].real}, energy_weight=3.0)
    found = read_frames(tmp_path / "frames.db")
    for frame, given in zip(found, clusters[:2], strict=True):
        assert frame.energy == given.energy
        assert frame.weight("energy") == 3
        np.testing.assert_array_equal(frame.forces, given.forces)
        np.testing.assert_array_equal(frame.second.matrices, given.second.matrices)


def test_vibrations_data_gives_its_hessian_back(tmp_path):
    atoms = cluster()
    vibrations = PairCalculator().get_vibrations(atoms)
    vibrations.write(tmp_path / "v.json")
    (found,) = read_frames(tmp_path / "v.json")
    np.testing.assert_allclose(found.second.matrices[0], vibrations.get_hessian_2d(), atol=1e-12)
    assert found.second.is_real
    PairCalculator().get_vibrations(atoms, [0, 1, 2]).write(tmp_path / "part.json")
    with pytest.raises(InputError, match="of 3 of the 5 atoms"):
        read_frames(tmp_path / "part.json")
    write_json(tmp_path / "other.json", {"a": 1})
    with pytest.raises(InputError, match="cannot be read"):
        read_frames(tmp_path / "other.json")


@pytest.mark.data
def test_vasprun_gives_forces_of_the_file_and_the_free_energy(data):
    path = data / "data/phonopy/NaCl/vasprun.xml-001"
    (found,) = read_frames(path)
    atoms = read(path, format="vasp-xml")
    assert len(found.atoms) == 64
    assert found.energy == atoms.calc.results["free_energy"]
    np.testing.assert_array_equal(found.forces, atoms.calc.results["forces"])
    assert found.stress.shape == (3, 3)


def test_a_wildcard_and_a_list_of_files(tmp_path, clusters):
    for k in range(3):
        write(tmp_path / f"part{k}.xyz", with_results(clusters[k]), format="extxyz")
    assert len(read_frames(tmp_path / "part*.xyz")) == 3
    assert len(read_frames([tmp_path / "part0.xyz", tmp_path / "part2.xyz"])) == 2
    with pytest.raises(InputError, match="does not exist"):
        read_frames(tmp_path / "nothing*.xyz")


def test_what_ase_cannot_read_is_refused(tmp_path):
    (tmp_path / "a.xyz").write_text("not a structure\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_frames(tmp_path / "a.xyz")


# What a frame must be


def test_a_frame_without_labels_is_refused_with_what_it_holds(tmp_path):
    atoms = cluster()
    atoms.info["dft_energy"] = -1.0
    write(tmp_path / "a.xyz", atoms, format="extxyz")
    with pytest.raises(InputError, match=r"a\.xyz:0 has no energy, no forces") as error:
        read_frames(tmp_path / "a.xyz")
    assert "dft_energy" in error.value.remedy


@pytest.mark.parametrize("label", ["energy", "forces", "stress", "second", "positions"])
def test_labels_that_are_not_finite_are_refused(label):
    values = {"energy": -1.0, "forces": np.zeros((5, 3)), "stress": np.zeros((3, 3))}
    matrices, atoms = np.zeros((1, 15, 15), complex), cluster()
    if label == "second":
        matrices[0, 3, 4] = complex(0, np.nan)
    elif label == "positions":
        atoms.positions[2, 1] = np.inf
    elif label == "energy":
        values["energy"] = np.nan
    else:
        values[label][1, 2] = np.nan
    with pytest.raises(InputError, match="1 values that are not finite"):
        Frame(atoms, **values, second=SecondOrder(np.zeros((1, 3)), matrices), origin="here")


@pytest.mark.parametrize(
    "labels",
    [
        {"energy": np.zeros(5)},
        {"forces": np.zeros((4, 3))},
        {"forces": np.zeros((3, 5))},
        {"stress": np.zeros(6)},
        {"second": SecondOrder(np.zeros((2, 3)), np.zeros((1, 15, 15)))},
        {"second": SecondOrder(np.zeros(3), np.zeros((1, 15, 15)))},
        {"spectrum": Spectrum(np.zeros((1, 3)), np.zeros((1, 14)))},
    ],
)
def test_labels_of_a_wrong_shape_are_refused(labels):
    with pytest.raises(InputError, match="of shape"):
        Frame(cluster(), **labels)


def test_a_hessian_of_another_shape_is_refused(clusters):
    with pytest.raises(InputError, match=r"shape \(15, 14\)"):
        frame_of_hessian(cluster(), np.zeros((15, 14)))
    atoms = with_results(clusters[0])
    atoms.info["hessian"] = np.zeros(100)
    with pytest.raises(InputError, match=r"shape \(100,\)"):
        frame_of_atoms(atoms)


def test_labels_that_are_no_numbers_are_refused():
    atoms = cluster()
    atoms.info["energy"] = "about -3"
    with pytest.raises(InputError, match="energy is 'about -3'"):
        frame_of_atoms(atoms, {"energy": "energy"})


def test_unknown_negative_and_mistyped_weights_are_refused(clusters):
    with pytest.raises(InputError, match="weights for charges"):
        changed(clusters[0], weights=(("charges", 1.0),))
    with pytest.raises(InputError, match=r"weights .*-1"):
        changed(clusters[0], weights=(("energy", -1.0),))
    with pytest.raises(InputError, match="not finite"):
        changed(clusters[0], weights=(("energy", np.nan),))
    for name in ("force_weight", "energy_weigth", "config_weight"):
        atoms = with_results(clusters[0])
        atoms.info[name] = 2.0
        with pytest.raises(InputError, match=name):
            frame_of_atoms(atoms)


def test_a_spectrum_at_other_wave_vectors_than_the_matrices_is_refused(clusters):
    # Kills: both read with one index, which compares frequencies with those of another q.
    frequencies = np.zeros((1, 15))
    with pytest.raises(InputError, match="not the same"):
        Frame(cluster(), second=clusters[0].second, spectrum=Spectrum(np.full((1, 3), 0.5), frequencies))
    Frame(cluster(), second=clusters[0].second, spectrum=Spectrum(np.zeros((1, 3)), frequencies))


# Units and signs


def test_right_labels_pass(clusters):
    check_frames(clusters)
    check_frames([frame_of_atoms(atoms) for atoms in strained_crystals()])


@pytest.mark.parametrize(
    ("energy", "forces", "word"),
    [
        (1, -1, "opposite sign"),
        (1, BOHR / HARTREE, "forces in Hartree/Bohr, energies in eV"),
        (1 / HARTREE, BOHR / HARTREE, "energies in Hartree and forces in Hartree/Bohr"),
        (1 / HARTREE, 1, "Hartree"),
        (23.0605, 1, "kcal/mol"),
        (1, 1000, "meV"),
        (1, -BOHR / HARTREE, "another unit or sign"),
    ],
)
def test_forces_that_are_not_the_slope_of_the_energy_are_refused(clusters, energy, forces, word):
    wrong = [changed(f, energy=energy * f.energy, forces=forces * f.forces, second=None) for f in clusters]
    with pytest.raises(InputError, match="disagree by a factor") as error:
        check_frames(wrong)
    assert word in str(error.value)


@pytest.mark.parametrize(
    ("factor", "word"),
    [
        (-1, "sign is that of force derivatives"),
        (BOHR**2 / HARTREE, "Hartree/Bohr²"),
        (2 * BOHR**2 / HARTREE, "Rydberg/Bohr²"),
        (1000, "the unit is not eV/Å²"),
    ],
)
def test_hessians_of_another_sign_or_unit_are_refused(clusters, factor, word):
    with pytest.raises(InputError) as error:
        check_frames([scaled(f, factor) for f in clusters])
    assert word in str(error.value)


def test_a_hessian_with_hydrogen_in_hartree_is_recognised_by_itself():
    # One frame, nothing to compare with: no bond to hydrogen vibrates at 11 THz.
    atoms = molecule("H2")
    along = np.zeros(6)
    along[[2, 5]] = 1, -1
    hessian = 36.0 * np.outer(along, along)
    check_frames([frame_of_hessian(atoms, hessian)])
    with pytest.raises(InputError, match="THz") as error:
        check_frames([frame_of_hessian(atoms, hessian / (HARTREE / BOHR**2))])
    assert "97.17" in error.value.remedy


def test_one_hessian_among_frames_with_forces_is_compared_with_them(clusters):
    """Kills: units looked at only where every frame has a Hessian."""
    bare = [changed(f, second=None) for f in clusters[1:]]
    near = changed(clusters[0], second=None)
    step = np.random.default_rng(0).normal(0, 0.02, near.atoms.positions.shape)
    hessian = clusters[0].second.matrices[0].real
    moved = Atoms(near.atoms.numbers, near.atoms.positions + step)
    beside = Frame(moved, forces=near.forces - (hessian @ step.ravel()).reshape(-1, 3))
    check_frames([clusters[0], beside, *bare])
    with pytest.raises(InputError, match="disagree by a factor"):
        check_frames([scaled(clusters[0], 0.3), beside, *bare])
    # Kills: the one Hessian thinned out with the many frames around it.
    rng = np.random.default_rng(1)
    many = []
    for size in rng.normal(0, 0.02, 901):
        displaced = size * step / np.abs(step).max()
        forces = near.forces - (hessian @ displaced.ravel()).reshape(-1, 3)
        many.append(Frame(Atoms(near.atoms.numbers, near.atoms.positions + displaced), forces=forces))
    check_frames([clusters[0], *many])
    with pytest.raises(InputError, match="disagree by a factor"):
        check_frames([scaled(clusters[0], 0.3), *many])


@pytest.mark.parametrize("order", [(1, 0, 3, 2), (0, 2, 1, 3)])
def test_a_hessian_with_its_axes_exchanged_is_refused(clusters, order):
    frame = clusters[0]
    n = len(frame.atoms)
    turned = frame.second.matrices[0].real.reshape(n, 3, n, 3).transpose(order).reshape(3 * n, 3 * n)
    with pytest.raises(InputError, match="atom, axis, atom, axis"):
        check_frames([frame_of_hessian(frame.atoms, turned)])


def test_a_squeezed_bond_to_hydrogen_is_no_wrong_unit():
    """O-H at 0.7 Å: beyond any spectrum, and a right label all the same."""
    atoms = Atoms("OH", positions=[[0, 0, 0], [0, 0, 0.7]])
    along = np.diag([0, 0, 1.0])
    check_frames([frame_of_hessian(atoms, np.kron([[400, -400], [-400, 400]], along))])
    with pytest.raises(InputError, match="nothing vibrates like that"):
        check_frames([frame_of_hessian(atoms, np.kron([[400, -400], [-400, 400]], along) * 97.17)])


def test_stresses_in_gpa_or_of_a_pressure_are_refused():
    frames = [frame_of_atoms(atoms) for atoms in strained_crystals()]
    with pytest.raises(InputError, match="GPa"):
        check_frames([changed(f, stress=160.21766 * f.stress) for f in frames])
    factor = 2 / np.median([np.abs(f.stress).max() for f in frames])  # a stress that a solid survives
    gentle = [changed(f, stress=factor * f.stress) for f in frames]
    with pytest.raises(InputError, match="bulk modulus"):
        check_frames(gentle)
    with pytest.raises(InputError, match="sign is that of a pressure"):
        check_frames([changed(f, stress=-f.stress) for f in frames])


def test_five_frames_do_not_decide_the_sign_of_a_stress():
    """Sheared and rattled cells have stresses of any sign: one crystal in twenty would be refused by chance."""
    rng = np.random.default_rng(1)
    frames = [frame_of_atoms(atoms) for atoms in strained_crystals()][:5]
    volumes = [f.atoms.get_volume() for f in frames]
    falling = np.interp(volumes, np.sort(volumes), [0.01, 0.005, 0.0, -0.005, -0.01])
    check_frames([changed(f, stress=np.eye(3) * x + 1e-4 * rng.normal()) for f, x in zip(frames, falling, strict=True)])


def test_the_stress_of_a_molecule_is_refused(clusters):
    with pytest.raises(InputError, match="has a stress but pbc"):
        check_frames([changed(clusters[0], stress=np.eye(3))])


def test_frequencies_in_wavenumbers_are_refused():
    frequencies = np.linspace(0, 15, 15)[None]
    check_frames([Frame(cluster(), spectrum=Spectrum(np.zeros((1, 3)), frequencies))])
    with pytest.raises(InputError, match="1/cm"):
        check_frames([Frame(cluster(), spectrum=Spectrum(np.zeros((1, 3)), 33.35641 * frequencies))])


def test_noise_at_gamma_of_one_atom_to_a_cell_is_not_taken_for_a_sign_or_an_order():
    # Kills: size, symmetry and trace judged at each q by itself, where q = 0 of one atom is nothing but rounding.
    matrices = np.array([-1e-9 * np.arange(9.0).reshape(3, 3), np.diag([9.0, 8, 7])], complex)
    qpoints = np.array([[0, 0, 0], [0.5, 0, 0]])
    check_frames([Frame(bulk("Si", "bcc", 3.2), second=SecondOrder(qpoints, matrices))])


def test_a_crystal_far_from_any_minimum_is_not_taken_for_a_wrong_sign():
    """Eigenvalues [eV/Å²] of AlF as a universal potential has them, and of a crystal with two soft modes, negated."""
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))[0]
    qpoint = np.array([[0.1, 0.2, 0.3]])

    def labelled(eigenvalues):
        matrix = turn @ np.diag(eigenvalues) @ turn.T
        return Frame(bulk("AlF", "zincblende", 5.2), second=SecondOrder(qpoint, matrix[None] + 0j))

    check_frames([labelled([-3.3, -2.7, -2.2, 0.2, 0.4, 2.8])])
    with pytest.raises(InputError, match="sign is that of force derivatives"):
        check_frames([labelled([3.0, 0.5, -5.0, -8.0, -20.0, -30.0])])


@pytest.mark.data
def test_ethanol_is_accepted_as_it_is_and_refused_as_anything_else(data):
    """Real labels: PBE energies, gradients and Hessians in atomic units."""
    with np.load(data / "data/ethanol_pbe_def2svp_efh_train.npz") as file:
        found = {name: file[name][:200] if name != "Z" else file[name] for name in "RZEGH"}

    def frames(energy=HARTREE, gradient=-HARTREE / BOHR, curvature=HARTREE / BOHR**2, order=(0, 2, 1, 3), count=200):
        return [
            frame_of_hessian(
                Atoms(found["Z"], found["R"][k]),
                curvature * found["H"][k].transpose(order).reshape(27, 27),
                energy=energy * found["E"][k].item(),
                forces=gradient * found["G"][k],
            )
            for k in range(count)
        ]

    check_frames(frames())
    for wrong in ({"energy": 1}, {"gradient": HARTREE / BOHR}, {"gradient": -1}, {"energy": 1, "gradient": -1}):
        with pytest.raises(InputError, match="disagree by a factor"):
            check_frames(frames(**wrong))
    for wrong, word in (
        ({"curvature": 1}, "Hartree/Bohr²"),
        ({"curvature": -HARTREE / BOHR**2}, "multiply by -1"),
        ({"order": (0, 1, 2, 3)}, "atom, axis, atom, axis"),
        ({"order": (2, 0, 3, 1)}, "atom, axis, atom, axis"),
    ):
        with pytest.raises(InputError) as error:
            check_frames(frames(**wrong, count=1))
        assert word in str(error.value)


# HDF5


@pytest.fixture
def mixture(clusters):
    """Frames with every mix of labels."""
    rng = np.random.default_rng(3)
    crystal = triclinic()
    crystal.set_masses([28.5, 16, 13, 18])
    matrices = rng.normal(size=(2, 12, 12)) + 1j * rng.normal(size=(2, 12, 12))
    matrices += matrices.conj().transpose(0, 2, 1) + 40 * np.eye(12)
    qpoints = np.array([[0.1, 0.2, 0.3], [0, 0.5, 0.25]])
    slab = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]], cell=[3, 3, 0], pbc=[True, True, False])
    return [
        clusters[0],
        Frame(crystal, stress=0.01 * np.eye(3), second=SecondOrder(qpoints, matrices), weights=(("curvature", 0.5),)),
        Frame(slab, energy=-3.0, weights=(("energy", 1.0), ("forces", 2))),
        Frame(crystal, spectrum=Spectrum(qpoints, np.sort(rng.uniform(0, 20, (2, 12)), 1)), origin="spectra Å"),
        Frame(crystal, spectrum=lines_of_two_species(qpoints)),
    ]


def lines_of_two_species(qpoints: np.ndarray) -> Spectrum:
    """Some frequencies of twelve, four of one species and eight of another, in some basis."""
    rng = np.random.default_rng(4)
    basis = np.linalg.qr(rng.normal(size=(2, 12, 12)) + 1j * rng.normal(size=(2, 12, 12)))[0]
    species = (basis * np.repeat([0.0, 1.0], [4, 8])) @ basis.conj().swapaxes(1, 2)
    weights = np.zeros((2, 12))
    weights[:, [1, 3, 4, 11]] = [1.0, 0.25, 1.0, 4.0]
    frequencies = np.where(weights, [0, 3.0, 0, 19.0, 2.0, 0, 0, 0, 0, 0, 0, 7.0], 0.0)
    return Spectrum(qpoints, frequencies, weights, species)


def test_everything_survives_the_file(tmp_path, mixture):
    save_frames(mixture, tmp_path / "frames.h5")
    found = read_frames(tmp_path / "frames.h5")
    same_frames(mixture, found)
    assert fingerprint(mixture) == fingerprint(found)
    assert [f.origin for f in found] == [f.origin for f in mixture]
    assert find_elements(found) == (6, 8, 14)
    with pytest.raises(OutputError, match="exists"):
        save_frames(mixture, tmp_path / "frames.h5")
    save_frames(mixture[:1], tmp_path / "frames.h5", overwrite=True)
    same_frames(mixture[:1], read_frames(tmp_path / "frames.h5"))
    assert os.listdir(tmp_path) == ["frames.h5"]


def test_single_precision_labels_survive_the_file(tmp_path, clusters):
    # Kills: a fingerprint of the bytes in memory, which the file's float64 copy cannot have.
    low = [
        changed(
            f,
            energy=np.float32(f.energy),
            forces=f.forces.astype(np.float32),
            second=SecondOrder(np.zeros((1, 3), int), f.second.matrices.real.astype(np.float32)),
        )
        for f in clusters[:2]
    ]
    save_frames(low, tmp_path / "frames.h5")
    found = read_frames(tmp_path / "frames.h5")
    np.testing.assert_array_equal(found[1].forces, low[1].forces)


@pytest.mark.parametrize("label", ["energy", "forces", "stress", "second", "spectrum", "weights", "masses", "order"])
def test_the_fingerprint_sees_every_label(clusters, label):
    frames = clusters[:2]
    spectrum = Spectrum(np.zeros((1, 3)), np.ones((1, 15)))
    masses = frames[0].atoms.copy()
    masses.set_masses([28.0, 28, 28, 28, 29])
    other = {
        "energy": lambda f: changed(f, energy=f.energy + 1e-9),
        "forces": lambda f: changed(f, forces=f.forces + 1e-12),
        "stress": lambda f: changed(f, stress=np.zeros((3, 3))),
        "second": lambda f: scaled(f, 1 + 1e-12),
        "spectrum": lambda f: Frame(f.atoms, f.energy, f.forces, None, f.second, spectrum),
        "weights": lambda f: changed(f, weights=(("stress", 0.5),)),
        "masses": lambda f: Frame(masses, f.energy, f.forces, None, f.second),
    }
    new = frames[::-1] if label == "order" else [other[label](frames[0]), frames[1]]
    assert fingerprint(new) != fingerprint(frames)


def test_a_file_with_any_byte_changed_is_read_as_it_was_or_refused(tmp_path, mixture):
    """Whatever is damaged, no label comes out different.

    Kills: a damaged file given to HDF5, whose library then may never return (about one bit in a thousand).
    """
    path, whole = tmp_path / "frames.h5", tmp_path / "whole.h5"
    save_frames(mixture, whole)
    content = bytearray(whole.read_bytes())
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(len(content), size=300):
        damaged = content.copy()
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            found = read_frames(path)
        except InputError as error:
            refused += str(path) in str(error)
        else:
            assert fingerprint(found) == fingerprint(mixture)
    assert refused == 300


@pytest.mark.parametrize("part", [0, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(tmp_path, mixture, part):
    path = tmp_path / "frames.h5"
    save_frames(mixture, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(InputError, match=r"frames\.h5"):
        read_frames(path)


def test_a_changed_label_is_noticed(tmp_path, mixture):
    path = tmp_path / "frames.h5"
    save_frames(mixture, path)
    with h5py.File(path, "r+") as file:
        file["forces"][2, 1] += 1e-6
    with pytest.raises(InputError, match="checksum"):
        read_frames(path)
    path.write_bytes(sealed(io.BytesIO(path.read_bytes())))
    with pytest.raises(InputError, match="fingerprint"):
        read_frames(path)


def test_another_hdf5_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="does not begin with the checksum"):
        read_frames(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes(pack({"x": 1}))
    with pytest.raises(InputError, match="header says"):
        read_frames(tmp_path / "b.h5")


# phonopy


def phonopy_of(atoms: Atoms, supercell, primitive=None) -> Phonopy:
    cell = PhonopyAtoms(
        numbers=atoms.numbers, cell=atoms.cell.array, scaled_positions=atoms.get_scaled_positions(wrap=False)
    )
    return Phonopy(cell, supercell_matrix=supercell, primitive_matrix=np.eye(3) if primitive is None else primitive)


def test_phonopy_labels_are_the_lattice_matrices_where_the_conjugate_fails():
    """Force constants through phonopy come back as sum_R Phi(R) exp(2 pi i q.R) of the potential itself.

    Kills: the phase with positions, the opposite sign of q, masses left in, a transposed matrix.
    """
    potential = two_hop_potential(3.6)
    atoms = triclinic()
    phonopy = get_phonopy(atoms, PhonaxCalculator(potential), [[2, 0, 0], [1, 3, 0], [0, 0, 2]])
    frame = frame_of_phonopy(phonopy, "here")
    assert len(frame.second.qpoints) == 8  # of 12 wave vectors 4 are their own opposites, 8 make four pairs
    exact = np.array(Evaluator(potential, np.float64).lattice_matrices(frame.atoms, frame.second.qpoints))
    size = np.abs(exact).max()
    np.testing.assert_allclose(frame.second.matrices, exact, atol=1e-9 * size)
    complex_ones = [k for k, q in enumerate(frame.second.qpoints) if np.any(np.abs(2 * q - np.rint(2 * q)) > 1e-6)]
    assert complex_ones
    for k in complex_ones:
        assert np.abs(frame.second.matrices[k].conj() - exact[k]).max() > 1e-3 * size
    assert not frame.second.is_real


def test_phonopy_labels_keep_isotopes_and_the_primitive_cell():
    potential = two_hop_potential(3.6)
    conventional = bulk("SiC", "zincblende", 4.3, cubic=True)
    conventional.set_masses([28.0, 13.0] * 4)
    half = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    phonopy = get_phonopy(conventional, PhonaxCalculator(potential), 1, primitive_matrix=half)
    frame = frame_of_phonopy(phonopy)
    assert len(frame.atoms) == 2
    assert sorted(frame.atoms.get_masses()) == [13, 28]
    exact = np.array(Evaluator(potential, np.float64).lattice_matrices(frame.atoms, frame.second.qpoints))
    np.testing.assert_allclose(frame.second.matrices, exact, atol=1e-9 * np.abs(exact).max())


def pair_phonopy(with_forces: bool) -> Phonopy:
    atoms = bulk("Si", "bcc", 3.2)
    phonopy = phonopy_of(atoms, np.diag([2, 2, 2]))
    calc = PairCalculator()
    if with_forces:
        phonopy.generate_displacements(distance=0.01)
        phonopy.forces = [
            calc.get_forces(Atoms(numbers=c.numbers, positions=c.positions, cell=c.cell, pbc=True))
            for c in phonopy.supercells_with_displacements
        ]
    return phonopy


def test_yaml_with_forces_gives_matrices_and_displaced_cells(tmp_path):
    phonopy = pair_phonopy(True)
    phonopy.save(tmp_path / "phonopy_params.yaml", settings={"force_sets": True, "displacements": True})
    first, *displaced = read_frames(tmp_path / "phonopy_params.yaml")
    calc = PairCalculator()
    for q, matrix in zip(first.second.qpoints, first.second.matrices, strict=True):
        # The dynamical matrix of one atom has no phases of positions.
        exact = calc.get_dynamical_matrix(first.atoms, [q])[0] * first.atoms.get_masses()[0]
        np.testing.assert_allclose(matrix, exact, atol=2e-3 * 20)  # differences of a 0.01 Å step
    assert len(displaced) == len(phonopy.supercells_with_displacements)
    np.testing.assert_allclose(displaced[0].forces, calc.get_forces(displaced[0].atoms), atol=1e-7)


def test_force_sets_beside_the_yaml_are_used_and_not_those_of_the_working_directory(tmp_path, monkeypatch):
    phonopy = pair_phonopy(True)
    folder, elsewhere = tmp_path / "crystal", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    phonopy.save(folder / "phonopy_disp.yaml", settings={"force_sets": False, "displacements": True})
    write_FORCE_SETS(phonopy.dataset, filename=str(folder / "FORCE_SETS"))
    shutil.copy(folder / "phonopy_disp.yaml", elsewhere / "phonopy_disp.yaml")
    first, *displaced = read_frames(folder / "phonopy_disp.yaml")
    assert len(displaced) == len(phonopy.supercells_with_displacements)
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match="neither force constants nor forces"):
        read_frames(elsewhere / "phonopy_disp.yaml")
    phonopy.produce_force_constants()
    write_FORCE_CONSTANTS(phonopy.force_constants, filename=str(elsewhere / "FORCE_CONSTANTS"))
    (again,) = read_frames(elsewhere / "phonopy_disp.yaml")
    np.testing.assert_allclose(again.second.matrices, first.second.matrices, atol=1e-7)  # ten digits in FORCE_SETS
    other = pair_phonopy(True)
    other.dataset["first_atoms"][0]["displacement"][0] += 0.02
    write_FORCE_SETS(other.dataset, filename=str(elsewhere / "FORCE_SETS"))
    with pytest.raises(InputError, match="other displacements"):
        read_frames(elsewhere / "phonopy_disp.yaml")


def test_binary_constants_beside_the_yaml_are_read_plain_and_in_their_unit_or_refused(tmp_path):
    """Kills: phonopy's own reader, which follows links into other files and looks at no unit."""
    phonopy = pair_phonopy(True)
    phonopy.produce_force_constants()
    phonopy.save(tmp_path / "phonopy_disp.yaml", settings={"force_sets": False, "displacements": True})
    path, constants = tmp_path / "force_constants.hdf5", phonopy.force_constants
    write_force_constants_to_hdf5(constants, str(path), phonopy.primitive.p2s_map, "eV/angstrom^2", compression="gzip")
    (frame,) = read_frames(tmp_path / "phonopy_disp.yaml")
    np.testing.assert_allclose(frame.second.matrices, frame_of_phonopy(phonopy).second.matrices, atol=1e-12)
    write_force_constants_to_hdf5(constants, str(path), phonopy.primitive.p2s_map, "Ry/au^2")
    with pytest.raises(InputError, match=r"force_constants\.hdf5 is in Ry/au\^2"):
        read_frames(tmp_path / "phonopy_disp.yaml")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = constants
    with h5py.File(path, "w") as file:
        file["force_constants"] = h5py.ExternalLink("other.h5", "/secret")
    with pytest.raises(InputError, match=r"is a link to 'other\.h5//secret'"):
        read_frames(tmp_path / "phonopy_disp.yaml")
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500))
    with pytest.raises(InputError, match="HDF5 does not read it"):
        read_frames(tmp_path / "phonopy_disp.yaml")


def test_phonopy_files_in_the_units_of_another_program_are_refused(tmp_path):
    phonopy = pair_phonopy(True)
    foreign = Phonopy(phonopy.unitcell, phonopy.supercell_matrix, primitive_matrix=np.eye(3), calculator="qe")
    foreign.dataset = phonopy.dataset
    foreign.save(tmp_path / "phonopy_params.yaml", settings={"force_sets": True, "displacements": True})
    with pytest.raises(InputError, match="qe and is in au"):
        read_frames(tmp_path / "phonopy_params.yaml")


def test_what_phonopy_cannot_read_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [1, 2\n")
    with pytest.raises(InputError, match=r"a\.yaml"):
        read_frames(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("a: 1\n")
    with pytest.raises(InputError, match=r"b\.yaml"):
        read_frames(tmp_path / "b.yaml")


@pytest.mark.data
@pytest.mark.parametrize(("name", "atoms", "n_q", "cells"), [("NaCl", 2, 20, 2), ("MgB2", 3, 10, 2)])
def test_phonopy_examples(data, name, atoms, n_q, cells):
    first, *displaced = read_frames(data / f"data/phonopy/{name}/phonopy_disp.yaml")
    assert len(first.atoms) == atoms
    assert len(displaced) == cells
    # As many wave vectors as cells in the supercell, one of each pair.
    assert len(first.second.qpoints) == n_q
    for matrix in first.second.matrices:
        np.testing.assert_allclose(matrix, matrix.conj().T, atol=1e-6)
