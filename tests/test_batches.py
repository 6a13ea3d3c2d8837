"""Batches: padding changes nothing, every frame has its turn, and nothing is compiled twice."""

import itertools

import jax
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from ase_phonax.base.errors import StructureError
from ase_phonax.base.units import THZ_PER_SQRT_EV_A2_AMU
from ase_phonax.derivatives.compiled.graphs import size_class
from ase_phonax.derivatives.compiled.responses import cast
from ase_phonax.derivatives.evaluator import Evaluator
from ase_phonax.training.batches import Planner, _cut, iterate, prepare
from ase_phonax.training.config import LossConfig, OptimiserConfig
from ase_phonax.training.directions import KINDS, OF_WAVES, WHOLE
from ase_phonax.training.labels import Frame, SecondOrder, Spectrum
from ase_phonax.training.predictions import Prediction, graph_of_nodes, predict
from ase_phonax.training.spectra import frequencies
from ase_phonax.training.steps import Rules, start, training_step

from .crystals import triclinic
from .toy_network import QUICKLY, toy_potential

NUMBERS = (1, 6, 8, 14)


@pytest.fixture(scope="module")
def evaluator(tiny):
    return Evaluator(tiny, np.float64)


def shaken(atoms: Atoms, seed: int) -> Atoms:
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(0, 0.05, (len(atoms), 3))
    return atoms


def structures(kind: str) -> list[Atoms]:
    """Of different sizes, so that nothing fits by chance."""
    if kind in OF_WAVES:
        found = [triclinic(), bulk("SiC", "zincblende", 4.3), bulk("Si", "bcc", 2.9), triclinic()[[0, 1, 2]]]
    else:
        found = [molecule("H2O"), molecule("CH3OH"), molecule("CO2"), triclinic()]
    return [shaken(atoms, k) for k, atoms in enumerate(found)]


def frames_of(kind: str) -> list[Frame]:
    """Labels do not matter here; their shapes do."""
    rng = np.random.default_rng(5)
    result = []
    for atoms in structures(kind):
        n = 3 * len(atoms)
        qpoints = np.zeros((1, 3)) if kind not in OF_WAVES else rng.uniform(-0.5, 0.5, (2, 3))
        matrices = rng.normal(size=(len(qpoints), n, n)) + (0 if kind not in OF_WAVES else 1j) * rng.normal(size=(n, n))
        second = None if kind == "first" else SecondOrder(qpoints, matrices.astype(complex))
        result.append(Frame(atoms, 1.0, rng.normal(size=(len(atoms), 3)), second=second))
    return result


def batch_of(kind: str, potential, **options):
    frames = frames_of(kind)
    items = prepare(frames, potential.cutoff, potential.numbers, "x", curvature=kind != "first", spectrum=kind in WHOLE)
    planner = Planner(items, len(items), n_shapes=1, dtype=np.float64, **options)
    (shape, members), *rest = planner.in_order()
    assert not rest
    return [frames[k] for k in members], shape, planner.batch(shape, members, (0,))


@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_batch_gives_each_frame_what_it_has_alone(kind, tiny, evaluator):
    """Energies, forces, stresses and products with second derivatives, against the code that does not train.

    The evaluator differentiates arrays by hand, has no padding and no batches. Kills: messages between frames
    or from padding, a phase of the wrong sign, a product with the transpose, a volume of a neighbour.
    """
    potential = tiny
    frames, shape, batch = batch_of(kind, potential, n_columns=2, directions="random")
    assert shape.kind == kind
    with jax.enable_x64(True):
        parameters = cast(potential.parameters, np.dtype("float64"))
        run = jax.jit(
            lambda p, b: predict(potential.node_energies, potential.cutoff, kind, p, b), compiler_options=QUICKLY
        )
        found = jax.tree.map(np.asarray, run(parameters, batch))
        owner = np.asarray(graph_of_nodes(batch))
        thz = np.asarray(frequencies(found, batch)) if kind in WHOLE else None
    for k, frame in enumerate(frames):
        own, n = owner == k, len(frame.atoms)
        energies, forces, virial = evaluator.energy_forces_stress(frame.atoms)
        assert found.energy[k] == pytest.approx(energies.sum(), abs=1e-10)
        np.testing.assert_allclose(found.forces[own], forces, atol=1e-10)
        if frame.atoms.pbc.all():
            np.testing.assert_allclose(found.stress[k], virial / frame.atoms.get_volume(), atol=1e-10)
        if kind == "first":
            continue
        matrices = evaluator.lattice_matrices(frame.atoms, frame.second.qpoints)
        parts = batch.nodes["direction"][own]
        # Which q was drawn is told by the label's product, whose matrices are known.
        columns = parts.transpose(1, 2, 0, 3).reshape(shape.n_columns, parts.shape[2], 3 * n)
        columns = columns[:, 0] + (1j * columns[:, 1] if parts.shape[2] == 2 else 0)
        label = batch.nodes["response"][own].transpose(1, 2, 0, 3).reshape(*parts.shape[1:3], 3 * n)
        label = label[:, 0] + (1j * label[:, 1] if parts.shape[2] == 2 else 0)
        (which,) = [i for i, m in enumerate(frame.second.matrices) if np.allclose(columns @ m.T, label, atol=1e-9)]
        response = found.response[own].transpose(1, 2, 0, 3).reshape(*parts.shape[1:3], 3 * n)
        response = response[:, 0] + (1j * response[:, 1] if parts.shape[2] == 2 else 0)
        np.testing.assert_allclose(response, columns @ matrices[which].T, atol=1e-10 * max(1, np.abs(columns).max()))
        if thz is not None:
            root = np.sqrt(np.repeat(frame.atoms.get_masses(), 3))
            squares = np.linalg.eigvalsh(matrices[which] / np.outer(root, root)) * THZ_PER_SQRT_EV_A2_AMU**2
            soft = squares / (squares**2 + 0.3**4) ** 0.25
            np.testing.assert_allclose(thz[k, : 3 * n], soft, atol=1e-6)  # a root of 1e-13
    # What is no frame weighs nothing.
    assert not batch.globals["energy_weight"][len(frames) :].any()
    assert not batch.globals["n_atoms"][len(frames) :].any()


