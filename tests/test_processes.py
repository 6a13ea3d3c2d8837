"""Calculators and potentials that go to other processes: pickled, copied, forked."""

import copy
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import numpy as np
import pytest

from ase_phonax import PhonaxCalculator, Potential, load_model, save_model

from .analytic import silicon_potential, stillinger_weber
from .crystals import triclinic
from .test_calculator import rattled_silicon

WAYS = {
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "deepcopy": copy.deepcopy,
    "cloudpickle": lambda x: cloudpickle.loads(cloudpickle.dumps(x)),  # what Dask and joblib send
}
KINDS = ("arrays", "compiled", "function")


def calculator(kind: str, tiny: Potential):
    """A calculator of each kind, and a structure that it knows."""
    if kind == "function":
        return PhonaxCalculator(silicon_potential()), rattled_silicon()
    return PhonaxCalculator(tiny, route=kind), triclinic()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_calculator_fresh_or_used_arrives_as_it_was(tiny, kind, way):
    calc, atoms = calculator(kind, tiny)
    q = [0.1, 0.2, 0.3]
    fresh = WAYS[way](calc)
    forces, matrix = calc.get_forces(atoms), calc.get_dynamical_matrix(atoms, q)
    used = WAYS[way](calc)
    assert np.array_equal(used.results["forces"], forces), "ASE's results come along"
    assert used.calculation_required(atoms, ["forces"]) is False
    for other in (fresh, used):
        assert (other.dtype, other.todict()) == (calc.dtype, calc.todict())
        other.reset()
        assert np.array_equal(other.get_forces(atoms), forces)
        assert np.array_equal(other.get_dynamical_matrix(atoms, q), matrix)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("route", ["arrays", "compiled"])
def test_atoms_bring_their_calculator_along(tiny, route, way):
    atoms = triclinic()
    atoms.calc = PhonaxCalculator(tiny, dtype="float32", route=route)
    energy = atoms.get_potential_energy()
    other = WAYS[way](atoms)
    assert other.calc is not atoms.calc
    assert other.calc.calculation_required(other, ["energy"]) is False
    assert other.get_potential_energy() == energy
    other.rattle(0.05, seed=1)
    other.calc.get_hessian(other)
    assert atoms.get_potential_energy() == energy != other.get_potential_energy()
    assert other.calc.todict()["route"] == route


def test_what_is_remembered_of_a_structure_stays_behind(untrained):
    calc = PhonaxCalculator(untrained)
    before = len(pickle.dumps(calc))
    calc.get_dynamical_matrix(triclinic(), [0.1, 0.2, 0.3])
    assert calc.evaluator.route.expansion(calc.evaluator.neighbours(triclinic())).n_bytes > 1e5
    assert len(pickle.dumps(calc)) < before + 1000
    assert copy.deepcopy(calc).evaluator.route._expansion_of.last is None


@pytest.mark.parametrize("way", WAYS)
def test_potentials_are_pickled_and_share_what_is_compiled(untrained, tmp_path, way):
    save_model(untrained, tmp_path / "model.h5")
    for potential in (load_model("phonax-small"), load_model(tmp_path / "model.h5"), silicon_potential()):
        other = WAYS[way](potential)
        assert other.fingerprint() == potential.fingerprint()
        assert other.provenance == potential.provenance
        assert other.node_energies is potential.node_energies, "one function, compiled once"


def test_a_function_that_has_no_name_is_refused_by_pickle_itself():
    nameless = Potential.from_function(lambda *_: 0.0, cutoff=3.0, n_layers=1, numbers=[14])
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(PhonaxCalculator(nameless))


def test_a_function_that_has_no_name_goes_by_cloudpickle():
    atoms = rattled_silicon()
    nameless = Potential.from_function(
        lambda p, *rest: 2 * stillinger_weber(p, *rest),
        cutoff=silicon_potential().cutoff,
        n_layers=1,
        numbers=[14],
        parameters=silicon_potential().parameters,
    )
    atoms.calc = PhonaxCalculator(nameless)
    forces = atoms.get_forces()
    other = WAYS["cloudpickle"](atoms)
    other.calc.reset()
    assert np.array_equal(other.get_forces(), forces)


