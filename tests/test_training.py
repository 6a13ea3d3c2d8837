"""Training: what a step does to the parameters, what a run leaves behind, and what stops it."""

import csv
import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_phonax import PhonaxCalculator, load_model
from ase_phonax.base.errors import InputError, OutputError, StructureError, TrainingError
from ase_phonax.derivatives.evaluator import Evaluator
from ase_phonax.training import config as settings
from ase_phonax.training import evaluate, fine_tune, partition, setup, steps, train
from ase_phonax.training.config import DataConfig, LossConfig, NetworkConfig, OptimiserConfig, config_from
from ase_phonax.training.labels import Frame, SecondOrder, Spectrum, frame_of_hessian, save_frames
from ase_phonax.training.steps import Rules, State, learning_rates

from .analytic import two_hop_potential
from .small_training import NUMBERS, small_config, small_frames, tuning_config, water
from .toy_network import toy_potential

# Steps, on a loss whose gradient is written down


@pytest.fixture
def quadratic(monkeypatch):
    """The loss of a batch is half the square of (parameter - batch), summed: its gradient is the difference."""

    def loss(function, cutoff, rules, kind, parameters, batch, scales):
        value = sum(jnp.sum((p - b) ** 2) / 2 for p, b in zip(*map(jax.tree.leaves, (parameters, batch)), strict=True))
        return value, {"energy": value}

    monkeypatch.setattr(steps, "batch_loss", loss)
    with jax.enable_x64(True):
        yield


PARAMETERS = {
    "layer_0": {"w": np.array([3.0, -2.0]), "v": np.array([[0.5]])},
    "~": {"atom_energies": np.array([-400.0])},
}
TARGETS = [
    {"layer_0": {"w": np.array([a, 1.0]), "v": np.array([[b]])}, "~": {"atom_energies": np.array([c])}}
    for a, b, c in ((1.0, 0.0, -401.0), (0.3, 2.0, -399.0), (-1.0, 0.7, -400.5), (2.0, 2.0, -400.2))
]
RATES = (0.1, 0.05, 0.2, 0.01)


def stepped(loss=None, frozen=(), **optimiser) -> tuple[list[State], list[float]]:
    rules = Rules.of(loss or LossConfig(), OptimiserConfig(**optimiser), frozen)
    step = steps.training_step(object(), 1.0, rules, "first")
    states, norms = [steps.start(rules, PARAMETERS)], []
    for target, rate in zip(TARGETS, RATES, strict=True):
        state, _, _, norm = step(steps.owned(states[-1]), target, rate, {})
        states.append(state)
        norms.append(float(norm))
    return states, norms


def adam(clip=0.0, decay=0.0):
    """Kingma and Ba with decoupled decay, element by element, in NumPy."""
    p = {f"{m}/{k}": x.copy() for m, t in PARAMETERS.items() for k, x in t.items()}
    mean, square = ({k: 0 * x for k, x in p.items()} for _ in range(2))
    result, norms = [], []
    for n, (target, rate) in enumerate(zip(TARGETS, RATES, strict=True), 1):
        slope = {f"{m}/{k}": p[f"{m}/{k}"] - x for m, t in target.items() for k, x in t.items()}
        norm = np.sqrt(sum(np.sum(g**2) for g in slope.values()))
        norms.append(norm)
        for k, g in slope.items():
            g = g * min(1, clip / norm) if clip else g
            mean[k], square[k] = 0.9 * mean[k] + 0.1 * g, 0.999 * square[k] + 0.001 * g**2
            move = mean[k] / (1 - 0.9**n) / (np.sqrt(square[k] / (1 - 0.999**n)) + 1e-8)
            if k != "~/atom_energies":
                move = move + decay * p[k]
            p[k] = p[k] - rate * move
        result.append({k: x.copy() for k, x in p.items()})
    return result, norms


@pytest.mark.parametrize(("clip", "decay"), [(0.0, 0.0), (1.5, 0.0), (0.0, 0.1), (1.5, 0.1)])
def test_steps_are_those_of_adam_with_decoupled_decay(quadratic, clip, decay):
    """Kills: decay of reference energies (hundreds of eV), decay inside Adam, a norm reported after clipping."""
    states, norms = stepped(clip=clip, weight_decay=decay)
    expected, lengths = adam(clip, decay)
    for state, values in zip(states[1:], expected, strict=True):
        for m, t in state.parameters.items():
            for k, x in t.items():
                np.testing.assert_allclose(x, values[f"{m}/{k}"], rtol=1e-12)
    np.testing.assert_allclose(norms, lengths, rtol=1e-12)
    assert int(states[-1].step) == 4