def test_frequencies_in_single_precision_do_not_suffer_from_padding():
    """A matrix padded to that of a larger frame keeps its small eigenvalues. Kills: padding of a size that swamps."""
    frames, _, batch = batch_of("spectrum", toy_potential(NUMBERS))
    narrow = cast(batch, np.dtype("float32"))

    def of_labels(b):
        return np.asarray(frequencies(Prediction(None, None, None, b.nodes["response"]), b))

    low = of_labels(narrow)
    with jax.enable_x64(True):
        high = of_labels(batch)
    for k, frame in enumerate(frames):
        n = 3 * len(frame.atoms)
        # Relative to the stiffest mode, whose rounding is that of all.
        assert np.abs(low[k, :n] ** 2 - high[k, :n] ** 2).max() < 1e-4 * np.abs(high[k, :n]).max() ** 2


def many_frames(count: int = 23, spread: bool = True) -> list[Frame]:
    rng = np.random.default_rng(1)
    base = [molecule(name) for name in ("H2O", "CO2", "CH3OH", "CH4", "C2H6", "C6H6")][: 6 if spread else 1]
    result = []
    for k in range(count):
        atoms = shaken(base[k % len(base)], k)
        n = 3 * len(atoms)
        second = SecondOrder(np.zeros((1, 3)), rng.normal(size=(1, n, n)).astype(complex)) if k % 3 else None
        result.append(Frame(atoms, float(k), rng.normal(size=(len(atoms), 3)), second=second))
    return result


def planner_of(frames, batch_size=4, **options):
    toy = toy_potential(NUMBERS)
    items = prepare(frames, toy.cutoff, toy.numbers, "x", curvature=True, spectrum=False)
    return Planner(items, batch_size, **({"dtype": np.float64} | options))


def test_every_frame_comes_once_in_an_epoch_and_epochs_differ():
    planner = planner_of(many_frames())
    plans = [planner.epoch(seed, number) for seed, number in ((3, 0), (3, 1), (4, 0), (3, 0))]
    for plan in (*plans, planner.in_order()):
        assert sorted(np.concatenate([members for _, members in plan]).tolist()) == list(range(23))
        assert all(planner.items[k].kind == shape.kind for shape, members in plan for k in members)
        assert all(1 <= len(members) <= 4 for _, members in plan)
    flat = [[members.tolist() for _, members in plan] for plan in plans]
    assert flat[0] == flat[3]
    assert flat[0] != flat[1]
    assert flat[0] != flat[2]


def test_a_plan_taken_up_in_the_middle_goes_on_with_the_same_batches():
    # What a resumed run relies on: directions belong to the number of the batch, not to how many were drawn.
    planner = planner_of(many_frames(), directions="random")
    plan = planner.epoch(0, 0)
    whole = list(iterate(planner, plan, (0, 0)))
    assert len(whole) == len(plan)
    for begin in (3, len(plan) - 1, len(plan)):
        part = list(iterate(planner, plan, (0, 0), begin))
        assert len(part) == len(plan) - begin
        for (shape, members, batch), (shape2, members2, batch2) in zip(whole[begin:], part, strict=True):
            assert shape == shape2
            np.testing.assert_array_equal(members, members2)
            jax.tree.map(np.testing.assert_array_equal, batch, batch2)
    directions = [b.nodes["direction"].ravel()[:5].tolist() for s, _, b in whole if s.kind == "real"]
    assert len({tuple(d) for d in directions}) == len(directions)


