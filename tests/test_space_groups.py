"""spglib is asked once about a crystal at a tolerance, whoever asks, and its answers are shared without harm."""

import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk

from ase_phonax.base.errors import StructureError
from ase_phonax.base.sharing import Remembered
from ase_phonax.cli import main
from ase_phonax.structures import space_groups
from ase_phonax.structures.space_groups import get_operations, get_space_group, reduce_to_primitive

QUESTIONS = ("get_symmetry_dataset", "standardize_cell", "find_primitive", "get_symmetry", "get_spacegroup")


@pytest.fixture
def asked(monkeypatch):
    """(asking module, function, vectors, positions, species, tolerance) of every question to spglib about a crystal."""
    questions = []

    def counting(name, original):
        def ask(cell, symprec=1e-5, *arguments, **options):
            contents = tuple(np.asarray(part).tobytes() for part in cell[:3])
            asker = sys._getframe(1).f_globals["__name__"]
            questions.append((asker, name, *contents, symprec, *sorted(options.items())))
            return original(cell, symprec, *arguments, **options)

        return ask

    for name in QUESTIONS:
        monkeypatch.setattr(spglib, name, counting(name, getattr(spglib, name)))
    monkeypatch.setattr(space_groups, "_ANSWERS", Remembered(most=space_groups.ANSWERS_KEPT))
    return questions


def test_a_run_asks_spglib_no_question_twice(asked, tmp_path, monkeypatch):
    """Of silicon: as given, at rest (at the tolerance of the run and at that of exact symmetry), as phonopy has it."""
    monkeypatch.chdir(tmp_path)
    bulk("Si").write("Si.cif")
    assert main(["phonons", "Si.cif", "--quiet", "--no-exact", "--supercell", "3"]) == 0
    own = Counter(question for question in asked if question[0] == space_groups.__name__)
    assert own.total() <= 5
    assert set(own.values()) == {1}
    others = {question[0].split(".")[0] for question in asked} - {"ase_phonax"}
    assert others <= {"phonopy", "ase", "seekpath"}, "theirs are asked for their own objects"


def test_the_same_crystal_is_asked_about_once_and_another_anew(asked):
    atoms = bulk("SiC", "zincblende", 4.36)
    for same in (atoms, atoms.copy(), Atoms(atoms)):
        assert get_space_group(same).number == 216
        get_operations(same)
        reduce_to_primitive(same)
    assert len(asked) == 1
    changes = [
        (lambda a: a.set_positions(a.positions + 1e-12), {}),
        (lambda a: a.set_cell(a.cell * (1 + 1e-12)), {}),
        (lambda a: a.set_atomic_numbers([14, 14]), {}),
        (lambda a: None, {"symprec": 1e-4}),
    ]
    for count, (change, options) in enumerate(changes, 2):
        other = atoms.copy()
        change(other)
        get_space_group(other, **options)
        assert len(asked) == count


def test_isotopes_are_no_symmetry_after_the_plain_crystal_was_asked_about(asked):
    """Kills: a memory that knows crystals by their elements."""
    atoms = bulk("Si", cubic=True)
    assert get_space_group(atoms).n_primitive == 2
    atoms.set_masses([30.0, *[28.0855] * 7])
    assert get_space_group(atoms).n_primitive == 8


def test_answers_cannot_be_changed_by_whoever_asked():
    rotations, translations = get_operations(bulk("Si"))
    for array in (rotations, translations):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_refusal_is_not_remembered_as_an_answer(asked):
    twice = Atoms("Si2", positions=np.zeros((2, 3)), cell=np.eye(3) * 5, pbc=True)
    for _ in range(2):
        with pytest.raises(StructureError, match="spglib finds no space group"):
            get_space_group(twice)
    assert len(asked) == 2


def test_threads_that_ask_at_once_share_one_answer(asked):
    atoms = bulk("NaCl", "rocksalt", 5.64)
    with ThreadPoolExecutor(8) as pool:
        groups = list(pool.map(lambda _: get_space_group(atoms.copy()), range(32)))
    assert {group.number for group in groups} == {225}
    assert len(asked) == 1


def test_of_many_crystals_the_last_ones_are_remembered(asked):
    crystals = [bulk("Si", a=5.4 + 0.01 * k) for k in range(space_groups.ANSWERS_KEPT + 1)]
    for atoms in (*crystals, *reversed(crystals[1:])):
        get_space_group(atoms)
    assert len(asked) == len(crystals)
    get_space_group(crystals[0])
    assert len(asked) == len(crystals) + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of JAX, where another test has started it
def test_a_forked_process_asks_without_waiting(asked):
    get_space_group(bulk("Si"))
    child = os.fork()
    if child == 0:
        os._exit(0 if get_space_group(bulk("Si")).number == 227 and get_space_group(bulk("Cu")).number == 225 else 1)
    assert os.waitpid(child, 0)[1] == 0
