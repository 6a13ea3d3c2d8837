"""Frames in electric fields: what is predicted of them, what is learned from them, their files and their refusals."""

from dataclasses import replace
from functools import lru_cache, partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_phonax import (
    LabelRecipe,
    PhonaxCalculator,
    Potential,
    evaluate,
    fine_tune,
    frame_of_atoms,
    frame_of_hessian,
    read_frames,
    save_frames,
    train,
)
from ase_phonax.base.errors import InputError, StructureError, UnstableWarning
from ase_phonax.derivatives.compiled.responses import cast
from ase_phonax.models.architectures import ARCHITECTURES, make_potential
from ase_phonax.models.fields import ATOMIC_UNIT, DIPOLE, POLARIZABILITY
from ase_phonax.models.nequip.config import NequIPConfig
from ase_phonax.models.outputs import ENERGY
from ase_phonax.training import setup
from ase_phonax.training.answers import check_fields
from ase_phonax.training.batches import Planner, prepare
from ase_phonax.training.labels import Frame, SecondOrder, teacher
from ase_phonax.training.labels.checks import check_frames
from ase_phonax.training.labels.frames import fingerprint
from ase_phonax.training.labels.near_misses import say_repeated
from ase_phonax.training.labels.store import read_store
from ase_phonax.training.predictions import predict
from ase_phonax.training.targets import wanted_outputs

from .toy_network import QUICKLY

FIELD = np.array([0.11, -0.07, 0.05])  # V/Å
SMALL = NequIPConfig(
    n_species=3,
    cutoff=3.0,
    hidden_irreps="4x0e + 2x1o + 2x2e",
    n_layers=1,
    n_basis=4,
    radial_sizes=(8,),
    embedding=4,
    average_neighbors=2.0,
    outputs=(DIPOLE, POLARIZABILITY),
)
# Of `labelled_water` before there were fields of frames.
FINGERPRINT = "c81a7887c99da43c25697ad9a9b8dcb77eebaf7ac2e6d41406b8726b45efc8a9"


@lru_cache
def potential(outputs=(DIPOLE, POLARIZABILITY)) -> Potential:
    """A network of H, C and O with random parameters; those of energies are the same with all outputs and without."""
    config, rng = replace(SMALL, outputs=outputs), np.random.default_rng(10)
    shapes = ARCHITECTURES["nequip"].shapes(SMALL if not outputs else config)
    drawn = {m: {key: rng.normal(size=shape) for key, shape in own.items()} for m, own in shapes.items()}
    own = ARCHITECTURES["nequip"].shapes(config)
    parameters = {m: {key: drawn[m][key] for key in keys} for m, keys in own.items()}
    return make_potential("nequip", config, parameters, (1, 6, 8), "random")


def moved(name: str, seed: int) -> Atoms:
    atoms = molecule(name)
    atoms.rattle(0.1, seed=seed)
    return atoms


def in_field(atoms: Atoms, field, *, hessian: bool = False, outputs=(DIPOLE, POLARIZABILITY)) -> Frame:
    """Labels by the calculator in a field."""
    calc = PhonaxCalculator(potential(outputs), field=field)
    size = 3 * len(atoms)
    matrix = calc.get_hessian(atoms).reshape(1, size, size).astype(complex) if hessian else None
    return Frame(
        atoms,
        float(calc.get_potential_energy(atoms)),
        calc.get_forces(atoms),
        second=None if matrix is None else SecondOrder(np.zeros((1, 3)), matrix),
        dipole=calc.get_dipole_moment(atoms),
        born_charges=calc.get_born_charges(atoms),
        field=field,
    )


def labelled_water() -> Frame:
    """Labels in numbers that every machine has alike."""
    positions = [[0, 0, 0], [0.75, 0.5, 0], [-0.75, 0.5, 0]]
    atoms = Atoms("OH2", positions=positions, masses=[16.0, 1.0, 1.0])
    labels = {"polarizability": np.eye(3) / 8, "born_charges": np.ones((3, 3, 3)) / 2}
    return Frame(atoms, -3.5, np.ones((3, 3)) / 4, dipole=np.array([0, 0.25, 0]), **labels)


