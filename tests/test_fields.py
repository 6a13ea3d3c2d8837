"""Molecules in a uniform electric field: derivatives by differences, sum rules, and what turns with the molecule."""

import pickle
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from scipy.spatial.transform import Rotation

from ase_phonax import (
    PhonaxCalculator,
    Potential,
    evaluate,
    fine_tune,
    molecule_study,
    normal_modes,
    read_frames,
    save_frames,
    train,
    vibrational_intensities,
)
from ase_phonax.base.errors import InputError, StructureError, UnstableWarning
from ase_phonax.models.architectures import ARCHITECTURES, make_potential
from ase_phonax.models.fields import DIPOLE, POLARIZABILITY, as_components, as_tensor, symmetric_tensors
from ase_phonax.models.nequip.config import NequIPConfig
from ase_phonax.training.labels import Frame
from ase_phonax.training.labels.checks import check_frames as read_and_check

FIELD = np.array([0.11, -0.07, 0.05])  # V/Å
SMALL = NequIPConfig(
    n_species=3,
    cutoff=3.5,
    hidden_irreps="4x0e + 3x1o + 2x2e",
    n_layers=2,
    n_basis=4,
    radial_sizes=(8,),
    embedding=4,
    average_neighbors=3.0,
    outputs=(DIPOLE, POLARIZABILITY),
)


@lru_cache
def potential(outputs=(DIPOLE, POLARIZABILITY)) -> Potential:
    """A network of H, C and O with random parameters."""
    config, rng = replace(SMALL, outputs=outputs), np.random.default_rng(5)
    shapes = ARCHITECTURES["nequip"].shapes(config)
    parameters = {m: {key: rng.normal(size=shape) for key, shape in own.items()} for m, own in shapes.items()}
    return make_potential("nequip", config, parameters, (1, 6, 8), "random")


def crooked() -> Atoms:
    """Methanol without any symmetry."""
    atoms = molecule("CH3OH")
    atoms.rattle(0.1, seed=2)
    return atoms


def differences(function, x: np.ndarray, step: float) -> np.ndarray:
    """d function / dx by central differences and one step of Richardson's extrapolation; derivatives last."""
    columns = []
    for k in range(x.size):
        unit = np.zeros(x.size)
        unit[k] = step
        one, two = (
            (function(x + s * unit.reshape(x.shape)) - function(x - s * unit.reshape(x.shape))) / (2 * s * step)
            for s in (1, 2)
        )
        columns.append((4 * one - two) / 3)
    return np.stack(columns, -1).reshape(*np.shape(columns[0]), *x.shape)


def moved(atoms: Atoms, positions: np.ndarray) -> Atoms:
    atoms = atoms.copy()
    atoms.positions = positions
    return atoms


def test_symmetric_tensors_are_an_orthonormal_basis_that_turns_as_features_do():
    basis = symmetric_tensors()
    np.testing.assert_allclose(np.einsum("iab,jab->ij", basis, basis), np.eye(6), atol=1e-14)
    tensor = np.random.default_rng(0).normal(size=(3, 3))
    tensor += tensor.T
    np.testing.assert_allclose(as_tensor(as_components(tensor)), tensor, atol=1e-14)


def test_derivatives_by_field_and_positions_equal_differences():
    """U itself is differentiated: signs and index orders follow from it alone."""
    atoms = crooked()
    calc = PhonaxCalculator(potential())

    def energy(field):
        return np.array(PhonaxCalculator(potential(), field=field).get_potential_energy(atoms))

    zero = np.zeros(3)
    np.testing.assert_allclose(calc.get_dipole_moment(atoms), -differences(energy, zero, 0.05), rtol=0, atol=1e-9)
    # U is of second order in the field: differences of any step are exact.
    bend = np.array(
        [
            [
                energy(0.5 * (a + b)) - energy(0.5 * (a - b)) - energy(0.5 * (b - a)) + energy(-0.5 * (a + b))
                for a in np.eye(3)
            ]
            for b in np.eye(3)
        ]
    )
    np.testing.assert_allclose(calc.get_polarizability(atoms), -bend, rtol=0, atol=1e-9)

    born = differences(lambda x: calc.get_dipole_moment(moved(atoms, x)), atoms.positions, 5e-4)  # (a, i, b)
    np.testing.assert_allclose(calc.get_born_charges(atoms), born.swapaxes(0, 1), rtol=0, atol=1e-7)
    assert np.abs(born.swapaxes(0, 1) - born.swapaxes(0, 1).swapaxes(1, 2)).max() > 1e-2  # the order matters
    raman = differences(lambda x: calc.get_polarizability(moved(atoms, x)), atoms.positions, 5e-4)  # (a, b, i, c)
    np.testing.assert_allclose(calc.get_polarizability_gradient(atoms), np.moveaxis(raman, 2, 0), rtol=0, atol=1e-7)