def test_muon_steps_along_all_directions_of_a_matrix_alike():
    """Singular values of the step are those of a multiple of an orthogonal matrix, 0.2 to an entry; down the slope.

    Newton and Schulz's iteration leaves them between 0.7 and 1.2 of it. What is no matrix moves as Adam moves it.
    """
    rng = np.random.default_rng(0)
    slope = {"layer_0": {"w": rng.normal(size=(6, 8)) * np.logspace(0, -2, 6)[:, None], "v": np.array([0.5, -2.0])}}
    slope = jax.tree.map(np.float32, slope)
    start = jax.tree.map(np.zeros_like, slope)
    rules = Rules.of(LossConfig(), OptimiserConfig(method="muon", clip=0.0))
    transform = steps._transform(rules)
    step, _ = transform.update(slope, transform.init(start), start)
    sizes = np.linalg.svd(np.asarray(step["layer_0"]["w"]), compute_uv=False) / (0.2 * 8**0.5)
    assert 0.6 < sizes.min() < sizes.max() < 1.3
    assert np.sum(step["layer_0"]["w"] * slope["layer_0"]["w"]) > 0
    np.testing.assert_array_equal(np.sign(step["layer_0"]["v"]), [1, -1])


def test_the_average_remembers_as_long_as_it_is_told(quadratic):
    states, _ = stepped(ema=0.15)
    average = PARAMETERS["layer_0"]["w"]
    for n, state in enumerate(states[1:], 1):
        decay = min(0.15, n / (n + 9))  # shorter at first: the random start is forgotten
        average = decay * average + (1 - decay) * np.asarray(state.parameters["layer_0"]["w"])
        np.testing.assert_allclose(state.average["layer_0"]["w"], average, rtol=1e-12)
    states, _ = stepped(ema=0.0)
    np.testing.assert_array_equal(states[-1].average["layer_0"]["w"], states[-1].parameters["layer_0"]["w"])


def test_the_average_of_large_numbers_gets_where_single_precision_would_stop():
    """A reference energy of -1000 eV that moves by 3 meV: a hundredth of it is less than half of the last bit."""
    average, new = np.float32(-1035.123), np.float32(-1035.120)
    assert average + np.float32(0.005) * (new - average) == average
    for _ in range(3):
        average = steps._averaged(np.float32(0.995), average, new)
    assert average == new
    # Far away, and for numbers of ordinary size, it is the running average.
    far = steps._averaged(np.float32(0.995), np.float32(-1035.0), np.float32(-1025.0))
    assert far == pytest.approx(-1034.95, abs=1e-4)
    assert steps._averaged(np.float32(0.995), np.float32(0.1), np.float32(0.2)) == pytest.approx(0.1005, rel=1e-6)


def test_frozen_parameters_and_their_average_stay_to_the_last_bit(quadratic):
    """Kills: an average d a + (1 - d) p, which rounds; weight decay and momenta that still move."""
    start = PARAMETERS["layer_0"]["w"]
    states, norms = stepped(frozen=("layer_0/w",), weight_decay=0.1, ema=0.9)
    for state in states:
        np.testing.assert_array_equal(state.parameters["layer_0"]["w"], start)
        np.testing.assert_array_equal(state.average["layer_0"]["w"], start)
    assert np.all(np.asarray(states[1].parameters["layer_0"]["v"]) != PARAMETERS["layer_0"]["v"])
    # What does not move does not count for the norm either.
    assert norms[0] == pytest.approx(np.hypot(0.5, 1.0))


def test_a_state_can_be_given_away_when_nothing_is_averaged(quadratic):
    # Parameters and average are equal then; in one buffer they could be given away only once.
    rules = Rules.of(LossConfig(), OptimiserConfig(ema=0.0))
    step = steps.training_step(object(), 1.0, rules, "first")
    state = steps.start(rules, PARAMETERS)
    for target in TARGETS:
        state, *_ = step(state, target, 0.1, {})
    assert np.isfinite(state.parameters["layer_0"]["w"]).all()