def planned(frames, spectrum: bool = False):
    """The batch of all frames, and its kind."""
    items = prepare(frames, SMALL.cutoff, (1, 6, 8), "x", curvature=True, spectrum=spectrum)
    planner = Planner(items, len(frames), n_shapes=1, dtype=np.float64, directions="random")
    ((shape, members),) = planner.in_order()
    return planner.batch(shape, members, (0,)), shape.kind


@pytest.mark.parametrize("outputs", [(DIPOLE, POLARIZABILITY), (DIPOLE,)])
def test_what_training_predicts_in_fields_is_what_the_calculator_says(outputs):
    """Energies, forces, products with the Hessian, dipoles and charges, of molecules in different fields and in none.

    The calculator goes another way: U is the energy of a network made for one field, in arrays.
    """
    fields = [FIELD, None, -3 * FIELD[::-1]]
    names = ["H2O", "CO2", "CH3OH"]
    frames = [
        in_field(moved(name, k), field, hessian=True, outputs=outputs)
        for k, (name, field) in enumerate(zip(names, fields, strict=True))
    ]
    function = potential(outputs).node_outputs
    with jax.enable_x64(True):
        batch, kind = planned(frames)
        slopes = {"born_charges": "dipole"}
        compiled = jax.jit(lambda p, b: predict(function, SMALL.cutoff, kind, p, b, slopes), compiler_options=QUICKLY)
        predicted = jax.tree.map(np.asarray, compiled(cast(potential(outputs).parameters, np.float64), batch))
    assert kind == "real"
    first, without = 0, in_field(frames[0].atoms, None)
    # In a batch frames are in the order of their size.
    for k, frame in enumerate(sorted(frames, key=lambda frame: len(frame.atoms))):
        own = slice(first, first + len(frame.atoms))
        assert float(predicted.energy[k]) == pytest.approx(frame.energy, rel=1e-11)
        np.testing.assert_allclose(predicted.forces[own], frame.forces, rtol=0, atol=1e-10)
        np.testing.assert_allclose(predicted.response[own], batch.nodes["response"][own], rtol=0, atol=1e-9)
        np.testing.assert_allclose(predicted.outputs["dipole"][own].sum(0), frame.dipole, rtol=0, atol=1e-11)
        np.testing.assert_allclose(predicted.slopes["born_charges"][own], frame.born_charges, rtol=0, atol=1e-10)
        first = own.stop
    assert np.abs(frames[0].forces - without.forces).max() > 1e-2  # the field is felt


def test_gradients_by_parameters_in_fields_equal_differences_and_whole_matrices_are_those_of_the_calculator():
    """Kind "real spectrum": columns of all displacements, also where symmetry would save some."""
    frames = [in_field(moved("H2O", 1), 5 * FIELD, hessian=True), in_field(moved("CO2", 2), None, hessian=True)]
    with jax.enable_x64(True):
        batch, kind = planned(frames, spectrum=True)
        arrays = jax.tree.map(jnp.asarray, batch)
        function = potential().node_outputs

        def loss(parameters):
            predicted = predict(function, SMALL.cutoff, kind, parameters, arrays)
            error = sum(jnp.sum(jnp.sin(x)) for x in (predicted.energy, predicted.forces, predicted.response))
            return error, predicted.response

        compiled = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=QUICKLY)
        parameters, rng = cast(potential().parameters, np.float64), np.random.default_rng(0)
        (_, response), slope = compiled(parameters)
        step = jax.tree.map(lambda x: 1e-5 * rng.normal(size=x.shape), parameters)
        (up, _), _ = compiled(jax.tree.map(lambda x, h: x + h, parameters, step))
        (down, _), _ = compiled(jax.tree.map(lambda x, h: x - h, parameters, step))
        along = sum(jax.tree.leaves(jax.tree.map(lambda s, h: float(jnp.sum(s * h)), slope, step)))
    assert kind == "real spectrum"
    np.testing.assert_allclose(response[:6], batch.nodes["response"][:6], rtol=0, atol=1e-9)
    assert along == pytest.approx(float(up - down) / 2, rel=1e-5)