def test_an_error_in_making_a_batch_reaches_the_caller(monkeypatch):
    planner = planner_of(many_frames(8))
    monkeypatch.setattr(planner, "batch", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(iterate(planner, planner.epoch(0, 0), (0, 0)))


@pytest.mark.parametrize("batch_size", [1, 4, 50])
def test_shapes_are_few_and_hold_every_batch(batch_size):
    planner = planner_of(many_frames(), batch_size, n_shapes=2)
    shapes = set()
    for number in range(5):
        for shape, members in planner.epoch(0, number):
            nodes = sum(len(planner.items[k].frame.atoms) for k in members)
            edges = sum(planner.items[k].n_edges for k in members)
            assert nodes < shape.n_nodes
            assert edges <= shape.n_edges
            assert len(members) < shape.n_graphs
            shapes.add(shape)
    assert len(shapes) <= 2 * 2


def test_a_group_smaller_than_a_batch_is_not_padded_to_a_whole_one():
    (shape,) = {shape for shape, _ in planner_of(many_frames(1), 50).epoch(0, 0)}
    assert shape.n_graphs == 2
    assert shape.n_nodes == size_class(3 + 1)


def test_nothing_is_compiled_after_the_first_epoch():
    toy = toy_potential(NUMBERS)
    planner = planner_of(many_frames(), n_shapes=1, dtype=np.float32)
    rules = Rules.of(LossConfig(), OptimiserConfig(clip=5.125))  # a rule of its own: no other test's compiled steps
    scales = {name: np.float32(1) for name in ("energy", "forces", "stress", "curvature", "spectrum")}
    state = start(rules, cast(toy.parameters, np.dtype("float32")))

    def epoch(state, number):
        for shape, _, batch in iterate(planner, planner.epoch(0, number), (0, number)):
            step = training_step(toy.node_energies, toy.cutoff, rules, shape.kind)
            state, *_ = step(state, batch, np.float32(1e-3), scales)
        return state

    steps = [training_step(toy.node_energies, toy.cutoff, rules, kind) for kind in ("first", "real")]
    state = epoch(state, 0)
    compiled = [step._cache_size() for step in steps]
    assert compiled == [1, 1]
    for number in range(1, 4):
        state = epoch(state, number)
    assert [step._cache_size() for step in steps] == compiled


def test_groups_waste_as_little_as_any_cut():
    rng = np.random.default_rng(2)
    for trial in range(60):
        sizes = sorted(int(s) for s in rng.integers(3, [30, 300][trial % 2], size=rng.integers(1, 11)))
        for n_parts in (1, 2, 3):
            parts = _cut(sizes, n_parts)
            assert [k for part in parts for k in range(len(sizes))[part]] == list(range(len(sizes)))

            def waste(cuts, sizes=sizes):
                runs = [sizes[a:b] for a, b in itertools.pairwise([0, *cuts, len(sizes)])]
                return sum(size_class(run[-1]) * len(run) - sum(run) for run in runs if run)

            least = min(
                waste(cuts)
                for count in range(min(n_parts, len(sizes)))
                for cuts in itertools.combinations(range(1, len(sizes)), count)
            )
            assert len(parts) <= n_parts
            assert waste([part.start for part in parts[1:]]) == least


@pytest.mark.parametrize("is_complex", [False, True])
def test_thermal_directions_excite_modes_as_heat_does(is_complex):
    """Amplitudes of modes fall as 1/ω, an error of any frequency weighs the same; the floor holds what is softer.

    Kills: modes mass-weighted the wrong way round, conjugated at complex wave vectors, or not weighted at all.
    """
    atoms = triclinic()
    n, rng = 3 * len(atoms), np.random.default_rng(1)
    root = np.sqrt(np.repeat(atoms.get_masses(), 3))
    normal = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if is_complex else 0)
    modes = np.linalg.qr(normal)[0]
    frequencies = np.geomspace(0.01, 1, n)
    matrix = (modes * frequencies**2) @ modes.conj().T * np.outer(root, root)
    qpoints = np.array([[0.2, 0.1, -0.3]]) if is_complex else np.zeros((1, 3))
    frame = Frame(atoms, second=SecondOrder(qpoints, matrix[None].astype(complex)))
    planner = planner_of([frame], 1, n_columns=4000, directions="thermal")
    ((shape, members),) = planner.in_order()
    own = planner.batch(shape, members, (0,)).nodes["direction"][: len(atoms)]
    moved = own.transpose(1, 2, 0, 3).reshape(4000, -1, n)
    moved = moved[:, 0] + (1j * moved[:, 1] if is_complex else 0)
    amplitudes = np.abs((moved * root) @ modes.conj()) * np.maximum(frequencies, 0.05)
    sizes = np.sqrt(np.mean(amplitudes**2, axis=0))
    # Of four thousand draws the root mean square is known to one in a hundred.
    np.testing.assert_allclose(sizes / sizes.mean(), 1, atol=0.05)