@pytest.mark.parametrize("schedule", ["cosine", "linear", "exponential", "constant"])
def test_learning_rates_rise_and_fall_as_told(schedule):
    optimiser = OptimiserConfig(learning_rate=0.02, schedule=schedule, warmup=0.1, final=0.01)
    rates = learning_rates(optimiser, optimiser.learning_rate, 200, np.dtype("float64"))
    assert rates.shape == (200,)
    # A straight line from nearly nothing that ends where the schedule begins.
    assert rates[0] == pytest.approx(0.02 / 20)
    np.testing.assert_allclose(np.diff(rates[:21]), (rates[20] - rates[0]) / 20, rtol=1e-3)
    t = np.arange(180) / 180
    expected = {
        "cosine": 0.01 + 0.99 * (1 + np.cos(np.pi * t)) / 2,
        "linear": 1 - 0.99 * t,
        "exponential": 0.01**t,
        "constant": np.ones(180),
    }[schedule]
    np.testing.assert_allclose(rates[20:], 0.02 * expected, rtol=1e-4)


# Runs


@pytest.fixture(scope="module")
def frames():
    return small_frames()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, frames):
    """Sixty epochs, validated each, in float64."""
    rows = []
    config = small_config(
        tmp_path_factory.mktemp("finished"),
        optimiser={"epochs": 60},
        run={"level_of_theory": "toy", "licence": "CC0", "citation": "nobody", "name": "student"},
    )
    result = train(config, frames=(frames[:6], frames[6:]), report=rows.append)
    return SimpleNamespace(result=result, rows=rows, config=config)


def test_a_run_learns_and_logs_every_epoch(finished):
    rows, folder = finished.rows, finished.result.folder
    assert [row["epoch"] for row in rows] == list(range(1, 61))
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]
    assert min(row["valid_loss"] for row in rows) < 0.2 * rows[0]["valid_loss"]
    with (folder / "history.csv").open(encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [float(row["valid_loss"]) for row in written] == [row["valid_loss"] for row in rows]
    assert {"learning_rate", "energy_mae", "forces_rmse", "curvature_mae", "seconds"} <= set(written[0])
    assert (folder / "history.png").read_bytes()[:4] == b"\x89PNG"
    assert not list(folder.glob("*.part"))


def test_the_model_file_says_where_it_comes_from(finished):
    model = load_model(finished.result.folder / "model.h5")
    assert model.numbers == NUMBERS
    origin = model.provenance
    assert (origin.level_of_theory, origin.licence, origin.citation) == ("toy", "CC0", "nobody")
    assert origin.training_set == "6 frames (6 with energy, 6 with forces, 6 with curvature)"
    assert config_from(origin.training["configuration"]) == config_from(finished.config)
    assert len(origin.training["data_sha256"]) == 64
    best = min(finished.rows, key=lambda row: row["valid_loss"])
    assert origin.training["best_epoch"] == best["epoch"]
    assert origin.training["metrics"]["valid_loss"] == best["valid_loss"]
    for module, arrays in finished.result.potential.parameters.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, model.parameters[module][name])


def test_validation_errors_are_those_of_the_evaluator(finished, frames):
    """The table of a run against `evaluate`, which shares no code with the losses: the model is the one of that row."""
    scores = evaluate(finished.result.folder / "model.h5", frames[6:])
    metrics = finished.result.potential.provenance.training["metrics"]
    for label in ("energy", "forces"):
        assert scores.mae[label] == pytest.approx(metrics[f"{label}_mae"], rel=1e-9)
        assert scores.rmse[label] == pytest.approx(metrics[f"{label}_rmse"], rel=1e-9)
    # Products with random directions sample the whole matrix: two draws, so no more than its size.
    assert 0.3 < metrics["curvature_rmse"] / (scores.rmse["curvature"] * 3) < 3


def test_the_last_model_is_kept_where_that_is_asked_for(tmp_path, frames):
    """Of a run that gets worse. Kills: the best one saved under the numbers of the last, or the other way round."""
    config = small_config(tmp_path, optimiser={"epochs": 5, "learning_rate": 0.3, "schedule": "constant"})
    best = train(config, frames=(frames[:6], frames[6:]))
    rows = best.history
    assert min(rows, key=lambda row: row["valid_loss"])["epoch"] < 5
    config["run"] |= {"keep": "last"}
    last = train(config, frames=(frames[:6], frames[6:]), resume=True)
    assert last.potential.provenance.training["metrics"] == rows[-1]
    assert evaluate(tmp_path / "model.h5", frames[6:]).mae["forces"] == pytest.approx(rows[-1]["forces_mae"], rel=1e-6)
    with pytest.raises(InputError, match=r"run\.keep"):
        config_from(config | {"run": {"keep": "first"}})


def test_a_run_without_improvement_stops_and_can_be_taken_up_again(tmp_path, frames):
    config = small_config(tmp_path, optimiser={"epochs": 40, "patience": 3, "learning_rate": 1e-30})
    result = train(config, frames=(frames[:6], frames[6:]))
    assert len(result.history) == 4  # the first was the best
    assert result.potential.provenance.training["best_epoch"] == 1
    assert len(train(config, frames=(frames[:6], frames[6:]), resume=True).history) == 4


