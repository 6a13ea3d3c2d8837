"""The model that ships for crystals: what it promises, measured again on some of the crystals it never saw."""

import gzip
import importlib.util
import io
import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_phonax import Frame, PhonaxCalculator, list_models, load_model, save_frames, save_model
from ase_phonax.base.errors import StructureError
from ase_phonax.models.registry import DEFAULT
from ase_phonax.training.labels import SecondOrder

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/general_model"
SIDES = {"bent": {"bent": True}, "at rest": {}, "forces": {"second": False}}
WAVES = np.array([[0.1, 0.2, 0.3], [0.5, 0.0, 0.25]])


def script(name: str):
    """A module of the example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def crystals():
    """As the teacher relaxed them."""
    text = gzip.decompress((EXAMPLE / "crystals.extxyz.gz").read_bytes()).decode()
    return ase.io.read(io.StringIO(text), ":", format="extxyz")


def test_no_formula_that_is_held_out_was_trained_on(crystals):
    """Kills: a polymorph on either side, a crystal made by substitution with the formula of one held out."""
    sides = [{a.info["formula"] for a in crystals if a.info["held_out"] == held} for held in (True, False)]
    assert len(sides[0]) > 60
    assert not sides[0] & sides[1]
    listed = script("crystals")
    assert all(listed.is_held_out(a) == a.info["held_out"] and listed.formula(a) == a.info["formula"] for a in crystals)


@pytest.mark.data
def test_matrices_of_crystals_it_never_saw_are_near_its_teacher_s(crystals, data):
    """A third of the small crystals held out, at two wave vectors; the promise over all of them is in the card."""
    teacher, model = PhonaxCalculator(str(data / "weights/nequix-mp-1-pft.nqx")), PhonaxCalculator()
    chosen = [a for a in crystals if a.info["held_out"] and len(a) < 8][::3]
    assert len(chosen) > 10
    errors = []
    for atoms in chosen:
        theirs, ours = (calc.get_dynamical_matrix(atoms, WAVES) for calc in (teacher, model))
        errors.append(np.mean(np.linalg.norm(ours - theirs, axis=(1, 2)) / np.linalg.norm(theirs, axis=(1, 2))))
    # The median of a dozen scatters by a quarter around that of all.
    assert np.median(errors) < 1.25 * 0.10


def test_the_model_itself_says_what_to_cite(tiny, tmp_path, monkeypatch):
    """Kills: a citation on the card alone, which no summary.json repeats."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # the script adds its folder
    make = script("make")
    (tmp_path / "hessians").mkdir()
    labels = {"train": {"forces": 3, "curvature": 1}}
    trained = replace(tiny, provenance=replace(tiny.provenance, training={"labels": labels}))
    save_model(trained, tmp_path / "hessians/model.h5")
    (tmp_path / "summary.json").write_text("{}")
    make.card(Namespace(output=tmp_path, quick=True, teacher="phonax-small"))
    card = json.loads((tmp_path / "phonax-small.json").read_text())
    assert "2508.16067" in card["citation"]
    provenance = load_model(tmp_path / "phonax-small.h5").provenance
    assert provenance.citation == card["citation"]
    assert provenance.training_set == card["training_set"]
    assert card["training_set"].startswith("3 frames: energies, forces and stresses, D(q) of 1 of them")


def test_runs_to_compare_have_the_same_frames_apart_from_second_derivatives(tmp_path, monkeypatch):
    """Kills: labels of one crystal given to another, a displaced frame that one lacks, weights forgotten."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # the script adds its folder
    make, rng = script("make"), np.random.default_rng(0)
    solids = [bulk(name, "rocksalt", 5.0) for name in ("NaCl", "MgO", "LiF")]
    for held_out, atoms in zip((False, True, False), solids, strict=True):
        atoms.info["held_out"] = held_out
    ase.io.write(tmp_path / "structures.extxyz", solids)
    for folder in ("labels/frames", "bent/frames"):
        (tmp_path / folder).mkdir(parents=True)

    def frame(atoms, n_waves):
        moved = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
        moved.positions += 0.01 * rng.normal(size=(2, 3))
        matrices = np.array([np.diag(rng.normal(size=6)) for _ in range(n_waves)])
        second = SecondOrder(rng.random((n_waves, 3)), matrices.astype(complex)) if n_waves else None
        return Frame(moved, 0.0, 0.1 * rng.normal(size=(2, 3)), second=second)

    for k, atoms in enumerate(solids):
        save_frames([frame(atoms, n) for n in (4, 0, 0, 0, 0)], tmp_path / f"labels/frames/{k:04d}-x.h5")
    options = Namespace(output=tmp_path)
    learned = [displaced[-1] for _, _, displaced in make.learned_crystals(options)]
    bent = [replace(f, second=frame(f.atoms, 1).second) for f in learned]
    for k, f in enumerate(bent):
        save_frames([f], tmp_path / f"bent/frames/{k:04d}-x.h5")
    sides = {name: make.frames(options, **flags) for name, flags in SIDES.items()}
    frames = {name: [*training, *validation] for name, (training, validation) in sides.items()}
    assert [len(f) for f in frames.values()] == [6, 6, 6]
    for some in zip(*frames.values(), strict=True):
        assert len({f.atoms.positions.tobytes() + f.forces.tobytes() for f in some}) == 1
    assert [[f.second is not None for f in own] for own in frames.values()] == [
        [True, False, True] * 2,
        [True, False, False] * 2,
        [False] * 6,
    ]
    for found, expected in zip(frames["bent"][2::3], bent, strict=True):
        np.testing.assert_array_equal(found.second.matrices, expected.second.matrices)
        assert found.weight("curvature") != 1


def test_the_model_that_is_taken_unless_told_is_the_one_that_ships():
    assert PhonaxCalculator().potential.name == DEFAULT == list_models()[0].name


def test_an_element_outside_its_list_is_refused_with_the_list_and_models_that_have_it():
    with pytest.raises(StructureError) as error:
        PhonaxCalculator().get_potential_energy(bulk("Fe"))
    assert "Fe" in str(error.value)
    assert "nequix-mp-1" in str(error.value)
    assert "Zr" in str(error.value)
