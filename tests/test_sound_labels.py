"""Files of frames as people have them: cut, doubled, with labels under other names and of absurd size."""

import os
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_phonax import get_phonopy
from ase_phonax.base.errors import InputError, StructureError, SupercellError, UnstableWarning
from ase_phonax.phonons.sampling.meshes import get_mesh
from ase_phonax.structures.neighbours import neighbour_list
from ase_phonax.training.config import DataConfig, LossConfig
from ase_phonax.training.labels import Frame, read_frames, save_frames
from ase_phonax.training.labels.checks import check_frames
from ase_phonax.training.labels.teacher import Perturbation
from ase_phonax.training.partition import load_frames
from ase_phonax.training.setup import check_labels

from .crystals import CRYSTALS
from .labelled import moved_clusters, strained_crystals
from .pair_potential import PairCalculator


@pytest.fixture(scope="module")
def clusters():
    return moved_clusters(count=6)


def images(frames: list[Frame]) -> list[Atoms]:
    found = []
    for frame in frames:
        atoms = frame.atoms.copy()
        atoms.calc = SinglePointCalculator(atoms, energy=frame.energy, forces=frame.forces)
        found.append(atoms)
    return found


def text_of(frames: list[Frame], path) -> str:
    write(path, images(frames), format="extxyz")
    return path.read_text()


# ---- what a reader would leave out -----------------------------------------------------------------


@pytest.mark.parametrize("blank", ["\n", "  \n", "\t\n\n"])
def test_a_blank_line_between_frames_is_refused_where_it_stands(tmp_path, clusters, blank):
    """ASE's reader ends there: four of six frames were lost without a word."""
    path = tmp_path / "a.xyz"
    lines = text_of(clusters, path).splitlines(keepends=True)
    path.write_text("".join(lines[:14]) + blank + "".join(lines[14:]))
    with pytest.raises(InputError, match="line 15 is empty, after 2 frames, and more lines follow"):
        read_frames(path)
    path.write_text("".join(lines) + blank)
    assert len(read_frames(path)) == 6


def test_a_wrong_count_of_atoms_is_named_by_its_line(tmp_path, clusters):
    path = tmp_path / "a.xyz"
    lines = text_of(clusters, path).splitlines(keepends=True)
    lines[7] = "4\n"
    path.write_text("".join(lines))
    with pytest.raises(InputError, match=r"line 14 is .* where a number of atoms has to stand\n.* count on line 8"):
        read_frames(path)
    path.write_text("".join(lines[:12]))
    with pytest.raises(InputError, match="cannot be read: line 8 announces 4 atoms"):
        read_frames(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a" * 300 + ".xyz", "cannot be reached: File name too long"),
        ("loop.xyz", "cannot be reached: Too many levels"),
        ("pipe.xyz", "is a pipe or a device"),
        ("folder.xyz", "is a folder"),
        ("empty.h5", "is empty"),
        ("nul\0.xyz", "is no path"),
        ("*.nothing", "does not exist"),
    ],
)
def test_paths_of_frames_that_the_system_refuses(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    os.symlink("loop.xyz", "loop.xyz")
    os.mkfifo("pipe.xyz")
    os.mkdir("folder.xyz")
    open("empty.h5", "w").close()
    with pytest.raises(InputError, match=words):
        read_frames(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "[" * 5000),
        ("a.json", '{"__ase_objtype__": "vibrationsdata", "atoms": 3}'),
        ("a.yaml", "[" * 5000),
        ("a.yaml", "phonopy: {version: 0x_}"),
        ("a.yaml", "unit_cell: {lattice: 3}"),
        ("a.yaml.xz", "no xz"),
        ("a.db", "no database"),
        ("a.xyz", "1\nLattice='1 2' Properties=species:S:1:pos:R:3\nH 0 0 0\n"),
        ("a.xyz", "1\nProperties=species:S:1:pos:R:999999999999\nH 0 0 0\n"),
    ],
)
def test_damaged_files_of_frames_are_named(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=r"cannot be read|does not read it|no energy"):
        read_frames(path)


# ---- what is not read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("virial", np.eye(3).ravel()),
        ("virials", np.eye(3).ravel()),
        ("REF_stress", np.zeros(6)),
        ("my_Hessian", np.zeros(225)),
    ],
)
def test_labels_under_other_names_are_said(tmp_path, clusters, key, value):
    path = tmp_path / "a.xyz"
    found = images(clusters)
    for atoms in found:
        atoms.info[key] = value
    write(path, found, format="extxyz")
    with pytest.warns(UnstableWarning, match=rf"not read: {key} \(6 frames\)") as caught:
        read_frames(path)
    assert ("stress = -virial / volume" in str(caught[0].message)) == ("virial" in key)


def test_a_name_that_is_no_label_is_not_said(tmp_path, clusters):
    path = tmp_path / "a.xyz"
    found = images(clusters)
    for atoms in found:
        atoms.info |= {"energy_weight": 2.0, "config_type": "forces", "force_field": "none", "REF_energy": 1.0}
    write(path, found, format="extxyz")
    assert len(read_frames(path)) == 6  # energies are known, from where ASE has them; a warning would be an error


@pytest.mark.parametrize("pbc", [True, (True, True, False)])
def test_dipoles_of_periodic_structures_are_said_and_not_read(tmp_path, clusters, pbc):
    """Programs write them; a crystal that is trained on for its forces is no mistake."""
    path = tmp_path / "a.xyz"
    found = images(clusters)
    for atoms in found:
        atoms.set_cell([20, 20, 20])
        atoms.pbc = pbc
        atoms.info["dipole"] = np.array([0.1, 0.0, 2.0])
    write(path, found, format="extxyz")
    with pytest.warns(UnstableWarning, match=r"not read: dipole \(6 frames\)"):
        frames = read_frames(path)
    assert all(frame.dipole is None and frame.forces is not None for frame in frames)
    with pytest.raises(InputError, match="is periodic and has a label of its answer to a uniform field"):
        read_frames(path, {"forces": "forces", "dipole": "dipole"})