def test_batches_without_fields_know_nothing_of_them():
    """Kills: a term of zero fields that every training would pay for."""
    batch, _ = planned([replace(in_field(moved("H2O", 1), FIELD), field=None)])
    assert "field" not in batch.globals
    batch, _ = planned([in_field(moved("H2O", 1), FIELD), in_field(moved("CO2", 2), None)])
    np.testing.assert_array_equal(batch.globals["field"][:2], [FIELD, np.zeros(3)])


def test_dipoles_and_polarizabilities_are_learned_from_forces_in_fields_alone(tmp_path):
    """Outputs begin at random, energies are kept as they are, and forces in fields tell the rest.

    Of polarizabilities the mean is left out: forces know it to a constant.
    """
    rng, of_energies = np.random.default_rng(1), potential(()).parameters
    names = tuple(f"{module}/{name}" for module, own in of_energies.items() for name in own)
    drawn = {m: {k: rng.normal(size=x.shape) for k, x in own.items()} for m, own in potential().parameters.items()}
    parameters = {m: own | of_energies.get(m, {}) for m, own in drawn.items()}
    base = make_potential("nequip", SMALL, parameters, (1, 6, 8), "outputs at random")
    frames = []
    for k in range(40):
        atoms, field = moved("H2O", k), rng.normal(0, 0.6, 3)
        forces = PhonaxCalculator(potential(), field=field).get_forces(atoms)
        frames.append(Frame(atoms, forces=forces, field=field))
    config = {
        "loss": {"energy": 0.0, "forces": 1.0},
        "fine_tune": {"frozen": names},
        "optimiser": {"epochs": 30, "batch_size": 8, "learning_rate": 3e-2},
        "run": {"output": str(tmp_path / "run"), "n_shapes": 1},
    }
    learned = fine_tune(base, config, frames=(frames, ())).potential
    one, other = PhonaxCalculator(potential()), PhonaxCalculator(learned)
    held = [moved("H2O", k) for k in range(100, 108)]

    def compared(quantity) -> float:
        exact, own = (np.array([quantity(calc, atoms) for atoms in held]) for calc in (one, other))
        return np.linalg.norm(own - exact) / np.linalg.norm(exact)

    def anisotropy(calc, atoms):
        tensor = calc.get_polarizability(atoms)
        return tensor - np.trace(tensor) / 3 * np.eye(3)

    assert compared(lambda calc, atoms: calc.get_dipole_moment(atoms)) < 0.1
    assert compared(anisotropy) < 0.2
    # Parameters are trained in single precision.
    assert other.get_potential_energy(held[0]) == pytest.approx(one.get_potential_energy(held[0]), abs=1e-5)


@pytest.mark.slow
def test_a_network_from_nothing_learns_in_fields_and_is_validated_in_them(tmp_path):
    """Frames with and without fields, with and without Hessians; what the history tells is what `evaluate` finds."""
    rng, rows = np.random.default_rng(3), []
    frames = [
        in_field(moved("H2O", k), rng.normal(0, 0.3, 3) if k % 3 else None, hessian=k % 4 == 0) for k in range(24)
    ]
    config = {
        "network": {
            "hidden_irreps": SMALL.hidden_irreps,
            "n_layers": 1,
            "n_basis": 4,
            "radial_sizes": [8],
            "cutoff": 3.0,
        },
        "loss": {"dipole": 1.0, "curvature": 1.0},
        "optimiser": {"epochs": 25, "batch_size": 4, "learning_rate": 2e-2},
        "run": {"output": str(tmp_path / "run"), "n_shapes": 1, "precision": "float64"},
    }
    result = train(config, frames=(frames[:18], frames[18:]), report=rows.append)
    assert rows[-1]["valid_loss"] < 0.3 * rows[0]["valid_loss"]
    assert {output.name for output in result.potential.outputs} == {"energy", "dipole", "polarizability"}
    scores, best = evaluate(result.potential, frames[18:]), min(rows, key=lambda row: row["valid_loss"])
    for name in ("energy", "forces", "dipole"):
        assert scores.mae[name] == pytest.approx(best[f"{name}_mae"], rel=1e-6), name


