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
from ase.build import bulk

from ase_phonax import PhonaxCalculator, list_models, load_model, save_model
from ase_phonax.errors import StructureError
from ase_phonax.weights import DEFAULT

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/general_model"
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
    assert card["training_set"].startswith("3 frames: energies, forces and stresses, D(q) of 1 crystals")


def test_the_model_that_is_taken_unless_told_is_the_one_that_ships():
    assert PhonaxCalculator().potential.name == DEFAULT == list_models()[0].name


def test_an_element_outside_its_list_is_refused_with_the_list_and_models_that_have_it():
    with pytest.raises(StructureError) as error:
        PhonaxCalculator().get_potential_energy(bulk("Fe"))
    assert "Fe" in str(error.value)
    assert "nequix-mp-1" in str(error.value)
    assert "Zr" in str(error.value)