def test_copies_have_locks_of_their_own(tiny):
    calc, atoms = PhonaxCalculator(tiny), triclinic()
    with calc._one_at_a_time, ThreadPoolExecutor(1) as pool:
        for way in WAYS.values():
            assert np.isfinite(pool.submit(way(calc).get_potential_energy, atoms).result(60))


FORKED = """
import multiprocessing, os, sys, threading, warnings
from concurrent.futures import ProcessPoolExecutor
import numpy as np
from tests.analytic import silicon_potential
from tests.crystals import triclinic
from tests.test_calculator import rattled_silicon
from ase_phonax import PhonaxCalculator, load_model

warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # JAX warns of what is tried here


def ask(atoms, with_matrix):
    calc = atoms.calc
    calc.reset()
    matrix = [calc.get_dynamical_matrix(atoms, [0.1, 0.2, 0.3]).ravel()] if with_matrix else []
    return np.concatenate([atoms.get_forces().ravel(), *matrix])


def main():
    kind, method, model, what = sys.argv[1:5]
    if kind == "function":
        calc, atoms = PhonaxCalculator(silicon_potential()), rattled_silicon()
    else:
        calc, atoms = PhonaxCalculator(load_model(model), route=kind), triclinic()
    atoms.calc = calc
    with_matrix = what == "matrix"
    expected = ask(atoms, with_matrix)
    global STATE
    STATE = atoms, with_matrix
    held, leave = threading.Event(), threading.Event()

    def hold():  # a thread that is asking while the process forks, and is not there in the child
        with calc._one_at_a_time:
            held.set()
            leave.wait(400)

    threading.Thread(target=hold, daemon=True).start()
    held.wait(100)
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        running = pool.submit(ask_inherited) if method == "fork" else pool.submit(ask, atoms, with_matrix)
        try:
            print(f"largest difference {np.abs(running.result(400) - expected).max():.1e}")
        except Exception as error:
            print(type(error).__name__, error)
    leave.set()


def ask_inherited():  # what the child has of its parent, not a pickle
    return ask(*STATE)


if __name__ == "__main__":
    main()
"""


def run_forked(folder, kind: str, method: str, model, what: str = "forces") -> str:
    script = folder / "forked.py"
    script.write_text(FORKED)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, script, kind, method, model, what], env=env, capture_output=True, text=True, timeout=1000
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("kind", "method", "what"),
    [
        ("arrays", "fork", "matrix"),
        ("arrays", "spawn", "matrix"),
        ("compiled", "fork", "forces"),
        ("compiled", "spawn", "forces"),
        # JAX compiles second derivatives in the parent, and again in a child that is spawned.
        pytest.param("compiled", "fork", "matrix", marks=pytest.mark.slow),
        pytest.param("compiled", "spawn", "matrix", marks=pytest.mark.slow),
    ],
)
def test_other_processes_compute_the_same(tmp_path, tiny, kind, method, what):
    """Atoms with a used calculator. Kills: a forked child that waits for JAX's threads, or another thread's lock."""
    save_model(tiny, tmp_path / "model.h5")
    found = run_forked(tmp_path, kind, method, tmp_path / "model.h5", what)
    assert "largest difference " in found, found
    assert float(found.split("largest difference ")[1]) < 1e-12


def test_a_function_is_refused_in_a_fork_after_jax_has_run(tmp_path):
    found = run_forked(tmp_path, "function", "fork", "none")
    assert "InputError this process was forked from one in which JAX had run" in found
    assert 'what to do: start worker processes another way: multiprocessing.get_context("spawn")' in found


@pytest.mark.slow  # JAX is imported and compiles in the child
def test_a_function_goes_to_a_process_of_its_own(tmp_path):
    found = run_forked(tmp_path, "function", "spawn", "none")
    assert float(found.split("largest difference ")[1]) < 1e-12
