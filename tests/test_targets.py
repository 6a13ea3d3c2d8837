"""The table of labels: everything that a label needs is there, and files of earlier versions stay what they are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

from ase_phonax.models.architectures import ARCHITECTURES, element_parameters
from ase_phonax.models.mace.config import MACEConfig
from ase_phonax.models.nequip.config import NequIPConfig
from ase_phonax.models.outputs import Output
from ase_phonax.training import comparisons
from ase_phonax.training.answers import Answers
from ase_phonax.training.batches import Planner, prepare
from ase_phonax.training.comparisons import Comparison
from ase_phonax.training.config import LossConfig
from ase_phonax.training.directions import KINDS
from ase_phonax.training.labels import Frame, SecondOrder, Spectrum, frames, save_frames
from ase_phonax.training.labels.store import read_store
from ase_phonax.training.predictions import Prediction, predict
from ase_phonax.training.target import Part
from ase_phonax.training.targets import FORCES, LABELS, QUANTITIES, TARGETS, TERMS

# Of `whole_frame`, by the code that wrote version 1 of the files before there was a table.
FINGERPRINT = "93a9e01e663a50d832334a5bb408ecd1358ba3503b1b546e4c2b0be8e0a2a993"


def whole_frame() -> Frame:
    """Every label of the first version, in numbers that every machine has alike."""
    atoms = Atoms("SiO", positions=[[0, 0, 0], [1.5, 0.25, 0]], cell=[4, 5, 6], pbc=True, masses=[28.0, 16.0])
    matrices = np.arange(36.0).reshape(1, 6, 6) + 0.5j
    q = np.array([[0.25, 0, 0.5]])
    spectrum = Spectrum(q, np.arange(6.0)[None])
    stress = np.diag([0.125, 0.25, 0.5])
    return Frame(atoms, -3.5, np.ones((2, 3)) / 4, stress, SecondOrder(q, matrices), spectrum, (("forces", 0.5),))


def test_every_label_has_its_field_and_every_part_of_the_loss_its_weight():
    """Kills: a row without a field of frames or without a weight, and a field or weight that no row knows."""
    fields = {field.name for field in dataclasses.fields(Frame)}
    assert {target.attribute for target in TARGETS} == fields - {"atoms", "weights", "origin", "field"}
    numbers = {field.name for field in dataclasses.fields(LossConfig) if field.type is float}
    assert {term.name for term in TERMS} == numbers - {"huber_delta"}
    for term in TERMS:
        assert set(term.taken_from) <= set(LABELS)


def test_no_two_labels_share_a_name_where_one_would_be_taken_for_the_other():
    for names in (
        LABELS,
        [target.attribute for target in TARGETS],
        [target.stored for target in TARGETS],
        [target.source.key for target in TARGETS if target.source],
        [quantity.name for quantity in QUANTITIES],
        [quantity.heading for quantity in QUANTITIES],
    ):
        assert len(set(names)) == len(names)


def test_what_is_predicted_of_a_batch_is_answered_by_a_model_too():
    for target in TARGETS:
        assert set(target.kinds) <= set(KINDS)
        if target.predicted:
            assert target.needs is not None or target.predicted in Prediction._fields
            assert hasattr(Answers, target.predicted)
        assert not (target.predicted and target.output)


def test_fingerprints_are_those_of_the_first_version():
    """Files written by it are refused where the fingerprint of their frames is another."""
    assert frames.fingerprint([whole_frame(), Frame(whole_frame().atoms, energy=1.0)]) == FINGERPRINT


def test_a_label_of_a_later_version_leaves_files_without_it_as_they_are(tmp_path, monkeypatch):
    """Kills: a new row that changes every fingerprint, or files that earlier versions refuse without need."""

    class Later(type(FORCES)):
        """Read from a place that only some atoms have."""

        def of(self, frame):
            return frame.atoms.arrays.get("spins")

    later = Later(
        **{field.name: getattr(FORCES, field.name) for field in dataclasses.fields(FORCES)}
        | {"name": "spins", "stored": "spins", "since": 2, "parts": (Part("spins", lambda n, m: (n, 3)),)}
    )
    monkeypatch.setattr(frames, "TARGETS", (*TARGETS, later))
    frame = whole_frame()
    assert frames.fingerprint([frame, Frame(frame.atoms, energy=1.0)]) == FINGERPRINT
    frame.atoms.set_array("spins", np.ones((2, 3)))
    one = frames.fingerprint([frame])
    frame.atoms.arrays["spins"][1, 2] = 2.0
    assert frames.fingerprint([frame]) != one


def test_every_label_survives_the_file_in_its_own_shape(tmp_path):
    frame = whole_frame()
    save_frames([frame, Frame(frame.atoms, energy=1.0)], tmp_path / "a.h5")
    back, other = read_store(tmp_path / "a.h5")
    for target in (t for t in TARGETS if t.since == 1):  # those of molecules alone: tests/test_fields.py
        for part in target.parts_of(target.of(frame)):
            np.testing.assert_array_equal(part.of(target.of(back)), part.of(target.of(frame)))
            assert np.shape(part.of(target.of(back))) == part.shape(2, target.n_waves(target.of(back)))
        assert target.of(other) is None or target.name == "energy"


@pytest.mark.parametrize(("per", "pooling"), [("atom", "sum"), ("structure", "sum"), ("structure", "mean")])
def test_labels_of_an_output_are_compared_with_what_the_network_gives(per, pooling):
    """A function whose vector at an atom is its position: residuals are those written down, padding counts nothing."""
    shape = (3,) if per == "structure" else (2, 3)
    target = dataclasses.replace(
        FORCES, name="moment", predicted="", output=Output("moment", "1o", per, pooling=pooling), per=per
    )
    atoms = Atoms("Si2", positions=[[0, 0, 0], [2.0, 0.5, 0]])
    label = np.arange(6.0).reshape(2, 3)[: shape[0]].reshape(-1)[: np.prod(shape)].reshape(shape)
    planner = Planner(prepare([Frame(atoms, energy=0.0)], 3.0, (14,), "a", curvature=False, spectrum=False), 2)
    (plan,) = planner.in_order()
    batch = planner.batch(*plan, (0,))
    n_nodes, n_graphs = len(batch.nodes["positions"]), len(batch.n_node)
    padded = np.zeros((n_nodes if per == "atom" else n_graphs, 3))
    padded[: len(np.atleast_2d(label))] = label
    weights = {"moment_weight": np.eye(n_graphs)[0]}
    if per == "atom":
        batch = batch._replace(nodes={**batch.nodes, "moment": padded}, globals={**batch.globals, **weights})
    else:
        batch = batch._replace(globals={**batch.globals, "moment": padded, **weights})

    def function(parameters, vectors, species, exchange):
        lengths = exchange.aggregate(jnp.sum(vectors**2, -1, keepdims=True))
        return {"energy": lengths, "moment": batch.nodes["positions"]}

    predicted = jax.jit(lambda b: predict(function, 3.0, "first", {}, b))(batch)
    comparison = Comparison.of(predicted, batch, "first")
    parts = comparisons.values(comparison, target, 2.0, lambda x: jnp.sum(x**2, -1))
    value = atoms.positions if per == "atom" else atoms.positions.sum(0) / (2 if pooling == "mean" else 1)
    exact = np.sum(((value - label) / 2) ** 2) / (2 if per == "atom" else 1)
    assert float(parts[0]) == pytest.approx(exact, rel=1e-6)
    error, weight = comparisons.value_errors(comparison, target)
    np.testing.assert_allclose(np.asarray(error)[np.asarray(weight) > 0], np.atleast_2d(value - label), atol=1e-6)
    # The squared length of the pair, seen from both ends.
    assert float(predicted.energy[0]) == pytest.approx(2 * 4.25, rel=1e-6)


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("nequip", NequIPConfig(3, 4.0, "8x0e + 4x1o", embedding=4, radial_elements=True)),
        ("nequip", NequIPConfig(3, 4.0, "8x0e + 4x1o", embedding=4, self_connection="shared")),
        ("mace", MACEConfig(3, 4.0, "8x0e + 8x1o", l_max=1, correlation=(2,))),
        ("mace", MACEConfig(3, 4.0, "8x0e + 8x1o", l_max=1, correlation=(2,), interactions=("density", "plain"))),
    ],
)
def test_parameters_said_to_be_of_elements_are_those_that_grow_with_the_elements(architecture, config):
    """By another route: the shapes of the same network for one element more."""
    entry = ARCHITECTURES[architecture]
    some, more = entry.shapes(config), entry.shapes(dataclasses.replace(config, n_species=4))
    growing = {f"{module}/{name}" for module, own in some.items() for name in own if own[name] != more[module][name]}
    module, name = entry.references
    assert some[module][name] == (3,)
    assert element_parameters(architecture, config, some) == growing - {f"{module}/{name}"}
    # What is taken from the data is there to be set.
    assert set(entry.from_data) <= {field.name for field in dataclasses.fields(entry.config)}