@pytest.mark.parametrize("directions", ["columns", "random", "thermal"])
@pytest.mark.parametrize("is_complex", [False, True])
def test_directions_have_mean_square_one(directions, is_complex):
    """So that the scale of a product is that of the matrix, whichever directions are chosen."""
    atoms, n = triclinic(), 12
    rng = np.random.default_rng(0)
    qpoints = np.array([[0.2, 0.1, -0.3]]) if is_complex else np.zeros((1, 3))
    frame = Frame(atoms, second=SecondOrder(qpoints, rng.normal(size=(1, n, n)).astype(complex)))
    planner = planner_of([frame], 1, n_columns=400, directions=directions)
    ((shape, members),) = planner.in_order()
    batch = planner.batch(shape, members, (0,))
    own = batch.nodes["direction"][:4]
    square = np.sum(own**2, axis=(0, 2, 3)) / n
    if directions == "columns":
        np.testing.assert_allclose(square, 1)
        assert all(np.count_nonzero(own[:, k]) == 1 for k in range(400))
        drawn = [tuple(np.flatnonzero(own[:, k])) for k in range(400)]
        # Kills: columns drawn anew each time, of which as many as there are would miss a third.
        assert all(len(set(drawn[k : k + n])) == n for k in range(0, 396, n))
    else:
        assert square.mean() == pytest.approx(1, abs=0.1 if directions == "thermal" else 0.05)  # soft modes are few
        assert (own.shape[2] == 2) == is_complex
    # The label's product is the matrix times the direction.
    moved = own.transpose(1, 2, 0, 3).reshape(400, -1, n)
    moved = moved[:, 0] + (1j * moved[:, 1] if is_complex else 0)
    label = batch.nodes["response"][:4].transpose(1, 2, 0, 3).reshape(400, -1, n)
    label = label[:, 0] + (1j * label[:, 1] if is_complex else 0)
    np.testing.assert_allclose(label, moved @ frame.second.matrices[0].T, atol=1e-9)


def test_every_wave_vector_is_drawn():
    rng = np.random.default_rng(0)
    qpoints = rng.uniform(-0.5, 0.5, (3, 3))
    frame = Frame(triclinic(), second=SecondOrder(qpoints, np.arange(3.0)[:, None, None] + np.zeros((3, 12, 12))))
    planner = planner_of([frame], 1)
    ((shape, members),) = planner.in_order()
    cosines = [planner.batch(shape, members, (k,)).edges["cos"] for k in range(40)]
    assert len({c.round(9).tobytes() for c in cosines}) == 3


def test_a_spectrum_alone_is_a_label():
    frequency = np.sort(np.random.default_rng(0).uniform(0, 20, (1, 12)))
    frame = Frame(triclinic(), spectrum=Spectrum(np.array([[0.1, 0.2, 0.3]]), frequency))
    toy = toy_potential(NUMBERS)
    (item,) = prepare([frame], toy.cutoff, toy.numbers, "x", curvature=True, spectrum=True)
    assert item.kind == "spectrum"
    planner = Planner([item], 1, dtype=np.float64)
    ((shape, members),) = planner.in_order()
    batch = planner.batch(shape, members, (0,))
    np.testing.assert_allclose(batch.globals["spectrum"][0], frequency[0])
    assert batch.globals["curvature_weight"][0] == 0
    assert prepare([frame], toy.cutoff, toy.numbers, "x", curvature=True, spectrum=False)[0].kind == "first"


def test_shares_of_devices_hold_the_frames_of_the_batch():
    frames = many_frames(7, spread=False)
    planner = planner_of(frames, 4, n_stacked=2, n_shapes=1)
    for shape, members in planner.in_order():
        batch = planner.batch(shape, members, (0,))
        assert batch.n_node.shape == (2, shape.n_graphs)
        energies = batch.globals["energy"][batch.globals["n_atoms"] > 0]
        assert sorted(energies) == sorted(frames[k].energy for k in members)


def test_an_element_outside_the_network_is_refused_with_the_frame():
    frames = [*many_frames(2), Frame(Atoms("Au"), 0.0, origin="gold.xyz:3")]
    with pytest.raises(StructureError, match=r"gold\.xyz:3: the model 'x' does not know Au"):
        prepare(frames, 3.0, NUMBERS, "x", curvature=True, spectrum=False)
    close = [Frame(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.1]]), 0.0, origin="close.xyz:0")]
    with pytest.raises(StructureError, match=r"close\.xyz:0: atoms .* apart"):
        prepare(close, 3.0, NUMBERS, "x", curvature=True, spectrum=False)
