"""Labels made by a model: frames of the table, right derivatives, and a folder that can be gone on with."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write

from ase_phonax import PhonaxCalculator, read_frames
from ase_phonax.base.errors import InputError, StructureError
from ase_phonax.cli import main
from ase_phonax.training.labels.frames import fingerprint
from ase_phonax.training.labels.teacher import LabelRecipe, Perturbation, label, perturbed

RECIPE = LabelRecipe(
    fmax=0.01,
    smax=1e-3,
    perturbations=(
        Perturbation(waves=2),
        Perturbation(positions=0.1, cell=0.05, count=2),
        Perturbation(repeat=2, positions=0.1),
        Perturbation(repeat=2, positions=0.1, waves=0),
    ),
)
SALT = bulk("NaCl", "rocksalt", 5.6)


@pytest.fixture(scope="module")
def calc():
    return PhonaxCalculator("phonax-small")


@pytest.fixture(scope="module")
def frames(calc):
    return label(SALT, calc, RECIPE, 3, "here")


def test_frames_follow_the_table(frames):
    assert [len(f.atoms) for f in frames] == [2, 2, 2, 16, 16]
    assert [0 if f.second is None else len(f.second.qpoints) for f in frames] == [2, 1, 1, 1, 0]
    assert np.abs(frames[0].forces).max() < 0.01
    assert np.abs(frames[0].stress).max() < 1e-3
    assert not frames[0].second.is_real
    assert frames[3].second.is_real
    assert {f.origin for f in frames} == {"here"}


def test_second_derivatives_are_those_of_the_forces(frames, calc):
    # Central differences along a wave: on the repeat at q = 0, and on the cell through a supercell that holds the wave.
    frame = frames[3]
    rng = np.random.default_rng(0)
    direction = rng.standard_normal((16, 3))
    moved = [
        Atoms(frame.atoms, positions=frame.atoms.positions + s * direction, calculator=calc) for s in (1e-4, -1e-4)
    ]
    slope = -(moved[0].get_forces() - moved[1].get_forces()) / 2e-4
    found = (frame.second.matrices[0].real @ direction.ravel()).reshape(16, 3)
    assert np.abs(found - slope).max() < 1e-6 * np.abs(slope).max()


def test_noise_has_the_stated_size():
    # The mean square of 300 x 2 x 3 components is known to 5 %.
    rng = np.random.default_rng(0)
    row = Perturbation(positions=0.1, cell=0.05)
    many = [perturbed(SALT, row, rng) for _ in range(300)]
    cells = np.array([a.cell.array - SALT.cell.array for a in many])
    assert abs(cells.std() / 0.05 - 1) < 0.07
    rest = [a.positions - SALT.get_scaled_positions(wrap=False) @ a.cell.array for a in many]
    assert abs(np.std(rest) / 0.1 - 1) < 0.07


def test_a_structure_has_the_same_labels_wherever_it_stands(frames, calc):
    again = label(SALT, calc, RECIPE, 3, "here")
    assert fingerprint(again) == fingerprint(frames)
    assert fingerprint(label(SALT, calc, RECIPE, 4, "here")) != fingerprint(frames)


def test_molecules_have_hessians_and_neither_cells_nor_repeats(calc):
    found = label(molecule("CO2"), calc, RECIPE)
    assert [len(f.atoms) for f in found] == [3, 3, 3]
    assert all(f.second.is_real and f.stress is None for f in found)


def test_large_repeats_are_left_out(calc):
    assert [len(f.atoms) for f in label(SALT, calc, LabelRecipe(relax=False, max_atoms=15))] == [2] * 5


def test_an_element_the_teacher_does_not_know(calc):
    iron = bulk("Fe")
    iron.set_initial_magnetic_moments(None)  # ASE's iron is magnetic, which would be said first
    with pytest.raises(StructureError, match="Fe"):
        label(iron, calc, RECIPE)


def test_a_perturbation_that_is_none():
    with pytest.raises(InputError, match="describes no frames"):
        Perturbation(repeat=0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("salts.xyz", [SALT, bulk("Fe"), bulk("MgO", "rocksalt", 4.2)])
    (tmp_path / "recipe.yaml").write_text("relax: false\nperturbations:\n  - {waves: 2}\n  - {positions: 0.1}\n")
    return tmp_path


RUN = ["label", "salts.xyz", "--model", "phonax-small", "--recipe", "recipe.yaml", "--output", "out"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_command_goes_on_and_notes_what_fails(folder, capsys, workers):
    assert main([*RUN, "--workers", workers]) == 0
    said = capsys.readouterr().out
    assert "2 of 3 structures labelled" in said
    assert "Fe" in (folder / "out/failures.csv").read_text()
    paths = sorted((folder / "out/frames").iterdir())
    assert [p.name for p in paths] == ["0-NaCl.h5", "2-MgO.h5"]
    first = read_frames("out/frames/*.h5")
    assert len(first) == 4
    kept = paths[1].read_bytes(), paths[0].stat().st_mtime_ns
    paths[1].unlink()
    assert main(RUN) == 0
    assert fingerprint(read_frames("out/frames/*.h5")) == fingerprint(first)
    assert (paths[0].stat().st_mtime_ns, len(paths[1].read_bytes())) == (kept[1], len(kept[0]))
    assert json.loads((folder / "out/labels.json").read_text())["model"] == "phonax-small"


def test_labels_that_could_not_be_read_again_are_failures(folder, capsys):
    """A salt with ions 4.9 Å apart is unstable in every direction: second derivatives as of a wrong sign, which every
    reader refuses."""
    write("salts.xyz", [SALT, bulk("NaCl", "rocksalt", 9.8)])
    assert main([*RUN, "--workers", "1"]) == 0
    assert "1 of 2 structures labelled" in capsys.readouterr().out
    assert "have the trace -" in (folder / "out/failures.csv").read_text()
    assert len(read_frames("out/frames/*.h5")) == 2


def test_labels_of_two_kinds_are_not_mixed(folder, capsys):
    assert main(RUN) == 0
    (folder / "recipe.yaml").write_text("relax: false\nseed: 1\n")
    assert main(RUN) == 2
    assert "other recipe" in capsys.readouterr().err


def test_where_nothing_can_be_labelled_the_input_is_to_blame(folder, capsys):
    write("salts.xyz", [bulk("Fe")])
    assert main(RUN) == 2
    assert "does not know Fe" in capsys.readouterr().out


def test_labels_belong_to_structures_not_to_the_name_of_their_file(folder, capsys):
    assert main(RUN) == 0
    absolute = [str(folder / "salts.xyz") if word == "salts.xyz" else word for word in RUN]
    assert main(absolute) == 0
    write("salts.xyz", [SALT, bulk("Fe"), bulk("MgO", "rocksalt", 4.3)])
    assert main(RUN) == 2
    assert "other structures" in capsys.readouterr().err


def test_a_misspelt_key_of_the_recipe(folder, capsys):
    (folder / "recipe.yaml").write_text("perturbations:\n  - {position: 0.1}\n")
    assert main(RUN) == 2
    error = capsys.readouterr().err
    assert "perturbations[0].position" in error
    assert "did you mean 'positions'?" in error


def test_a_missing_file(folder, capsys):
    assert main(["label", "nothing.xyz"]) == 2
    assert "the structure file nothing.xyz does not exist" in capsys.readouterr().err