def test_without_validation_the_last_average_is_the_result(tmp_path, frames):
    result = train(small_config(tmp_path), frames=(frames[:6], []))
    assert len(result.history) == 4
    assert "valid_loss" not in result.history[0]
    assert np.isfinite(result.history[-1]["loss"])


def test_a_label_that_turns_into_nan_stops_the_run_and_names_the_frame(tmp_path, frames):
    own = [dataclasses.replace(f, forces=f.forces.copy()) for f in frames]
    config = small_config(tmp_path, run={"checkpoint_seconds": 0.0})
    sound = own[3].forces.copy()

    def poison(row):
        if row["epoch"] == 2:
            own[3].forces[:] = np.nan

    with pytest.raises(TrainingError, match="in epoch 3") as error:
        train(config, frames=(own[:6], own[6:]), report=poison)
    assert "parts that are not finite: forces" in error.value.what
    assert "water 3" in error.value.remedy
    assert "water 1, water 2" not in error.value.remedy or error.value.remedy.count("water") == 2
    # The last checkpoint is good: with the label mended the run ends where an undisturbed one does.
    own[3].forces[:] = sound
    resumed = train(config, frames=(own[:6], own[6:]), resume=True)
    undisturbed = train(small_config(tmp_path / "other"), frames=(frames[:6], frames[6:]))
    for module, arrays in undisturbed.potential.parameters.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, resumed.potential.parameters[module][name])


def test_validation_that_is_not_finite_stops_the_run(tmp_path, frames):
    own = [dataclasses.replace(f, forces=f.forces.copy()) for f in frames]
    own[7].forces[0, 0] = np.inf
    with pytest.raises(TrainingError, match=r"validation loss after epoch 1 is (inf|nan)"):
        train(small_config(tmp_path), frames=(own[:6], own[6:]))


def test_single_precision_gives_single_precision(tmp_path, frames, finished):
    config = small_config(tmp_path, run={"precision": "float32"}, optimiser={"epochs": 60})
    result = train(config, frames=(frames[:6], frames[6:]))
    for arrays in result.potential.parameters.values():
        assert all(x.dtype == np.float32 for x in arrays.values())
    # The same run but for rounding, which grows slowly over 180 steps.
    assert result.history[0]["loss"] == pytest.approx(finished.rows[0]["loss"], rel=1e-3)
    assert result.history[-1]["loss"] == pytest.approx(finished.rows[-1]["loss"], rel=0.1)


DEVICES = """
import numpy as np, sys
import jax
from pathlib import Path
from tests.small_training import small_config, small_frames
from ase_phonax.training import train
assert len(jax.devices()) == 2
frames, found = small_frames(6), []
for n, pieces in ((1, 1), (2, 1), (1, 2), (2, 2)):
    optimiser = {"batch_size": 5, "epochs": 3, "accumulate": pieces}
    config = small_config(Path(sys.argv[1]) / f"{n}{pieces}", optimiser=optimiser, run={"devices": n})
    found.append(train(config, frames=(frames, [])))
for other in found[1:]:
    for module, arrays in found[0].potential.parameters.items():
        for name, array in arrays.items():
            np.testing.assert_allclose(other.potential.parameters[module][name], array, rtol=0, atol=1e-9)
    assert abs(found[0].history[-1]["loss"] - other.history[-1]["loss"]) < 1e-9
"""