def test_errors_of_frames_in_fields_are_those_of_the_calculator_in_them():
    calc = partial(PhonaxCalculator, potential())
    rng = np.random.default_rng(2)
    fields = [None, FIELD, *rng.normal(0, 0.1, (20, 3)), FIELD]  # more than are kept
    wrong, errors = [], []
    for k, field in enumerate(fields):
        frame = in_field(moved("H2O", k), field, hessian=k < 3)
        wrong.append(replace(frame, energy=0.0, dipole=np.zeros(3), born_charges=np.zeros((3, 3, 3))))
        own = calc(field=field)
        charges = np.abs(own.get_born_charges(frame.atoms)).mean()
        errors.append((own.get_potential_energy(frame.atoms) / 3, own.get_dipole_moment(frame.atoms), charges))
    scores = evaluate(potential(), wrong)
    assert scores.mae["energy"] == pytest.approx(np.mean([abs(e) for e, _, _ in errors]), rel=1e-10)
    assert scores.mae["dipole"] == pytest.approx(np.mean([np.abs(mu) for _, mu, _ in errors]), rel=1e-10)
    assert scores.mae["born_charges"] == pytest.approx(np.mean([z for _, _, z in errors]), rel=1e-10)
    assert scores.mae["forces"] < 1e-10
    assert scores.relative_curvature < 1e-12


def test_networks_get_the_outputs_that_fields_need():
    loss = setup.LossConfig()
    assert wanted_outputs(loss) == ()
    assert wanted_outputs(loss, in_fields=True) == (DIPOLE, POLARIZABILITY)
    given = setup.with_wanted_outputs(potential((DIPOLE,)), loss, 0, in_fields=True)
    assert given.outputs[1:] == (DIPOLE, POLARIZABILITY)


def test_reference_energies_are_found_at_the_fields_of_the_frames():
    frames = [in_field(moved("CH3OH", k), 9 * FIELD * (-1) ** k) for k in range(4)]
    away = setup.with_references(potential(), setup.references(potential()) + [1.0, 2.0, 3.0])
    again = setup.shifted(away, frames)
    per_molecule = np.array([4, 1, 1]) @ (setup.references(again) - setup.references(potential()))
    assert per_molecule == pytest.approx(0, abs=1e-9)


def test_models_that_say_nothing_of_fields_are_refused(tmp_path):
    frames = [replace(in_field(moved("H2O", k), FIELD), origin=f"a.xyz:{k}") for k in range(2)]
    with pytest.raises(InputError, match=r"a\.xyz:0 \(H2O\), one of 2, is in an electric field, and the model"):
        evaluate(make_potential_with(()), frames)
    mean = replace(POLARIZABILITY, irreps="0e")
    with pytest.raises(InputError, match="is in an electric field"):
        evaluate(make_potential_with((DIPOLE, mean)), frames)
    # Training frames without a field, frames in one to validate: the network would be random there.
    config = {
        "network": {"hidden_irreps": "2x0e + 1x1o", "n_layers": 1, "l_max": 1, "cutoff": 3.0},
        "run": {"output": str(tmp_path)},
    }
    alone = [in_field(moved("H2O", k), None) for k in range(2)]
    with pytest.raises(InputError, match="training on frames in fields makes one"):
        train(config, frames=(alone, frames))