def test_in_a_field_everything_is_of_one_energy():
    atoms = crooked()
    calc = PhonaxCalculator(potential(), field=FIELD)
    force = -differences(lambda x: np.array(calc.get_potential_energy(moved(atoms, x))), atoms.positions, 5e-4)
    np.testing.assert_allclose(calc.get_forces(atoms), force, rtol=0, atol=1e-7)
    born = differences(lambda x: calc.get_dipole_moment(moved(atoms, x)), atoms.positions, 5e-4)
    np.testing.assert_allclose(calc.get_born_charges(atoms), born.swapaxes(0, 1), rtol=0, atol=1e-7)
    hessian = -differences(lambda x: calc.get_forces(moved(atoms, x)), atoms.positions, 5e-4)
    np.testing.assert_allclose(calc.get_hessian(atoms), hessian, rtol=0, atol=1e-6)


def test_both_routes_give_the_same():
    atoms = crooked()
    one, two = (PhonaxCalculator(potential(), route=route, field=FIELD) for route in ("arrays", "compiled"))
    for name in ("get_forces", "get_polarizability", "get_born_charges", "get_polarizability_gradient"):
        a, b = (getattr(calc, name)(atoms) for calc in (one, two))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * np.abs(a).max(), err_msg=name)


def test_tensors_turn_and_mirror_with_the_molecule_and_charges_add_up_to_zero():
    atoms, turn = crooked(), -Rotation.from_rotvec([0.3, 1.1, -0.4]).as_matrix()
    turned = moved(atoms, atoms.positions @ turn.T + [1.0, 2.0, 3.0])
    calc = PhonaxCalculator(potential())
    scale = np.abs(calc.get_born_charges(atoms)).max()
    assert np.abs(calc.get_born_charges(atoms).sum(0)).max() < 1e-12 * scale
    assert np.abs(calc.get_polarizability_gradient(atoms).sum(0)).max() < 1e-11 * scale
    np.testing.assert_allclose(calc.get_dipole_moment(turned), turn @ calc.get_dipole_moment(atoms), atol=1e-12 * scale)
    expected = turn @ calc.get_polarizability(atoms) @ turn.T
    np.testing.assert_allclose(calc.get_polarizability(turned), expected, atol=1e-12 * scale)
    np.testing.assert_allclose(
        calc.get_born_charges(turned), turn @ calc.get_born_charges(atoms) @ turn.T, atol=1e-11 * scale
    )


def test_a_field_of_the_first_order_needs_no_polarizability():
    atoms = crooked()
    calc = PhonaxCalculator(potential((DIPOLE,)), field=FIELD)
    without = PhonaxCalculator(potential((DIPOLE,)))
    expected = without.get_potential_energy(atoms) - without.get_dipole_moment(atoms) @ FIELD
    assert calc.get_potential_energy(atoms) == pytest.approx(expected, abs=1e-10)
    with pytest.raises(InputError, match="knows nothing of the polarizability"):
        calc.get_polarizability(atoms)


def test_a_calculator_in_a_field_goes_through_pickle_and_says_what_it_offers():
    atoms = crooked()
    calc = PhonaxCalculator(potential(), field=FIELD)
    forces = calc.get_forces(atoms)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(calc)).get_forces(atoms), forces)
    assert "dipole" in calc.implemented_properties
    assert "dipole" not in PhonaxCalculator("phonax-small").implemented_properties
    assert calc.todict()["field"] == FIELD.tolist()


def test_a_calculator_that_is_made_does_not_take_another_field_in_silence():
    calc = PhonaxCalculator(potential(), field=FIELD)
    calc.set(field=FIELD)  # nothing changes
    with pytest.raises(InputError, match="change field of a calculator that is made"):
        calc.set(field=[0, 0, 0.2])


