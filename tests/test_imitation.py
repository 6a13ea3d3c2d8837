"""A student that learns what a teacher computes inside."""

import dataclasses

import jax
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_phonax import imitate
from ase_phonax.base.errors import InputError
from ase_phonax.derivatives.compiled.responses import cast
from ase_phonax.derivatives.evaluator import Evaluator
from ase_phonax.models.nequip.config import layer_irreps
from ase_phonax.training.batches import Planner
from ase_phonax.training.config import OptimiserConfig, RunConfig, config_from
from ase_phonax.training.imitation import lessons
from ase_phonax.training.imitation.student import _items, inside, learn
from ase_phonax.training.labels.frames import Frame
from ase_phonax.training.setup import new_potential

from .conftest import TINY, random_potential
from .toy_network import toy_potential

TEACHER = dataclasses.replace(TINY, hidden_irreps="8x0e + 6x1o + 2x2e", l_max=2, n_layers=3, self_connection="shared")
STUDENT = dataclasses.replace(TINY, hidden_irreps="6x0e + 4x1o", cutoff=3.0)
NUMBERS = (1, 6, 8, 14)


def disordered(count: int, seed: int) -> list[Atoms]:
    """Silicon carbide, every atom moved."""
    rng, result = np.random.default_rng(seed), []
    for _ in range(count):
        atoms = bulk("SiC", "zincblende", a=4.36)
        atoms.positions += rng.normal(0, 0.15, (2, 3))
        result.append(atoms)
    return result


def test_answers_are_the_slopes_of_what_is_inside():
    """Against central differences, on a crystal and a molecule. Kills: a direction or an offset of the wrong end."""
    potential = random_potential(TEACHER, NUMBERS)
    water = Atoms("OH2", positions=[[0, 0, 0.12], [0, 0.76, -0.48], [0.1, -0.76, -0.48]])
    structures, step = [*disordered(2, 0), water], 1e-4
    rng = np.random.default_rng(1)
    directions = [rng.normal(size=(len(a), 3)) for a in structures]

    def look(shift: float) -> tuple:
        moved = [a.copy() for a in structures]
        for atoms, u in zip(moved, directions, strict=True):
            atoms.positions += shift * u
        items = _items(potential, [Frame(a, energy=0.0) for a in moved], directions, None)
        planner = Planner(items, len(items), n_shapes=1, dtype=np.float64)
        ((shape, members),) = planner.in_order()
        with jax.enable_x64(True):
            parameters = cast(potential.parameters, np.dtype("float64"))
            batch = planner.batch(shape, members, (0,))
            found = lessons.values_and_changes(inside(potential), potential.cutoff, parameters, batch)
            n = sum(len(structures[k]) for k in members)
            return jax.tree.map(lambda x: np.asarray(x)[:n], found)

    _, (features, energies) = look(0.0)
    (forward, e_forward), _ = look(step)
    (backward, e_backward), _ = look(-step)
    for slope, ahead, behind in zip([*features, energies], [*forward, e_forward], [*backward, e_backward], strict=True):
        assert np.abs(slope).max() > 1e-3
        # The differences' own error: step² times third derivatives, some ten thousand at most here.
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), atol=2e-4)


def test_a_student_has_learned_forces_that_nobody_showed_it():
    """Forces on structures it never saw, against the teacher's; a student left alone is off by more than their size."""
    teacher = random_potential(TEACHER, NUMBERS, seed=3)
    rows: list = []
    options = {"hidden_irreps": STUDENT.hidden_irreps, "n_layers": 2, "l_max": 1, "n_basis": 4, "cutoff": 3.0}
    config = {
        "network": options | {"radial_sizes": [8], "embedding": 4},
        "optimiser": {"method": "muon", "epochs": 40, "batch_size": 8, "learning_rate": 2e-2, "ema": 0.9},
        "run": {"n_shapes": 1},
    }
    structures = disordered(64, 0)
    frames = [Frame(a, forces=Evaluator(teacher, np.float64).energy_forces_stress(a)[1]) for a in structures[:8]]
    found = imitate(config, teacher, frames, structures, rows.append)
    assert found.provenance.level_of_theory == "imitates untrained (not stated)"
    student = new_potential(config_from(config), frames)
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    theirs, before, after = (
        np.concatenate([Evaluator(p, np.float64).energy_forces_stress(a)[1] for a in disordered(10, 99)])
        for p in (teacher, student, found)
    )
    size = np.linalg.norm(theirs)
    assert np.linalg.norm(before - theirs) > 0.8 * size
    assert np.linalg.norm(after - theirs) < 0.35 * size
    # Node energies of the teacher, not only their sum.
    atoms = disordered(1, 77)[0]
    own, its = (Evaluator(p, np.float64).energy_forces_stress(atoms)[0] for p in (found, teacher))
    np.testing.assert_allclose(own, its, atol=0.3 * np.abs(its).max())