def make_potential_with(outputs) -> Potential:
    config = replace(SMALL, outputs=outputs)
    parameters = {
        m: {k: np.zeros(s) for k, s in own.items()} for m, own in ARCHITECTURES["nequip"].shapes(config).items()
    }
    return make_potential("nequip", config, parameters, (1, 6, 8), "other")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ([0.1, 0.2], r"(?s)a\.xyz:3 \(H2O\): the field is .*a uniform field is a vector"),
        ([0, 0, np.nan], "a uniform field is a vector"),
        ([0, 0, 5.1], r"an atomic unit of field is 51\.42 V/Å"),
    ],
)
def test_frames_in_what_is_no_field_are_refused(field, text):
    with pytest.raises(InputError, match=text):
        Frame(moved("H2O", 0), energy=0.0, origin="a.xyz:3", field=field)


def test_crystals_and_ions_in_fields_are_refused():
    crystal = bulk("C", a=3.57)
    with pytest.raises(InputError, match=r"is in an electric field and periodic \(pbc=\[True, True, True\]\)"):
        Frame(crystal, energy=0.0, field=FIELD)
    assert Frame(crystal, energy=0.0, field=np.zeros(3)).field is None
    with pytest.raises(StructureError, match="is periodic"):
        teacher.label(crystal, PhonaxCalculator(potential(), field=FIELD), LabelRecipe(relax=False))
    ion = moved("H2O", 0)
    ion.info |= {"charge": 1, "electric_field": FIELD, "energy": 0.0}
    with pytest.raises(InputError, match="in an electric field: the molecule has charge 1"):
        frame_of_atoms(ion)


def test_files_keep_fields_and_those_without_are_as_they_were(tmp_path):
    without = labelled_water()
    assert fingerprint([without]) == FINGERPRINT
    inside = replace(without, field=FIELD)
    assert fingerprint([inside]) != FINGERPRINT
    assert fingerprint([inside]) != fingerprint([replace(without, field=-FIELD)])
    save_frames([without, inside, Frame(without.atoms, energy=1.0, field=-FIELD)], tmp_path / "a.h5")
    back = read_store(tmp_path / "a.h5")
    assert back[0].field is None
    np.testing.assert_array_equal(back[1].field, FIELD)
    np.testing.assert_array_equal(back[2].field, -FIELD)
    np.testing.assert_array_equal(back[1].forces, without.forces)


def written(path, frames, **info) -> None:
    images = []
    for frame in frames:
        atoms = frame.atoms.copy()
        atoms.calc = SinglePointCalculator(atoms, energy=frame.energy, forces=frame.forces)
        if frame.field is not None:
            atoms.info[info.get("name", "electric_field")] = frame.field
        images.append(atoms)
    write(path, images)


def test_fields_are_read_from_what_ase_writes(tmp_path):
    frames = [in_field(moved("H2O", 1), FIELD), in_field(moved("H2O", 2), None)]
    written(tmp_path / "a.extxyz", frames)
    for keys in (None, {"energy": "energy", "forces": "forces"}):
        back = read_frames(tmp_path / "a.extxyz", keys)
        np.testing.assert_array_equal(back[0].field, FIELD)
        assert back[1].field is None
    written(tmp_path / "b.extxyz", frames, name="REF_electric_field")
    back = read_frames(tmp_path / "b.extxyz", {"electric_field": "REF_electric_field"})
    np.testing.assert_array_equal(back[0].field, FIELD)
    assert back[0].energy == pytest.approx(frames[0].energy)  # keys that name the field alone leave labels as they are
    with pytest.warns(UnstableWarning, match="REF_electric_field; these frames are taken to be in no electric field"):
        read_frames(tmp_path / "b.extxyz")
    with pytest.raises(InputError, match="no frame has 'F', which keys names for electric_field"):
        read_frames(tmp_path / "a.extxyz", {"electric_field": "F"})