def test_frames_that_come_twice_are_said(tmp_path, clusters):
    text_of(clusters, tmp_path / "a.xyz")
    text_of(clusters[2:4], tmp_path / "b.xyz")
    here, there = str(tmp_path / "a.xyz"), str(tmp_path / "b.xyz")
    with pytest.warns(UnstableWarning, match="2 of 8 training frames come twice, the first is .*b.xyz:0"):
        load_frames(DataConfig(train=(here, there), valid=0), 0)
    with pytest.warns(UnstableWarning, match="2 of 2 validation frames are training frames, too"):
        load_frames(DataConfig(train=(here,), valid=(there,)), 0)
    # Repeats that are asked for, and a split of different frames: a warning would be an error.
    training, valid = load_frames(DataConfig(train=(here,), valid=0.2, repeat={here: 3}), 0)
    assert (len(training), len(valid)) == (15, 1)


def test_the_same_structure_with_another_kind_of_label_is_another_frame(tmp_path, clusters):
    forces = [replace(frame, second=None) for frame in clusters]
    hessians = [replace(frame, energy=None, forces=None) for frame in clusters]
    save_frames(forces, tmp_path / "a.h5")
    save_frames(hessians, tmp_path / "b.h5")
    training, _ = load_frames(DataConfig(train=(str(tmp_path / "a.h5"), str(tmp_path / "b.h5")), valid=0), 0)
    assert len(training) == 12


# ---- what nothing has ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"energy": 1e30}, r"has the energy 1e\+30 eV of 5 atoms"),
        ({"energy": 1e5}, r"an energy of 20000 eV/atom, and .* is the median of 6 frames"),
        ({"forces": np.full((5, 3), 1e6)}, r"has a force of 1e\+06 eV/Å"),
    ],
)
def test_one_label_of_absurd_size_is_refused_by_name(clusters, labels, words):
    frames = [replace(frame, second=None) for frame in clusters]
    check_frames(frames)
    frames[3] = replace(frames[3], **labels)
    with pytest.raises(InputError, match=words) as error:
        check_frames(frames)
    assert "cluster 3" in error.value.what


def test_energies_with_all_electrons_pass(clusters):
    frames = [replace(f, energy=f.energy - 5 * 8e5, second=None, forces=None) for f in clusters]
    check_frames(frames)


def test_one_absurd_stress_is_refused():
    frames = []
    for k, atoms in enumerate(strained_crystals(5)):
        stress = atoms.get_stress(voigt=False) * (1e9 if k == 2 else 1)
        frames.append(Frame(atoms, stress=stress, origin=f"crystal {k}"))
    with pytest.raises(InputError, match=r"crystal 2 .* a stress of"):
        check_frames(frames)


@pytest.mark.parametrize("cell", [[0, 0, 0], [3, 3, 0], [[1, 0, 0], [0, 1, 0], [1, 1, 0]]])
def test_a_stress_without_a_cell_is_refused(cell):
    atoms = Atoms("Si", cell=cell, pbc=True)
    with pytest.raises(InputError, match=r"is periodic .* and has the cell") as error:
        check_frames([Frame(atoms, stress=np.eye(3), origin="a frame")])
    assert "a stress has no volume" in error.value.why


def test_weights_that_leave_nothing_are_refused(clusters):
    zero = tuple((label, 0.0) for label in ("energy", "forces", "curvature"))
    frames = [replace(frame, weights=zero) for frame in clusters]
    with pytest.raises(InputError, match="every label of the training frames has the weight 0"):
        check_labels(frames, LossConfig())
    some = [*frames[1:], clusters[0]]
    check_labels(some, LossConfig())
    forces = [replace(frame, weights=(("forces", 0.0),)) for frame in clusters]
    with pytest.raises(InputError, match="every label of the training frames has the weight 0"):
        check_labels(forces, LossConfig(energy=0, curvature=0))


# ---- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"length": 1e9}, {"length": 1e300}, {"numbers": [10**9] * 3}, {"numbers": [0, 1, 1]}, {"numbers": [1.5, 1, 1]}],
)
def test_absurd_meshes_are_refused_before_phonopy_panics(options):
    phonopy = get_phonopy(CRYSTALS["diamond"][0], PairCalculator(), 1)
    with pytest.raises(InputError, match="the mesh "):
        get_mesh(phonopy, **options)


@pytest.mark.parametrize("supercell", [10**9, 1e30, [1, 1, 10**7], [[10**5, 0, 0], [0, 10**5, 0], [0, 0, 1]]])
def test_absurd_supercells_are_refused(supercell):
    with pytest.raises(SupercellError, match=r"the supercell .* cells"):
        get_phonopy(CRYSTALS["diamond"][0], PairCalculator(), supercell)


def test_absurd_cutoffs_of_any_potential_are_refused_with_the_number_of_images():
    with pytest.raises(StructureError, match=r"within the cutoff of the model, 1e\+09 Å, there are about"):
        neighbour_list(CRYSTALS["diamond"][0], 1e9)
    assert len(neighbour_list(CRYSTALS["diamond"][0], 21.0)[0])


@pytest.mark.parametrize("row", [{"repeat": 10**9}, {"count": 10**9}, {"waves": 10**9}, {"positions": 1e9}])
def test_absurd_perturbations_are_refused(row):
    with pytest.raises(InputError, match="the perturbation"):
        Perturbation(**row)
