"""Several threads ask one calculator, and phonopy whose functions are replaced for a while: each gets its own."""

import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from ase import Atoms
from ase.spacegroup import crystal
from phonopy.harmonic import dynamical_matrix as harmonic
from phonopy.structure import cells as phonopy_cells
from threadpoolctl import threadpool_limits

from ase_phonax import PhonaxCalculator, exact_matrices
from ase_phonax.base import sharing
from ase_phonax.base.cores import on_cores
from ase_phonax.base.errors import StructureError
from ase_phonax.base.sharing import Lock, Remembered, ignored_warnings
from ase_phonax.phonons.supercell.objects import build_phonopy, get_phonopy
from ase_phonax.studies.notes import collected_warnings

from .crystals import CRYSTALS, triclinic
from .test_cores import blas_threads

pytestmark = [pytest.mark.filterwarnings("ignore:The supercell keeps:ase_phonax.base.errors.UnstableWarning")]
N_THREADS = 4
GENERIC = np.array([[0.11, 0.23, -0.37], [0.31, -0.07, 0.19]])


@pytest.fixture
def often():
    """Threads take turns as often as they can: what depends on whose turn it is goes wrong soon."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def rutile() -> Atoms:
    sites, cell = [(0, 0, 0), (0.305, 0.305, 0)], [4.594, 4.594, 2.959, 90, 90, 90]
    return crystal(("Ti", "O"), sites, spacegroup=136, cellpar=cell)


def in_threads(ask, questions) -> list:
    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(ask, questions))


def test_wave_vectors_of_one_crystal_may_be_shared_out_over_threads():
    """Kills: stars numbered by how many there were before another thread added its own; wrong for ever after."""
    atoms, qpoints = rutile(), np.random.default_rng(0).uniform(-0.5, 0.5, (24, 3))
    qpoints[:5] = [[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0, 0, 0.5], [0.25, 0.25, 0]]
    expected = PhonaxCalculator("phonax-small").get_dynamical_matrix(atoms, qpoints)
    rounding = 1e-13 * np.abs(expected).max()
    for _ in range(3):
        calc = PhonaxCalculator("phonax-small")
        found = in_threads(lambda q, calc=calc: calc.get_dynamical_matrix(atoms, q), np.split(qpoints, 12))
        assert np.abs(np.concatenate(found) - expected).max() < rounding
        assert np.abs(calc.get_dynamical_matrix(atoms, qpoints) - expected).max() < rounding


def test_matrices_of_several_crystals_do_not_mix(tiny, often):
    calc, structures = PhonaxCalculator(tiny), [triclinic() for _ in range(N_THREADS)]
    for k, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=k)
    expected = [PhonaxCalculator(tiny).get_dynamical_matrix(atoms, GENERIC) for atoms in structures]
    picked = np.arange(20) % N_THREADS
    for k, found in zip(
        picked, in_threads(lambda k: calc.get_dynamical_matrix(structures[k], GENERIC), picked), strict=True
    ):
        assert np.abs(found - expected[k]).max() < 1e-13 * np.abs(expected[k]).max()


@pytest.mark.parametrize("compiled", [False, True])
def test_results_are_those_of_the_structure_asked_about(tiny, often, compiled):
    """Kills: ASE's atoms and results, set one after the other by one thread and read in between by another."""
    calc, structures = PhonaxCalculator(tiny, compiled=compiled), [triclinic() for _ in range(6)]
    for k, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=k)
        atoms.calc = calc
    names = ("energy", "forces", "stress", "hessian")
    alone = [PhonaxCalculator(tiny) for _ in structures]
    expected = [[c.get_property(name, atoms) for name in names] for c, atoms in zip(alone, structures, strict=True)]
    picked = np.arange(120) % len(structures)

    def ask(k):
        atoms = structures[k]
        return [atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(), calc.get_hessian(atoms)]

    for k, found in zip(picked, in_threads(ask, picked), strict=True):
        for a, b in zip(found, expected[k], strict=True):
            assert np.abs(a - b).max() < 1e-12