def test_labels_by_a_calculator_in_a_field_are_labels_in_that_field():
    atoms = moved("H2O", 3)
    atoms.calc = PhonaxCalculator(potential(), field=FIELD)
    atoms.get_forces()
    np.testing.assert_array_equal(frame_of_atoms(atoms).field, FIELD)
    atoms.info["electric_field"] = -FIELD
    with pytest.raises(InputError, match="would be learned as those in the other"):
        frame_of_atoms(atoms)
    hessian = atoms.calc.get_hessian(atoms)
    np.testing.assert_array_equal(frame_of_hessian(atoms, hessian, field=FIELD).field, FIELD)
    recipe = LabelRecipe(relax=False, perturbations=[{"positions": 0.05, "count": 2}])
    for frame in teacher.label(moved("H2O", 3), PhonaxCalculator(potential(), field=FIELD), recipe):
        np.testing.assert_array_equal(frame.field, FIELD)
        forces = PhonaxCalculator(potential(), field=FIELD).get_forces(frame.atoms)
        np.testing.assert_allclose(frame.forces, forces, rtol=0, atol=1e-12)


def test_a_structure_in_two_fields_does_not_come_twice(recwarn):
    atoms, energy = moved("H2O", 1), 1.0
    say_repeated([Frame(atoms, energy, field=field) for field in (None, FIELD, -FIELD)], [])
    assert not recwarn
    with pytest.warns(UnstableWarning, match="come twice"):
        say_repeated([Frame(atoms, energy, field=FIELD)] * 2, [])


def harmonic(positions: np.ndarray, field: np.ndarray) -> Frame:
    """Three charged masses on springs, polarizable: energy, forces and dipole written down."""
    atoms, charges, bend = molecule("H2O"), np.array([-0.8, 0.4, 0.4]), 0.3
    x = positions - atoms.positions
    energy = 2.0 * np.sum((x - x.mean(0)) ** 2) - charges @ positions @ field - bend * field @ field / 2
    forces = -4.0 * (x - x.mean(0)) + np.outer(charges, field)
    atoms.positions = positions
    return Frame(atoms, float(energy), forces, dipole=charges @ positions + bend * field, field=field)


def test_units_and_signs_are_compared_in_equal_fields_only():
    """Neighbours in the same field obey dE = -F.dx, in others they do not have to."""
    rng = np.random.default_rng(0)
    start = molecule("H2O").positions
    frames = [
        harmonic(start + rng.normal(0, 0.02, (3, 3)), field) for field in rng.normal(0, 0.5, (6, 3)) for _ in "ab"
    ]
    check_frames(frames)
    with pytest.raises(InputError, match="forces times displacements disagree by a factor of -1"):
        check_frames([replace(frame, forces=-frame.forces + 2 * frame.forces.mean(0)) for frame in frames])


def test_a_field_of_another_sign_or_unit_and_forces_of_ions_are_refused():
    fields = np.random.default_rng(1).normal(0, 0.02, (8, 3))
    frames = [harmonic(molecule("H2O").positions, field) for field in fields]
    check_frames(frames)
    with pytest.raises(InputError, match="looks like fields, or dipoles, of the opposite sign"):
        check_frames([replace(frame, field=-frame.field) for frame in frames])
    with pytest.raises(InputError, match="looks like fields in atomic units"):
        check_frames([replace(frame, field=frame.field / ATOMIC_UNIT) for frame in frames])
    with pytest.raises(InputError, match=r"of the field on a charge of 1 e"):
        check_frames([replace(frame, dipole=None, forces=frame.forces + frame.field / 3) for frame in frames])


def test_outputs_of_any_scale_answer_for_frames_in_fields():
    atoms = molecule("H2O")
    in_a_field = [Frame(atoms, -10.0, np.zeros((3, 3)), field=np.array([0.1, 0.0, 0.0]))]
    scaled = SimpleNamespace(name="scaled", outputs=(ENERGY, replace(DIPOLE, scale=3.0)))
    check_fields(scaled, in_a_field)
    with pytest.raises(InputError, match="need a dipole"):
        check_fields(SimpleNamespace(name="none", outputs=(ENERGY,)), in_a_field)