def test_the_field_of_a_calculator_is_read_and_not_written():
    given = FIELD.copy()
    calc = PhonaxCalculator(potential(), field=given)
    given[:] = 0
    for name, value in (("field", (0, 0.5, 0)), ("dtype", "float32"), ("route", "compiled")):
        with pytest.raises(InputError, match=f"change {name} of a calculator that is made"):
            setattr(calc, name, value)
    calc.field = FIELD  # nothing changes
    with pytest.raises(ValueError, match="read-only"):
        calc.field[0] = 1.0
    np.testing.assert_array_equal(calc.field, FIELD)
    assert "in the field [0.11, -0.07, 0.05] V/Å" in repr(calc)
    assert "field" not in repr(PhonaxCalculator(potential()))


def test_a_molecule_in_a_field_relaxes_and_has_no_normal_modes():
    """Rotations are librations there: it has 3N motions, which are those of its Hessian."""
    calc = PhonaxCalculator(potential(), field=FIELD)
    atoms = crooked()
    for ask in (normal_modes, molecule_study):
        with pytest.raises(InputError, match="rotations are librations"):
            ask(atoms, calc)
    assert len(calc.get_vibrations(atoms).get_energies()) == 3 * len(atoms)
    modes = normal_modes(atoms, PhonaxCalculator(potential(), field=(0, 0, 0)))
    with pytest.raises(InputError, match="is in an electric field"):
        vibrational_intensities(modes, PhonaxCalculator(potential(), field=FIELD))


def test_a_model_without_a_dipole_explains_that_in_every_getter():
    calc = PhonaxCalculator(potential(()))
    for ask, error in ((calc.get_dipole_moment, PropertyNotImplementedError), (calc.get_born_charges, InputError)):
        with pytest.raises(error, match=r"'random' gives no dipole\n.*\n.*docs/training.md"):
            ask(crooked())


def test_a_polarizability_that_is_not_positive_is_warned_of():
    atoms, calc = molecule("CO"), PhonaxCalculator(potential())  # with random parameters all three are negative
    with pytest.warns(UnstableWarning, match="CO is not positive .* has not learned this molecule"):
        calc.get_polarizability(atoms)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ([0.1, 0.2], "a uniform field is a vector"),
        ("strong", "a uniform field is a vector"),
        ([0, 0, np.nan], "a uniform field is a vector"),
        ([0, 0, 5.1], r"an atomic unit of field is 51\.42 V/Å"),
    ],
)
def test_what_is_no_field_is_refused(field, text):
    with pytest.raises(InputError, match=text):
        PhonaxCalculator(potential(), field=field)


def test_crystals_ions_and_models_without_a_dipole_are_refused():
    calc = PhonaxCalculator(potential(), field=FIELD)
    crystal = bulk("C", a=3.57)
    with pytest.raises(StructureError, match="is periodic"):
        calc.get_potential_energy(crystal)
    for key in ("charge", "total_charge"):
        ion = crooked()
        ion.info[key] = 1
        with pytest.raises(StructureError, match="has charge 1"):
            calc.get_born_charges(ion)
    with pytest.raises(InputError, match="knows nothing of the dipole"):
        PhonaxCalculator(potential(()), field=FIELD)
    with pytest.raises(InputError, match="knows nothing of the dipole"):
        PhonaxCalculator(potential(())).get_born_charges(crooked())


def labelled(seed: int) -> Frame:
    """Methanol, its atoms displaced at random, with what the random network says of it in a field."""
    atoms, calc = molecule("CH3OH"), PhonaxCalculator(potential())
    atoms.rattle(0.08, seed=seed)
    labels = {
        "dipole": calc.get_dipole_moment(atoms),
        "polarizability": calc.get_polarizability(atoms),
        "born_charges": calc.get_born_charges(atoms),
        "polarizability_gradient": calc.get_polarizability_gradient(atoms),
    }
    return Frame(atoms, float(calc.get_potential_energy(atoms)), calc.get_forces(atoms), **labels)


def of_molecular_size(frame: Frame) -> Frame:
    """The network is random: with a polarizability such as molecules have."""
    return replace(frame, polarizability=0.04 * len(frame.atoms) * np.eye(3) + 0.01)


