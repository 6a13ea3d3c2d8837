"""Losses: gradients against finite differences, the sign of q, rotations, degenerate spectra, and weights that act."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation

from ase_phonax import PhonaxCalculator
from ase_phonax.derivatives.compiled.responses import cast
from ase_phonax.derivatives.conventions import signed_roots_thz
from ase_phonax.derivatives.evaluator import Evaluator
from ase_phonax.molecules.point_groups import find_point_group
from ase_phonax.molecules.representations import representations
from ase_phonax.training import comparisons, spectra, steps
from ase_phonax.training.answers import Answers, Respondent, frequency_errors
from ase_phonax.training.batches import Planner, prepare
from ase_phonax.training.config import LossConfig, OptimiserConfig
from ase_phonax.training.directions import WHOLE
from ase_phonax.training.labels import Frame, SecondOrder, Spectrum
from ase_phonax.training.losses import losses
from ase_phonax.training.predictions import Prediction, predict
from ase_phonax.training.spectra import eigenvalues
from ase_phonax.training.steps import WEIGHTED, Rules, batch_loss, error_sums
from ase_phonax.training.targets import SPECTRUM, TARGETS

from .crystals import triclinic
from .test_fields import potential as field_potential
from .toy_network import QUICKLY, toy_potential

NUMBERS = (1, 6, 8, 14)
DOUBLE = np.dtype("float64")
SCALES = {"energy": 0.3, "forces": 0.5, "stress": 0.02, "curvature": 2.0, "spectrum": 3.0}
SCALES |= {"dipole": 0.7, "polarizability": 0.4, "born_charges": 1.3, "polarizability_gradient": 0.6}
OF_FIELDS = ("dipole", "polarizability", "born_charges", "polarizability_gradient")
OF_CRYSTALS = ("crystal_charges", "log_susceptibility")  # tests/test_prediction.py
OF_CRYSTALS += ("partial_densities", "density_of_states", "integrated_density")  # tests/test_densities.py
OF_ENERGIES = tuple(name for name in WEIGHTED if name not in (*OF_FIELDS, *OF_CRYSTALS, "intensities"))
Q = np.array([0.21, -0.37, 0.13])


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def labelled(atoms: Atoms, qpoints, seed: int = 0) -> Frame:
    """Labels that are wrong in every number, so that every residual counts."""
    rng, n = np.random.default_rng(seed), 3 * len(atoms)
    qpoints = np.reshape(qpoints, (-1, 3))
    matrices = rng.normal(size=(len(qpoints), n, n)) + (1j * rng.normal(size=(n, n)) if qpoints.any() else 0)
    matrices = (matrices + matrices.conj().transpose(0, 2, 1)) / 2 + 3 * np.eye(n)
    stress = 0.02 * rng.normal(size=(3, 3)) if atoms.pbc.all() else None
    second = SecondOrder(qpoints, matrices.astype(complex))
    return Frame(atoms, rng.normal(), rng.normal(size=(len(atoms), 3)), stress, second)


def batch_of(frames, kind: str, potential, key=(0,), **options):
    items = prepare(frames, potential.cutoff, NUMBERS, "x", curvature=True, spectrum=kind in WHOLE)
    planner = Planner(items, len(items), n_shapes=1, dtype=DOUBLE, directions="random", **options)
    ((shape, members),) = planner.in_order()
    assert shape.kind == kind
    if len(frames) == 2:  # one shape for each kind: compiled once for the whole file
        assert shape.largest <= 3
        assert shape.n_edges <= 64
        columns = 9 if kind in WHOLE else 2
        shape = shape._replace(n_nodes=8, n_edges=64, largest=3, n_columns=columns)
    return planner.batch(shape, members, key)


def parts_of(potential, kind: str, penalty=("squared", 1.0)):
    """Compiled (parameters, batch) -> parts of the loss, and the gradient of each."""

    def parts(parameters, batch):
        found = predict(potential.node_energies, potential.cutoff, kind, parameters, batch)
        return losses(penalty, kind, found, batch, SCALES)

    return jax.jit(lambda p, b: (parts(p, b), jax.jacrev(parts)(p, b)), compiler_options=QUICKLY)


def molecules() -> list[Frame]:
    return [labelled(molecule(name), np.zeros(3), k) for k, name in enumerate(("H2O", "CO2"))]


def crystals() -> list[Frame]:
    """Without inversion, of different sizes, at wave vectors that are not their own opposites."""
    return [labelled(triclinic()[[0, 1, 2]], Q, 1), labelled(bulk("SiC", "zincblende", 4.3), [0.3, 0.1, -0.2], 2)]


@pytest.fixture(scope="module")
def toy():
    return toy_potential(NUMBERS)


@pytest.fixture(scope="module")
def functions(tiny, toy):
    """Kind -> potential and compiled parts; each is used by several tests."""
    return {
        "real": (tiny, parts_of(tiny, "real")),
        "spectrum": (tiny, parts_of(tiny, "spectrum")),
        "real spectrum": (tiny, parts_of(tiny, "real spectrum")),
        "wave": (toy, parts_of(toy, "wave", ("huber", 0.4))),
    }


def assert_gradients_equal_differences(function, parameters, batch, names):
    """Along random directions of all parameters and along single ones."""
    leaves, structure = jax.tree.flatten(cast(parameters, DOUBLE))
    rng = np.random.default_rng(0)
    directions = [[rng.normal(size=x.shape) for x in leaves] for _ in range(2)]
    for k in rng.choice(len(leaves), 4, replace=False):
        single = [np.zeros(x.shape) for x in leaves]
        single[k].flat[rng.integers(leaves[k].size)] = 1
        directions.append(single)
    _, slopes = function(jax.tree.unflatten(structure, leaves), batch)
    compared = 0
    for direction in directions:
        step = 1e-3 / max(1.0, np.sqrt(sum(np.sum(d**2) for d in direction)))

        def values(factor, direction=direction, step=step):
            moved = [x + factor * step * d for x, d in zip(leaves, direction, strict=True)]
            return function(jax.tree.unflatten(structure, moved), batch)[0]

        plus, minus, plus2, minus2 = (values(f) for f in (1, -1, 2, -2))
        for name in names:
            # Five points: the error is of the fourth power of the step.
            found = (8 * (plus[name] - minus[name]) - (plus2[name] - minus2[name])) / (12 * step)
            own = jax.tree.leaves(slopes[name])
            expected = sum(float(np.sum(s * d)) for s, d in zip(own, direction, strict=True))
            size = np.sqrt(sum(float(np.sum(np.square(s))) for s in own) * sum(np.sum(d**2) for d in direction))
            assert size > 1e-6, name
            assert abs(found - expected) < 1e-6 * max(abs(expected), 1e-2 * size) + 1e-9, name
            compared += abs(expected) > 1e-3 * size
    assert compared > len(names)


def test_gradients_of_energies_forces_and_hessians_equal_finite_differences(functions):
    potential, function = functions["real"]
    batch = batch_of(molecules(), "real", potential, n_columns=2)
    names = ("energy", "forces", "curvature", "projections")
    assert_gradients_equal_differences(function, potential.parameters, batch, names)


def test_gradients_of_stresses_dynamical_matrices_and_spectra_equal_finite_differences(functions):
    """At wave vectors where D(q) is complex. Kills: stop_gradient in the phases; a conjugate in a pullback."""
    potential, function = functions["spectrum"]
    batch = batch_of(crystals(), "spectrum", potential)
    assert np.abs(batch.edges["sin"]).max() > 0.1
    assert_gradients_equal_differences(function, potential.parameters, batch, OF_ENERGIES)


def in_fields() -> list[Frame]:
    """Molecules with labels of their answer to a field that are wrong in every number."""
    rng = np.random.default_rng(4)
    frames = []
    for name in ("H2O", "CO2"):
        atoms = molecule(name)
        atoms.rattle(0.1, rng=rng)
        tensor, charges = rng.normal(size=(3, 3)), rng.normal(size=(len(atoms), 3, 3))
        labels = {"dipole": rng.normal(size=3), "polarizability": tensor + tensor.T, "born_charges": charges}
        frames.append(Frame(atoms, **labels, polarizability_gradient=rng.normal(size=(len(atoms), 3, 3, 3))))
    return frames


def test_parts_of_fields_are_what_the_calculator_says_and_their_gradients_equal_differences():
    """Kills: polarizabilities compared by components, Born charges with exchanged indices, padding that counts."""
    potential = field_potential()
    frames = in_fields()
    items = prepare(frames, potential.cutoff, potential.numbers, "x", curvature=False, spectrum=False)
    planner = Planner(items, len(items), n_shapes=1, dtype=DOUBLE)
    ((shape, members),) = planner.in_order()
    batch = planner.batch(shape, members, (0,))

    slopes = {target.name: target.needs.name for target in TARGETS if target.needs is not None}

    def parts(parameters, batch):
        predicted = predict(potential.node_outputs, potential.cutoff, shape.kind, parameters, batch, slopes)
        return {name: losses(("squared", 1.0), shape.kind, predicted, batch, SCALES)[name] for name in OF_FIELDS}

    function = jax.jit(lambda p, b: (parts(p, b), jax.jacrev(parts)(p, b)), compiler_options=QUICKLY)
    calc = PhonaxCalculator(potential)
    asked = {"dipole": calc.get_dipole_moment, "polarizability": calc.get_polarizability}
    asked |= {"born_charges": calc.get_born_charges, "polarizability_gradient": calc.get_polarizability_gradient}
    costs, _ = function(cast(potential.parameters, DOUBLE), batch)
    for name, quantity in asked.items():
        residuals = [(quantity(frame.atoms) - getattr(frame, name)) / SCALES[name] for frame in frames]
        # The mean over components; of atoms, the mean over atoms.
        assert float(costs[name]) == pytest.approx(np.mean([np.mean(x**2) for x in residuals]), rel=1e-9), name
    assert_gradients_equal_differences(function, potential.parameters, batch, OF_FIELDS)


def test_gradients_of_huber_losses_equal_finite_differences(functions):
    potential, function = functions["wave"]
    batch = batch_of(crystals(), "wave", potential, n_columns=2)
    assert_gradients_equal_differences(function, potential.parameters, batch, OF_ENERGIES[:-1])


@pytest.mark.parametrize("name", ["zincblende at gamma", "carbon dioxide"])
def test_gradients_of_degenerate_spectra_equal_finite_differences(functions, name):
    """Parameters keep the symmetry of the structure, so a sorted spectrum stays smooth in them where modes coincide.

    Kills: derivatives of eigenvectors, whose differences of eigenvalues in the denominator vanish here.
    """
    potential, function = functions["real spectrum"]
    crystal = bulk("SiC", "zincblende", 4.3)
    frame = labelled({"zincblende at gamma": crystal, "carbon dioxide": molecule("CO2")}[name], np.zeros(3))
    other = labelled(triclinic()[[0, 1, 2]], np.zeros(3), 1)
    batch = batch_of([frame, other], "real spectrum", potential)
    matrix = Evaluator(potential, DOUBLE).lattice_matrices(frame.atoms, np.zeros((1, 3)))[0].real
    values = np.linalg.eigvalsh(matrix / np.sqrt(np.outer(*2 * [np.repeat(frame.atoms.get_masses(), 3)])))
    assert np.diff(values)[3:].min() < 1e-10 * np.abs(values).max()
    assert_gradients_equal_differences(function, potential.parameters, batch, ("spectrum",))


def test_lines_are_compared_with_modes_of_their_own_species(functions):
    """Levels of carbon dioxide cost nothing where they are right species by species, in whatever order they are.

    Kills: sorting all frequencies together; comparing those that are not known; a gradient that mixes species.
    """
    potential, function = functions["real spectrum"]
    atoms = molecule("CO2")
    group = find_point_group(atoms)
    projectors = [kind.projector for kind in representations(group)]
    species = sum(number * projector for number, projector in enumerate(projectors))[None]
    root = np.sqrt(np.repeat(atoms.get_masses(), 3))
    matrix = Evaluator(potential, DOUBLE).lattice_matrices(atoms, np.zeros((1, 3)))[0].real / np.outer(root, root)
    bases = [np.linalg.svd(p)[0][:, : round(np.trace(p))] for p in projectors]
    own = np.concatenate([signed_roots_thz(np.linalg.eigvalsh(basis.T @ matrix @ basis)) for basis in bases])
    assert not np.allclose(own, np.sort(own))
    weights = np.array([[1.0, 1, 0, 1, 2, 2, 0, 1, 1]])
    other = labelled(triclinic()[[0, 1, 2]], np.zeros(3), 1)

    def cost(frequencies, weights, species=species):
        frame = Frame(atoms, spectrum=Spectrum(np.zeros((1, 3)), frequencies[None], weights, species))
        batch = batch_of([frame, other], "real spectrum", potential)
        batch.globals["spectrum_weight"][1:] = 0
        return function(potential.parameters, batch)[0]["spectrum"], batch, frame

    wrong = np.where(weights[0] > 0, own, own + 5)
    assert cost(wrong, weights)[0] < 1e-20
    moved = own + np.array([0, 0, 0, 0, 3.0, 0, 0, 3.0, 3.0])  # THz, where frequencies are far above the softened ones
    value, batch, frame = cost(moved, weights)
    answers = Answers(Respondent(Evaluator(potential, DOUBLE)), frame)
    errors = frequency_errors(answers, SPECTRUM)["frequency"]
    # A translation is known, too: its frequency is the root of what rounding leaves.
    np.testing.assert_allclose(errors, -(moved - own)[weights[0] > 0], atol=1e-4)
    assert value == pytest.approx(4 / 9 / 2, rel=1e-3)  # four weights of nine modes off by their scale, two graphs
    assert_gradients_equal_differences(function, potential.parameters, batch, ("spectrum",))


def test_eigenvalue_gradient_does_not_depend_on_the_basis_of_equal_modes():
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.normal(size=(6, 6)) + 1j * rng.normal(size=(6, 6)))[0]
    values, slope = np.array([-1.0, 2, 2, 2, 5, 5]), rng.normal(size=6)
    turn = np.eye(6, dtype=complex)
    turn[1:4, 1:4] = np.linalg.qr(rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3)))[0]
    turn[4:, 4:] = [[0.6, 0.8j], [0.8j, 0.6]]
    a, b = (
        spectra._eigenvalues_backward((jnp.array(values), jnp.zeros(6), jnp.array(own)), jnp.array(slope))[0]
        for own in (vectors, vectors @ turn)
    )
    np.testing.assert_allclose(a, b, atol=1e-12)


def test_eigenvalue_gradient_equals_finite_differences_of_a_hermitian_matrix():
    rng = np.random.default_rng(1)
    matrix, move = rng.normal(size=(2, 5, 5)) + 1j * rng.normal(size=(2, 5, 5))
    matrix, move = matrix + matrix.conj().T, move + move.conj().T
    weight = rng.normal(size=5)
    along = lambda t: jnp.sum(weight * eigenvalues(matrix + t * move, jnp.zeros(5)))  # noqa: E731
    h = 1e-5
    expected = sum(weight * (np.linalg.eigvalsh(matrix + h * move) - np.linalg.eigvalsh(matrix - h * move))) / (2 * h)
    assert jax.grad(along)(0.0) == pytest.approx(expected, rel=1e-7)


def exact_labels(potential, atoms: Atoms, qpoints) -> Frame:
    """What the potential itself says, by the code that does not train."""
    evaluator = Evaluator(potential, DOUBLE)
    energies, forces, virial = evaluator.energy_forces_stress(atoms)
    qpoints = np.reshape(qpoints, (-1, 3))
    matrices = np.array(evaluator.lattice_matrices(atoms, qpoints))
    return Frame(atoms, float(energies.sum()), forces, virial / atoms.get_volume(), SecondOrder(qpoints, matrices))


def test_right_labels_cost_nothing_and_those_of_minus_q_much(functions):
    """On a crystal without inversion. The spectrum alone cannot tell: it is the same at -q."""
    potential, function = functions["spectrum"]
    atoms = triclinic()[[0, 1, 2]]
    right = exact_labels(potential, atoms, Q)
    size = np.abs(right.second.matrices).max()
    assert np.abs(right.second.matrices.conj() - right.second.matrices).max() > 1e-3 * size
    other = exact_labels(potential, bulk("SiC", "zincblende", 4.3), [0.3, 0.1, -0.2])
    found, _ = function(cast(potential.parameters, DOUBLE), batch_of([right, other], "spectrum", potential))
    for name in OF_ENERGIES:
        assert 0 <= found[name] < 1e-18, name
    turned = Frame(
        atoms, right.energy, right.forces, right.stress, SecondOrder(-right.second.qpoints, right.second.matrices)
    )
    wrong, _ = function(cast(potential.parameters, DOUBLE), batch_of([turned, other], "spectrum", potential))
    typical = np.mean(np.abs(right.second.matrices - right.second.matrices.conj()) ** 2)
    for name in ("curvature", "projections"):
        assert wrong[name] > 0.01 * typical / SCALES["curvature"] ** 2
    assert wrong["spectrum"] < 1e-12


@pytest.mark.parametrize("kind", ["real", "wave"])
def test_losses_do_not_change_when_frame_and_directions_turn_together(functions, kind):
    """Random directions have no preferred axes, so turning them with the frame is drawing them anew.

    Kills: a penalty of single components (huber is of whole vectors), a projection without its complex conjugate.
    """
    potential, function = functions[kind]
    frames = molecules() if kind == "real" else crystals()
    batch = batch_of(frames, kind, potential, n_columns=2)
    rotation = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()
    nodes = {
        name: x @ rotation.T if name in ("positions", "forces", "direction", "left", "response") else x
        for name, x in batch.nodes.items()
    }
    turned = batch._replace(
        nodes=nodes,
        edges=batch.edges | {"offsets": batch.edges["offsets"] @ rotation.T},
        globals=batch.globals | {"stress": rotation @ batch.globals["stress"] @ rotation.T},
    )
    parameters = cast(potential.parameters, DOUBLE)
    (before, slope), (after, slope2) = function(parameters, batch), function(parameters, turned)
    for name in before:
        assert after[name] == pytest.approx(float(before[name]), rel=1e-9), name
    for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(slope2), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9 * max(1, np.abs(a).max()))


def test_a_phase_of_the_directions_changes_nothing(functions):
    """u† D v with complex u and v: real and imaginary part are one vector. Kills: u^T D v."""
    potential, function = functions["wave"]
    batch = batch_of(crystals(), "wave", potential, n_columns=2)
    parameters = cast(potential.parameters, DOUBLE)

    def turned(x, angle):
        c, s = np.cos(angle), np.sin(angle)
        return np.stack([c * x[:, :, 0] - s * x[:, :, 1], s * x[:, :, 0] + c * x[:, :, 1]], 2)

    nodes = dict(batch.nodes)
    for name, angle in (("direction", 0.7), ("response", 0.7), ("left", -1.9)):
        nodes[name] = turned(nodes[name], angle)
    before, _ = function(parameters, batch)
    after, _ = function(parameters, batch._replace(nodes=nodes))
    for name in before:
        assert after[name] == pytest.approx(float(before[name]), rel=1e-10), name


def test_expectations_over_directions_are_frobenius_norms(functions):
    """The mean over random directions is that of all elements of the matrix: no element counts more than another."""
    potential, function = functions["real"]
    frame = molecules()[0]
    parameters = cast(potential.parameters, DOUBLE)
    matrix = Evaluator(potential, DOUBLE).lattice_matrices(frame.atoms, np.zeros((1, 3)))[0]
    exact = np.linalg.norm(matrix - frame.second.matrices[0]) ** 2 / 9 / SCALES["curvature"] ** 2
    # One part in the root of the number of draws; the two molecules of the batch are the same frame.
    totals = {"curvature": [], "projections": []}
    for k in range(150):
        found, _ = function(parameters, batch_of([frame, replace(frame)], "real", potential, key=(k,), n_columns=2))
        for name, values in totals.items():
            values.append(float(found[name]))
    for name, values in totals.items():
        assert np.mean(values) == pytest.approx(exact, abs=5 * np.std(values) / np.sqrt(len(values))), name
        assert np.std(values) / np.sqrt(len(values)) < 0.1 * exact


def test_every_weight_acts(functions, monkeypatch):
    """Each weight of the configuration turned off changes the gradient, and by nothing but its own part.

    The gradient is a sum of weight times the gradient of a part: parts are differentiated, sums are evaluated.
    """
    potential, function = functions["spectrum"]
    batch = batch_of(crystals(), "spectrum", potential)
    parameters = cast(potential.parameters, DOUBLE)
    parts, slopes = function(parameters, batch)
    monkeypatch.setattr(steps, "predict", lambda *_: None)
    monkeypatch.setattr(steps, "losses", lambda *_: parts)
    assert set(parts) == set(OF_ENERGIES)  # the others need outputs that this network does not have
    every = dict.fromkeys((*OF_FIELDS, *OF_CRYSTALS, "intensities"), 0.0) | dict(
        zip(OF_ENERGIES, (1.0, 0.7, 0.3, 0.5, 0.2, 0.9), strict=True)
    )

    def total(weights):
        rules = Rules.of(LossConfig(**weights), OptimiserConfig())
        return float(batch_loss(potential.node_energies, 3.2, rules, "spectrum", parameters, batch, SCALES)[0])

    whole, *without = (total(weights) for weights in (every, *(every | {name: 0.0} for name in OF_ENERGIES)))
    assert whole == pytest.approx(sum(every[name] * float(parts[name]) for name in OF_ENERGIES), rel=1e-12)
    flat = {name: np.concatenate([np.ravel(x) for x in jax.tree.leaves(s)]) for name, s in slopes.items()}
    gradient = sum(every[name] * flat[name] for name in OF_ENERGIES)
    for name, value in zip(OF_ENERGIES, without, strict=True):
        assert value == pytest.approx(whole - every[name] * float(parts[name]), rel=1e-12)
        less = gradient - every[name] * flat[name]
        assert np.linalg.norm(less - gradient) > 1e-3 * np.linalg.norm(gradient), name
        # Nor is it one of the others by another name.
        for other in set(OF_ENERGIES) - {name}:
            cosine = flat[name] @ flat[other] / np.linalg.norm(flat[name]) / np.linalg.norm(flat[other])
            assert abs(cosine) < 0.9999, (name, other)


def test_weights_of_frames_act_and_absent_labels_cost_nothing(functions):
    potential, function = functions["real"]
    parameters = cast(potential.parameters, DOUBLE)
    one, two = molecules()
    base, _ = function(parameters, batch_of([one, two], "real", potential, n_columns=2))
    alone, _ = function(
        parameters, batch_of([one, Frame(two.atoms, second=two.second)], "real", potential, n_columns=2)
    )
    heavier = Frame(two.atoms, two.energy, two.forces, None, two.second, weights=(("energy", 3.0), ("curvature", 0.0)))
    weighted, _ = function(parameters, batch_of([one, heavier], "real", potential, n_columns=2))
    for name in ("energy", "forces"):
        assert alone[name] < base[name]
    assert weighted["energy"] == pytest.approx(float(alone["energy"] + 3 * (base["energy"] - alone["energy"])))
    assert weighted["forces"] == pytest.approx(float(base["forces"]))
    assert 0 < weighted["curvature"] < base["curvature"]
    assert base["stress"] == 0


def test_huber_is_half_way_between_squares_and_lengths():
    residual = jnp.array([[3e-4, -4e-4, 0.0], [3e4, -4e4, 0.0]])
    squared = comparisons.penalty(residual, "squared", 0.4)
    np.testing.assert_allclose(squared, [25e-8 / 3, 25e8 / 3])
    huber = comparisons.penalty(residual, "huber", 0.4)
    assert huber[0] == pytest.approx(float(squared[0]), rel=1e-5)  # small residuals: the square
    assert huber[1] == pytest.approx(2 * 0.4 * 5e4 / np.sqrt(3), rel=1e-4)  # large ones: the length
    assert np.isfinite(jax.grad(lambda x: comparisons.penalty(x, "huber", 0.4).sum())(jnp.zeros((1, 3)))).all()


def test_columns_of_padding_are_not_counted_as_errors(toy):
    """Mean errors of whole matrices of a small frame beside a large one are those of the small one alone."""
    frames = [labelled(bulk("Si", "bcc", 2.9), Q, 3), labelled(triclinic()[[0, 1, 2]], Q, 4)]

    def rmse(frames):
        batch = batch_of(frames, "spectrum", toy)
        zero = Prediction(
            jnp.zeros(len(batch.n_node)),
            jnp.zeros_like(batch.nodes["forces"]),
            jnp.zeros((len(batch.n_node), 3, 3)),
            jnp.zeros_like(batch.nodes["response"]),
        )
        _, square, count = jax.jit(lambda b: error_sums(zero, b, "spectrum")["curvature"])(batch)
        return float(square), float(count)

    expected = [(np.sum(np.abs(f.second.matrices) ** 2) * 3 * len(f.atoms), 9 * len(f.atoms) ** 2) for f in frames]
    assert rmse(frames[:1]) == pytest.approx(expected[0])
    assert rmse(frames) == pytest.approx([expected[0][k] + expected[1][k] for k in range(2)])