def test_a_refused_or_interrupted_evaluation_leaves_no_results_of_other_atoms(tiny, monkeypatch):
    calc, atoms = PhonaxCalculator(tiny), triclinic()
    energy = calc.get_potential_energy(atoms)
    moved = triclinic()
    moved.rattle(0.05, seed=3)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(calc.evaluator, "energy_forces_stress", interrupted)
        with pytest.raises(KeyboardInterrupt):
            calc.calculate(moved)
    assert calc.get_potential_energy(moved) == PhonaxCalculator(tiny).get_potential_energy(moved) != energy
    with pytest.raises(StructureError, match="does not know"):
        calc.calculate(Atoms("U"))
    assert calc.results == {}


@pytest.mark.parametrize("what", ["get_dynamical_matrix", "get_dynamical_matrix_gradient"])
def test_an_interrupt_while_wave_vectors_are_computed_leaves_nothing_half_done(untrained, what, monkeypatch):
    monkeypatch.setattr("ase_phonax.base.cores.n_cores", lambda: 2)
    calc, atoms = PhonaxCalculator(untrained), CRYSTALS["quartz, chiral"][0]
    qpoints = np.concatenate([GENERIC, GENERIC + 0.05])
    calc.get_dynamical_matrix(atoms, qpoints[:1])
    with threadpool_limits(2, user_api="blas"):
        before, n_threads = blas_threads(), threading.active_count()

        def interrupt(done, total):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt) as caught:
            getattr(calc, what)(atoms, qpoints + 0.01, progress=interrupt)
        # While its traceback is kept, as an interactive session does.
        assert caught.tb is not None
        assert (blas_threads(), threading.active_count()) == (before, n_threads)
    found = getattr(calc, what)(atoms, qpoints + 0.01)
    expected = getattr(PhonaxCalculator(untrained), what)(atoms, qpoints + 0.01)
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()


@pytest.fixture(scope="module")
def pair(untrained):
    """Two crystals on supercells far too small for their constants."""
    calc = PhonaxCalculator(untrained)
    return calc, [get_phonopy(CRYSTALS[name][0], calc, 1) for name in ("wurtzite, polar", "zincblende, no inversion")]


def test_exact_matrices_of_one_thread_are_not_seen_by_another(pair, often):
    calc, (ours, other) = pair
    interpolated = other.run_qpoints(GENERIC).frequencies.copy()
    with exact_matrices(ours, calc):
        exact = ours.run_qpoints(GENERIC).frequencies.copy()

    def ask(which):
        for _ in range(30):
            if which:
                assert np.abs(other.run_qpoints(GENERIC).frequencies - interpolated).max() < 1e-12
            else:
                with exact_matrices(ours, calc):
                    assert np.abs(ours.run_qpoints(GENERIC).frequencies - exact).max() < 1e-9
        return True

    assert in_threads(ask, [0, 1]) == [True, True]
    assert harmonic.get_dynamical_matrices_at_qpoints.__module__ == harmonic.__name__


def test_blocks_of_exact_matrices_of_two_threads_are_open_at_once(pair):
    """Kills: a lock held through the block, which waits for ever where the block waits for the other thread."""
    calc, (ours, other) = pair
    interpolated = other.run_qpoints(GENERIC).frequencies.copy()
    found, inside, leave = [], threading.Event(), threading.Event()

    def work():
        with exact_matrices(other, calc):
            found.append(other.run_qpoints(GENERIC).frequencies.copy())
            inside.set()
            leave.wait(60)
            found.append(other.run_qpoints(GENERIC).frequencies.copy())

    thread = threading.Thread(target=work, daemon=True)
    with exact_matrices(ours, calc):
        thread.start()
        assert inside.wait(60), "the second block waits for the first to end"
    leave.set()  # the first block has ended, the second has not
    thread.join(60)
    assert np.abs(found[0] - interpolated).max() > 0.1
    assert np.array_equal(*found)
    assert np.array_equal(other.run_qpoints(GENERIC).frequencies, interpolated)
    assert harmonic.get_dynamical_matrices_at_qpoints.__module__ == harmonic.__name__