@pytest.mark.slow
def test_an_interrupted_imitation_goes_on_to_the_same_student_the_best_by_validation(tmp_path):
    teacher = random_potential(TEACHER, NUMBERS, seed=3)
    student = random_potential(dataclasses.replace(STUDENT, n_species=2), (6, 14), seed=4)
    optimiser = OptimiserConfig(epochs=4, batch_size=4, learning_rate=2e-2, accumulate=1)
    run = RunConfig(n_shapes=1, checkpoint_seconds=0.0)
    rows: list = []

    def imitated(report, **more):
        with jax.enable_x64(False):
            return learn(student, teacher, disordered(8, 0), optimiser, run, report, valid=disordered(4, 50), **more)

    def interrupted(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    whole = imitated(rows.append)
    judged = [row["valid_loss"] for row in rows]
    assert np.isfinite(judged).all()
    assert min(judged) < judged[0]
    with pytest.raises(KeyboardInterrupt):
        imitated(interrupted, folder=tmp_path)
    assert (tmp_path / "history.csv").exists()
    resumed = imitated(None, folder=tmp_path, resume=True)
    for module, arrays in whole.parameters.items():
        for name, x in arrays.items():
            np.testing.assert_array_equal(x, resumed.parameters[module][name], err_msg=f"{module}/{name}")
    optimiser = dataclasses.replace(optimiser, epochs=5)
    with pytest.raises(InputError, match=r"optimiser\.epochs \(4 then, 5 now\)"):
        imitated(None, folder=tmp_path, resume=True)


def test_layers_are_compared_with_those_that_see_as_far():
    """First with first, last with last, what lies between with all between; the second layer brings odd scalars."""
    deep = random_potential(dataclasses.replace(TEACHER, n_layers=4), NUMBERS)
    for n_layers, layers in ((1, [0, 0, 0, 0]), (2, [0, 0, 0, 1]), (3, [0, 1, 1, 2]), (4, [0, 1, 2, 3])):
        config = dataclasses.replace(STUDENT, n_layers=n_layers, hidden_irreps="6x0e + 3x0o + 4x1o + 2x1e + 2x2e")
        student = dataclasses.replace(deep, config=config)
        found = lessons.make_lessons(student, deep)
        assert [lesson.layer for lesson in found] == layers
        assert all(lesson.of_student == layer_irreps(config)[lesson.layer][1] for lesson in found)


@pytest.mark.parametrize("n_theirs", range(1, 7))
@pytest.mark.parametrize("n_own", range(1, 7))
def test_layers_of_any_two_depths_are_paired_in_order(n_own, n_theirs):
    """Kills: a negative layer of a deeper student, late layers of it that nobody teaches."""
    pairs = lessons.pair_layers(n_own, n_theirs)
    assert len(pairs) == n_theirs
    assert pairs[-1] == n_own - 1
    assert pairs[0] == 0 or n_theirs == 1
    steps = np.diff(pairs)
    assert (steps >= 0).all()
    if 1 < n_theirs < n_own:
        assert steps.max() - steps.min() <= 1


def test_what_cannot_be_imitated_is_refused():
    """A network that does not tell what is inside, and a structure that the teacher does not know."""
    teacher, student = random_potential(TEACHER, NUMBERS), random_potential(STUDENT, NUMBERS)
    optimiser, toy = OptimiserConfig(epochs=1), toy_potential(NUMBERS, seed=7)
    for own, theirs, match in (
        (student, toy, f"the teacher {toy.name} does not"),
        (toy, teacher, "the student does not"),
    ):
        with pytest.raises(InputError, match=match):
            learn(own, theirs, disordered(1, 0), optimiser, RunConfig())
    carbide = disordered(1, 0)
    for structures, match in (
        ([], "no structures"),
        ([Frame(carbide[0])], r"structures\[0\] is of the type Frame, not Atoms"),
        (bulk("SiC", "zincblende", 4.4), r"structures\[0\] is of the type Atom, not Atoms"),
        ([bulk("Cu")], r"the student lacks Cu[\s\S]*leave such structures out"),
        (carbide, r"no structure has H, O[\s\S]*add structures with H, O"),
    ):
        with pytest.raises(InputError, match=match):
            learn(student, teacher, structures, optimiser, RunConfig())
    with pytest.raises(InputError, match=r"frames\[0\] is of the type Atoms, not Frame"):
        imitate({}, teacher, carbide, carbide)
    with pytest.raises(InputError, match=r"the teacher untrained lacks O[\s\S]*another teacher"):
        learn(student, random_potential(STUDENT, (1, 6, 9, 14)), carbide, optimiser, RunConfig())
    with pytest.raises(InputError, match="patience"):
        learn(student, teacher, carbide, dataclasses.replace(optimiser, patience=3), RunConfig())
    alike = random_potential(dataclasses.replace(STUDENT, n_species=1), (14,))
    with pytest.raises(InputError, match="all alike"):
        learn(alike, teacher, [bulk("Si")] * 2, optimiser, RunConfig())