def test_labels_of_fields_survive_their_file(tmp_path):
    frames = [of_molecular_size(labelled(1)), Frame(crooked(), energy=1.0)]
    save_frames(frames, tmp_path / "frames.h5")
    back, without = read_frames(tmp_path / "frames.h5")
    for name in ("dipole", "polarizability", "born_charges", "polarizability_gradient"):
        np.testing.assert_array_equal(getattr(back, name), getattr(frames[0], name))
        assert getattr(without, name) is None


def test_labels_of_fields_are_read_from_what_ase_writes_and_their_unit_is_looked_at(tmp_path):
    frame = of_molecular_size(labelled(2))
    polarizability = frame.polarizability
    atoms = frame.atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=frame.forces, dipole=frame.dipole)
    for factor, text in ((1.0, ""), (14.399645, "looks like Å³"), (97.2, "looks like bohr³")):
        atoms.info["polarizability"] = factor * polarizability
        write(tmp_path / "frames.extxyz", atoms)
        if text:
            with pytest.raises(InputError, match=text):
                read_frames(tmp_path / "frames.extxyz")
            continue
        (back,) = read_frames(tmp_path / "frames.extxyz")
        np.testing.assert_allclose(back.dipole, frame.dipole, atol=1e-6)
        np.testing.assert_allclose(back.polarizability, polarizability, atol=1e-6)


def test_charges_that_do_not_add_up_and_labels_of_crystals_are_refused():
    frame = of_molecular_size(labelled(3))
    with pytest.raises(InputError, match="add up to"):
        read_and_check([replace(frame, born_charges=frame.born_charges + np.eye(3))])
    moved_on = np.moveaxis(frame.polarizability_gradient, 3, 1)  # the displacement before the tensor
    with pytest.raises(InputError, match="from symmetric in the first two"):
        read_and_check([replace(frame, polarizability_gradient=moved_on)])
    crystal = frame.atoms.copy()
    crystal.set_cell([9, 9, 9])
    crystal.pbc = True
    with pytest.raises(InputError, match="is periodic"):
        read_and_check([replace(frame, atoms=crystal)])


LEARNING = {
    "loss": {"energy": 0.0, "forces": 0.0, "dipole": 1.0, "polarizability": 1.0, "born_charges": 1.0},
    "optimiser": {"epochs": 12, "batch_size": 4, "learning_rate": 2e-2},
}


def check_learned(result, rows, held) -> None:
    """Errors have fallen, and `evaluate` says of each label how far it is."""
    assert {output.name for output in result.potential.outputs} == {"energy", "dipole", "polarizability"}
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"], [row["loss"] for row in rows]
    scores = evaluate(result.potential, held)
    calc = PhonaxCalculator(result.potential)
    error = np.mean([np.abs(calc.get_born_charges(f.atoms) - f.born_charges).mean() for f in held])
    assert scores.mae["born_charges"] == pytest.approx(error, rel=1e-9)
    assert {"dipole", "polarizability", "polarizability_gradient"} <= set(scores.mae)


@pytest.mark.slow
def test_a_network_learns_what_another_says_of_molecules_in_fields(tmp_path):
    """Its errors fall, and `evaluate` says of each label how far it is; a network without outputs is asked of none."""
    frames, rows = [labelled(seed) for seed in range(10)], []
    network = {"hidden_irreps": "4x0e + 3x1o + 2x2e", "n_layers": 1, "n_basis": 4, "radial_sizes": [8], "cutoff": 3.5}
    config = LEARNING | {"network": network, "run": {"output": str(tmp_path / "run")}}
    check_learned(train(config, frames=(frames[:8], frames[8:]), report=rows.append), rows, frames[8:])


def test_a_network_with_outputs_learns_what_another_says_of_molecules_in_fields(tmp_path):
    """The same of a network that has its outputs, not validated: half as much to compile."""
    frames, rows = [labelled(seed) for seed in range(10)], []
    config, rng = replace(SMALL, n_layers=1), np.random.default_rng(6)
    shapes = ARCHITECTURES["nequip"].shapes(config)
    parameters = {m: {key: 0.5 * rng.normal(size=shape) for key, shape in own.items()} for m, own in shapes.items()}
    start = make_potential("nequip", config, parameters, (1, 6, 8), "random, too")
    settings = LEARNING | {"run": {"output": str(tmp_path / "run")}}
    check_learned(fine_tune(start, settings, frames=(frames[:8], ()), report=rows.append), rows, frames[8:])
    assert "dipole" not in evaluate(potential(()), frames[8:]).mae