def test_phonopy_objects_are_set_up_in_several_threads(often):
    atoms, matrix = CRYSTALS["wurtzite, polar"]
    # Of this crystal phonopy warns, and that is said in other words.
    expected, filters = build_phonopy(atoms, 2 * matrix).symmetry.atomic_permutations, list(warnings.filters)
    for found in in_threads(lambda _: build_phonopy(atoms, 2 * matrix), range(8)):
        assert np.array_equal(found.symmetry.atomic_permutations, expected)
    assert list(warnings.filters) == filters
    assert phonopy_cells.compute_all_sg_permutations.__module__ == phonopy_cells.__name__


def test_what_is_remembered_is_made_once_by_whoever_asks_first():
    remembered, made, begun, go = Remembered(), [], threading.Event(), threading.Event()

    def slowly():
        begun.set()
        go.wait(60)
        made.append("slow")
        return "slow"

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(remembered.of, "a", slowly)
        assert begun.wait(60)
        second = pool.submit(remembered.of, "a", lambda: made.append("again"))
        # Another key does not wait.
        assert pool.submit(remembered.of, "b", lambda: "b").result(60) == "b"
        go.set()
        assert (first.result(60), second.result(60), made) == ("slow", "slow", ["slow"])
    assert remembered.last == "b"
    with pytest.raises(ZeroDivisionError):
        remembered.of("c", lambda: 1 / 0)
    assert remembered.of("c", lambda: 1) == 1, "what failed is made again"


def calls_of_sharing(work, interrupt_at: int | None = None) -> int:
    """How often functions of that module begin or end in `work`: there Python looks for Ctrl-C, here pressed once."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if frame.f_code.co_filename != sharing.__file__:
            return None
        frame.f_trace_lines = False
        count += 1
        if count == interrupt_at:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_an_interrupt_in_any_function_leaves_no_lock_held():
    """Kills: a lock entered in Python, where Ctrl-C may come when it is taken and no block has begun."""

    def enter(lock):
        with lock:
            return True

    def ask(remembered):
        return remembered.of("key", lambda: True)

    for make, take in ((Lock, enter), (Remembered, ask)):
        first = make()
        for k in range(1, calls_of_sharing(partial(take, first)) + 1):
            shared = make()
            with pytest.raises(KeyboardInterrupt):
                calls_of_sharing(partial(take, shared), k)
            other = threading.Thread(target=take, args=(shared,), daemon=True)
            other.start()
            other.join(5)
            assert not other.is_alive(), "it waits for a lock that nobody will release"


def test_warnings_reach_their_listener_whatever_other_threads_do_with_the_filters():
    """Kills: two locks for one list of filters; pieces on other cores whose warnings nobody hears."""
    before, stop = list(warnings.filters), threading.Event()

    def meddle() -> None:
        while not stop.is_set():
            with ignored_warnings("never said"):
                pass

    def warn(number: int) -> int:
        warnings.warn(f"piece {number}", UserWarning, stacklevel=1)
        return number

    meddlers = [threading.Thread(target=meddle) for _ in range(3)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in meddlers:
            thread.start()
        for _ in range(200):
            with collected_warnings() as texts:
                assert list(on_cores(warn, range(4))) == [0, 1, 2, 3]
            assert sorted(texts) == [f"piece {k}" for k in range(4)]
    finally:
        stop.set()
        for thread in meddlers:
            thread.join()
        sys.setswitchinterval(interval)
    assert warnings.filters == before


def test_filters_of_users_count_while_another_thread_listens():
    listening, done, shown = threading.Event(), threading.Event(), []

    def listen() -> None:
        with collected_warnings():
            listening.set()
            done.wait(30)

    thread = threading.Thread(target=listen)
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.filterwarnings("ignore", category=UserWarning, module=__name__)
        warnings.filterwarnings("default", category=RuntimeWarning)
        warnings.showwarning = lambda message, *_: shown.append(str(message))
        thread.start()
        assert listening.wait(30)
        for _ in range(3):
            warnings.warn("of this module", UserWarning, stacklevel=1)
            warnings.warn("shown once", RuntimeWarning, stacklevel=1)
        done.set()
        thread.join()
    assert shown == ["shown once"]