def test_two_devices_and_pieces_give_what_one_gives(tmp_path):
    """Batches of five frames and a last one of one. Kills: means of means; an empty share counted; nothing by nothing
    where a piece is empty on both devices."""
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    import os

    done = subprocess.run(
        [sys.executable, "-c", DEVICES, str(tmp_path)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_more_devices_than_there_are_are_refused(tmp_path, frames):
    with pytest.raises(InputError, match=r"run\.devices is 99"):
        train(small_config(tmp_path, run={"devices": 99}), frames=(frames[:6], []))


# Data of a run


@pytest.fixture
def files(tmp_path, frames):
    # Without the Hessians of a random network, which the checks of files do not take for those of water.
    bare = [dataclasses.replace(f, second=None) for f in frames]
    save_frames(bare[:5], tmp_path / "a.h5")
    save_frames(bare[5:], tmp_path / "b.h5")
    return str(tmp_path / "a.h5"), str(tmp_path / "b.h5")


def test_frames_of_a_file_count_as_often_as_told(files):
    config = DataConfig(files, 0.0, repeat={files[1]: 3})
    training, valid = partition.load_frames(config, 0)
    assert [f.origin for f in training].count("water 6") == 3
    assert len(training) == 5 + 3 * 3
    assert not valid


def test_held_out_frames_are_never_trained_on_and_the_seed_chooses_them(files):
    config = DataConfig(files, 0.25, repeat={files[0]: 4})
    chosen = []
    for seed in (0, 0, 1, 2, 3):
        training, valid = partition.load_frames(config, seed)
        assert len(valid) == 2
        assert not {f.origin for f in training} & {f.origin for f in valid}
        assert {f.origin for f in training} | {f.origin for f in valid} == {f"water {k}" for k in range(8)}
        chosen.append(tuple(f.origin for f in valid))
    assert chosen[0] == chosen[1]
    assert len(set(chosen)) > 2


@pytest.mark.parametrize("seed", range(4))
def test_the_only_hessian_is_not_held_out(files, tmp_path, seed):
    """Kills: a part held out of all frames alike, the one that was to teach curvature among them."""
    dimer = Atoms("O2", positions=[[0, 0, 0], [0, 0, 1.2]])
    along = np.array([0, 0, 1, 0, 0, -1.0])
    save_frames([frame_of_hessian(dimer, 60 * np.outer(along, along))], tmp_path / "hessian.h5")
    config = DataConfig((*files, str(tmp_path / "hessian.h5")), 0.5)
    training, valid = partition.load_frames(config, seed)
    assert (len(training), len(valid)) == (5, 4)
    assert sum(f.second is not None for f in training) == 1


def test_files_are_checked_against_each_other(tmp_path, files):
    """A Hessian in one file and forces beside it in another: units that differ show only together."""
    spring, step = 60 * np.outer([0, 0, 1, 0, 0, -1.0], [0, 0, 1, 0, 0, -1.0]), np.array([0, 0, 0, 0, 0, 0.02])
    dimer = Atoms("O2", positions=[[0, 0, 0], [0, 0, 1.2]])
    moved = Atoms("O2", positions=dimer.positions + step.reshape(2, 3))
    rest = frame_of_hessian(dimer, spring, energy=0.0, forces=np.zeros((2, 3)))
    for factor in (1.0, 1 / 97.17 * 20):
        second = dataclasses.replace(rest.second, matrices=factor * rest.second.matrices)
        save_frames([dataclasses.replace(rest, second=second)], tmp_path / "h.h5", overwrite=True)
        forces = -(spring @ step).reshape(2, 3)
        save_frames([Frame(moved, 0.5 * float(step @ spring @ step), forces)], tmp_path / "f.h5", overwrite=True)
        config = DataConfig((str(tmp_path / "h.h5"), str(tmp_path / "f.h5")), 0.0)
        if factor == 1.0:
            assert len(partition.load_frames(config, 0)[0]) == 2
        else:
            with pytest.raises(InputError, match="disagree by a factor"):
                partition.load_frames(config, 0)


def test_validation_looks_at_several_wave_vectors_and_not_at_gamma_of_one_atom():
    """Kills: one wave vector for each frame, at which one atom to a cell may have no curvature at all."""
    qpoints = np.array([[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0.25, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5]])
    matrices = np.array([1e-13 * np.eye(3), *(k * np.eye(3) for k in range(1, 6))], complex)
    frame = Frame(bulk("Al"), 1.0, np.zeros((1, 3)), second=SecondOrder(qpoints, matrices))
    found = partition.validated([frame])
    assert len(found) == 4
    assert [f.energy for f in found] == [1.0, None, None, None]
    assert all(len(f.second.qpoints) == 1 and f.second.qpoints.any() for f in found)
    assert found[-1].second.qpoints[0].tolist() == [0.5, 0.5, 0.5]
    # Kills: a spectrum left whole beside one of its wave vectors, which no frame may be.
    both = dataclasses.replace(frame, spectrum=Spectrum(qpoints, np.arange(18.0).reshape(6, 3)))
    for f in partition.validated([both]):
        which = int(np.flatnonzero((qpoints == f.second.qpoints[0]).all(1))[0])
        assert f.spectrum.frequencies.tolist() == [[3.0 * which, 3.0 * which + 1, 3.0 * which + 2]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train": ()}, "data.train names no files"),
        ({"valid": 0.01}, "no frame for validation"),
        ({"valid": 1.0}, "data.valid is 1.0"),
        ({"valid": ()}, "names files without frames"),
        ({"repeat": {"c.h5": 2}}, "data.repeat names c.h5"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(files, options, words):
    with pytest.raises(InputError) as error:
        partition.load_frames(DataConfig(**({"train": files} | options)), 0)
    assert words in str(error.value)


@pytest.mark.parametrize("label", ["energy", "forces", "projections", "spectrum"])
def test_a_weight_without_labels_is_refused(tmp_path, label):
    bare = {"energy": Frame(water(0), forces=np.zeros((3, 3))), "forces": Frame(water(0), energy=1.0)}
    one = bare.get(label, Frame(water(0), 1.0, np.zeros((3, 3))))
    with pytest.raises(InputError, match="the weight would do nothing"):
        train(small_config(tmp_path, loss={label: 1.0}), frames=([one], []))
    assert not list(tmp_path.iterdir())


def test_elements_that_do_not_fit_are_refused(tmp_path, frames):
    with pytest.raises(InputError, match=r"the frames hold O, which network\.elements lacks"):
        train(small_config(tmp_path, network={"elements": ["H"]}), frames=(frames[:6], []))
    with pytest.raises(InputError, match="chemical symbols"):
        train(small_config(tmp_path, network={"elements": ["H", "Xx"]}), frames=(frames[:6], []))
    gold = Frame(Atoms("Au"), 1.0, np.zeros((1, 3)), origin="gold")
    with pytest.raises(StructureError, match=r"gold: the model .* does not know Au"):
        train(small_config(tmp_path), frames=(frames[:6], [gold]))
    with pytest.raises(InputError, match=r"network\.energies lacks O"):
        train(small_config(tmp_path, network={"energies": {"H": 1.0}}), frames=(frames[:6], []))
    with pytest.raises(InputError, match="no training frames"):
        train(small_config(tmp_path), frames=([], []))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, frames):
    (tmp_path / "file").write_text("")
    with pytest.raises((OutputError, OSError)):
        train(small_config(tmp_path / "file" / "run"), frames=(frames[:6], []))


# Before the first step


def test_reference_energies_are_found_by_least_squares():
    rng = np.random.default_rng(0)
    wanted = {1: -13.0, 8: -430.0}
    frames = []
    for k in range(12):
        atoms = Atoms(
            "H" * (1 + k % 4) + "O" * (1 + k % 3), positions=5 * np.arange(3 * (2 + k % 4 + k % 3)).reshape(-1, 3)
        )
        frames.append(Frame(atoms, sum(wanted[z] for z in atoms.numbers) + rng.normal(0, 1e-3)))
    found = setup.reference_energies(NetworkConfig(), frames, NUMBERS)
    np.testing.assert_allclose(found, [-13, -430], atol=5e-3)
    assert setup.reference_energies(NetworkConfig(energies="zero"), frames, NUMBERS).tolist() == [0, 0]
    given = setup.reference_energies(NetworkConfig(energies={"O": -2.0, "H": -1.0}), frames, NUMBERS)
    assert given.tolist() == [-1, -2]


def test_a_frame_whose_energy_its_references_fit_exactly_does_not_weigh_without_bound(frames):
    """Least squares leaves nothing of one energy: divided by that, it would drown the forces."""
    scales = setup.label_scales(LossConfig(), frames[:1], NUMBERS)
    assert scales["energy"] == pytest.approx(0.01 * scales["forces"])
    assert setup.label_scales(LossConfig(scales={"energy": 1e-3}), frames[:1], NUMBERS)["energy"] == 1e-3


def test_scales_are_root_mean_squares_of_the_labels(frames):
    scales = setup.label_scales(LossConfig(), frames, NUMBERS)
    forces = np.concatenate([f.forces.ravel() for f in frames])
    assert scales["forces"] == pytest.approx(np.sqrt(np.mean(forces**2)))
    # Of a product with a direction of mean square one, averaged over directions.
    rng = np.random.default_rng(0)
    products = [f.second.matrices[0].real @ rng.normal(size=(9, 4000)) for f in frames]
    assert scales["curvature"] == pytest.approx(np.sqrt(np.mean(np.square(products))), rel=0.02)
    assert setup.label_scales(LossConfig(scales={"forces": 0.2}), frames, NUMBERS)["forces"] == 0.2
    for wrong in ({"force": 1.0}, {"forces": 0.0}):
        with pytest.raises(InputError, match=r"loss\.scales"):
            setup.label_scales(LossConfig(scales=wrong), frames, NUMBERS)


def test_average_neighbours_are_counted(frames):
    crystal = Frame(bulk("Si", "diamond", 5.43), 0.0)
    assert setup.average_neighbors([crystal], 2.6, (14,)) == 4
    assert setup.average_neighbors([crystal], 4.0, (14,)) == 16


# Fine-tuning


def test_fine_tuning_starts_from_the_model_and_keeps_what_is_frozen(tmp_path, finished, frames):
    model = finished.result.folder / "model.h5"
    config = tuning_config(
        tmp_path, fine_tune={"frozen": ["layer_0/*", "~/atom_energies"]}, optimiser={"epochs": 3, "weight_decay": 0.1}
    )
    result = fine_tune(model, config, frames=(frames[:6], frames[6:]))
    before, after = load_model(model).parameters, load_model(tmp_path / "model.h5").parameters
    for name, array in before["layer_0"].items():
        np.testing.assert_array_equal(after["layer_0"][name], array)
    np.testing.assert_array_equal(after["~"]["atom_energies"], before["~"]["atom_energies"])
    assert np.all(after["~"]["readout"] != before["~"]["readout"])
    np.testing.assert_allclose(after["~"]["readout"], before["~"]["readout"], atol=0.5)
    assert [row["epoch"] for row in result.history] == [0, 1, 2, 3]
    assert result.history[1]["loss"] < 0.2 * finished.rows[0]["loss"]
    assert result.potential.provenance.training_set.endswith("from student")


@pytest.mark.parametrize(
    ("frozen", "words"),
    [(["layer_9/*"], "'layer_9/\\*' selects no parameters"), (["*"], "selects every parameter")],
)
def test_frozen_patterns_that_mean_nothing_are_refused(tmp_path, finished, frames, frozen, words):
    with pytest.raises(InputError, match=words):
        fine_tune(
            finished.result.potential, tuning_config(tmp_path, fine_tune={"frozen": frozen}), frames=(frames[:6], [])
        )


def test_a_plain_function_cannot_be_fine_tuned(tmp_path, frames):
    with pytest.raises(InputError, match="plain function"):
        fine_tune(two_hop_potential(3.0), tuning_config(tmp_path), frames=(frames[:6], []))


def test_tuning_that_only_does_harm_returns_the_model_as_it_was(tmp_path, finished, frames):
    """Kills: a ruined model called the result, because the one it started from was never a candidate."""
    model = finished.result.folder / "model.h5"
    config = tuning_config(tmp_path, optimiser={"epochs": 2, "learning_rate": 1.0, "ema": 0.0})
    result = fine_tune(model, config, frames=(frames[:6], frames[6:]))
    assert result.history[0]["valid_loss"] < min(row["valid_loss"] for row in result.history[1:])
    assert result.potential.provenance.training["best_epoch"] == 0
    for module, arrays in load_model(model).parameters.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(result.potential.parameters[module][name], array)


def test_tuning_to_energies_of_another_origin_wants_a_shift(tmp_path, finished, frames):
    moved = [dataclasses.replace(f, energy=f.energy - 10.0) for f in frames]
    with pytest.raises(InputError, match=r"lie 3\.\d\d eV/atom from those of") as error:
        fine_tune(finished.result.potential, tuning_config(tmp_path), frames=(moved[:6], []))
    assert "fine_tune.energies: shift" in error.value.remedy
    config = tuning_config(tmp_path, fine_tune={"energies": "shift"}, optimiser={"epochs": 1})
    assert fine_tune(finished.result.potential, config, frames=(moved[:6], [])).history[0]["loss"] < 1


def test_a_tuned_model_can_forget_elements_that_no_label_held_up(tmp_path, frames):
    """A model of two elements tuned to frames of one says nothing of the other, and starts as good as it was."""
    toy = toy_potential((*NUMBERS, 79), seed=7)
    before = fine_tune(toy, tuning_config(tmp_path / "a", optimiser={"epochs": 1}), frames=(frames[:6], frames[6:]))
    config = tuning_config(tmp_path / "b", fine_tune={"elements": "frames"}, optimiser={"epochs": 1})
    after = fine_tune(toy, config, frames=(frames[:6], frames[6:]))
    assert before.potential.numbers == (*NUMBERS, 79)
    assert after.potential.numbers == NUMBERS
    assert after.history[0]["valid_loss"] == pytest.approx(before.history[0]["valid_loss"], rel=1e-5)  # float32


def test_a_network_described_for_fine_tuning_is_refused(tmp_path, finished, frames):
    with pytest.raises(InputError, match="describes a network"):
        fine_tune(finished.result.potential, small_config(tmp_path), frames=(frames[:6], []))


def test_energies_of_another_origin_are_met_by_a_shift(frames):
    """Labels of the model itself moved by some eV per element: the shift is found, and nothing else changes."""
    toy = toy_potential(NUMBERS, seed=7)
    moved = [
        dataclasses.replace(f, energy=f.energy - 13.6 * 2 - 430.0 * 1) for f in frames
    ]  # all have one composition: least norm
    shifted = setup.shifted(toy, moved)
    evaluator = Evaluator(shifted, np.float64)
    for frame in moved:
        assert evaluator.energy_forces_stress(frame.atoms)[0].sum() == pytest.approx(frame.energy, abs=1e-9)
    for name, array in toy.parameters["layer_0"].items():
        np.testing.assert_array_equal(shifted.parameters["layer_0"][name], array)


@pytest.mark.data
def test_a_nequix_checkpoint_is_fine_tuned(data, tmp_path):
    """One step from the public weights, which are left where they are but for a step's length."""
    atoms = bulk("Si", "diamond", 5.5)
    atoms.positions[0] += 0.05
    calc = PhonaxCalculator(data / "weights/nequix-mp-1.nqx", dtype="float32")
    energy, forces = calc.get_potential_energy(atoms), calc.get_forces(atoms)
    frame = Frame(atoms, energy - 1.0, 1.1 * forces)
    config = {
        "fine_tune": {"energies": "shift", "frozen": ["layer_0/*"]},
        "optimiser": {"epochs": 1, "batch_size": 1, "learning_rate": 1e-5, "warmup": 0, "ema": 0},
        "loss": {"scales": {"forces": 0.1, "energy": 0.1}},
        "run": {"output": str(tmp_path)},
    }
    result = fine_tune(data / "weights/nequix-mp-1.nqx", config, frames=([frame], []))
    before, after = calc.potential.parameters, load_model(tmp_path / "model.h5").parameters
    # A tenth of the forces is missing, and after the shift nothing of the energy.
    expected = np.sqrt(np.mean((0.1 * forces) ** 2)) / 0.1
    assert result.history[0]["loss"] == pytest.approx(expected**2 * config_from(config).loss.forces, rel=0.01)
    for module, arrays in before.items():
        for name, array in arrays.items():
            if module.startswith("layer_0"):
                np.testing.assert_array_equal(after[module][name], array)
            elif name != "atom_energies":
                assert np.abs(after[module][name] - array).max() <= 1.01e-5 * max(1, 1e-2 * np.abs(array).max())
    assert any(np.any(after[m][k] != x) for m, t in before.items() for k, x in t.items() if k != "atom_energies")


# Evaluation


def test_scores_of_the_model_itself_are_zero_and_units_are_those_stated(frames):
    toy = toy_potential(NUMBERS, seed=7)
    scores = evaluate(toy, frames)
    assert set(scores.mae) == {"energy", "forces", "curvature", "frequency"}
    assert all(value < 1e-5 for value in scores.mae.values())
    assert scores.counts == {"energy": 8, "forces": 72, "curvature": 8 * 81, "frequency": 72}
    moved = [dataclasses.replace(f, energy=f.energy + 0.3, forces=f.forces + 0.2) for f in frames]
    scores = evaluate(toy, moved)
    assert scores.mae["energy"] == pytest.approx(0.1)  # per atom
    assert scores.rmse["forces"] == pytest.approx(0.2)
    stiffer = [dataclasses.replace(f, second=SecondOrder(np.zeros((1, 3)), 1.21 * f.second.matrices)) for f in frames]
    assert evaluate(toy, stiffer).relative_curvature == pytest.approx(0.21 / 1.21)
    with pytest.raises(InputError, match="there are no frames"):
        evaluate(toy, [])


def test_relative_errors_of_one_atom_to_a_cell_are_finite():
    # At q = 0 its matrix vanishes: kills a quotient of rounding errors.
    toy = toy_potential((14,))
    atoms = bulk("Si", "bcc", 2.9)
    qpoints = np.array([[0, 0, 0], [0.5, 0, 0]])
    matrices = np.array(Evaluator(toy, np.float64).lattice_matrices(atoms, qpoints))
    found = evaluate(toy, [Frame(atoms, second=SecondOrder(qpoints, 1.1 * matrices))])
    assert found.relative_curvature == pytest.approx(0.1 / 1.1)


def test_every_setting_of_the_loss_is_known_to_the_steps():
    assert {f.name for f in dataclasses.fields(LossConfig)} >= set(steps.WEIGHTED)
    assert settings.TrainingConfig().loss.penalty in ("squared", "huber")
