"""PhonaxCalculator as ASE uses it: every periodicity, its cache, its copies, and what it refuses."""

import copy
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_stress
from ase.calculators.mixing import SumCalculator
from ase.constraints import FixAtoms, FixCartesian, FixedPlane
from ase.io import read, write
from ase.mep import NEB
from ase.optimize import FIRE
from ase.outputs import all_outputs
from scipy.spatial.transform import Rotation

from ase_phonax import PhonaxCalculator, save_model
from ase_phonax.base.errors import InputError, ModelError, StructureError

from .analytic import fresh, silicon_potential, two_hop_potential
from .crystals import left_handed, triclinic

STRUCTURES = {
    "crystal": triclinic(),
    "left-handed crystal": left_handed(triclinic()),
    "cell smaller than the cutoff": Atoms(
        "SiO", positions=[[0.1, 0, 0], [1.4, 1.2, 1.5]], cell=[[2.6, 0.2, 0], [0, 2.7, 0.3], [0.1, 0, 2.8]], pbc=True
    ),
    "one-atom crystal": Atoms("C", cell=[1.9, 2.0, 2.1], pbc=True),
    "molecule": molecule("CH3OH"),
    "wire": Atoms("COH", positions=[[0, 0, 0], [1.2, 0.2, 0.1], [1.9, 1.0, 0]], cell=[3.1, 0, 0], pbc=(1, 0, 0)),
    "slab": Atoms("SiOH", positions=[[0, 0, 0], [1.3, 1.2, 0.9], [0, 0.3, 1.6]], cell=[2.8, 3.0, 0], pbc=(1, 1, 0)),
    "isolated atoms": Atoms("HSi", positions=[[0, 0, 0], [0, 0, 50]]),
    "one atom": Atoms("O"),
}
CRYSTALLINE = [name for name, atoms in STRUCTURES.items() if all(atoms.pbc)]


@pytest.fixture(scope="module")
def calc(untrained):
    calculator = PhonaxCalculator(untrained)
    # The capacity never shrinks: after the largest structure all others share its compiled function.
    calculator.get_potential_energy(triclinic().repeat((2, 1, 1)))
    return calculator


def rattled_silicon() -> Atoms:
    atoms = bulk("Si", "diamond", 5.431, cubic=True)
    atoms.rattle(0.05, seed=1)
    return atoms


def with_calc(atoms: Atoms, calc) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = calc
    return atoms


@pytest.mark.parametrize("name", STRUCTURES)
def test_forces_are_the_slope_of_the_energy(name, calc):
    atoms = with_calc(STRUCTURES[name], calc)
    forces, start = atoms.get_forces(), atoms.positions.copy()
    direction = np.random.default_rng(2).standard_normal(start.shape)

    def energy(h):
        atoms.positions = start + h * direction
        return atoms.get_potential_energy()

    slopes = [(energy(h) - energy(-h)) / (2 * h) for h in (2e-3, 1e-3)]
    # Extrapolated central differences: their own error is about 1e-10 eV/Å here.
    assert abs((4 * slopes[1] - slopes[0]) / 3 + np.sum(forces * direction)) < 1e-8 * max(1, np.abs(forces).max())
    assert np.abs(forces.sum(0)).max() < 1e-12
    assert np.abs(forces).max() > 1e-3 or len(atoms) == 1 or name == "isolated atoms"


@pytest.mark.parametrize("name", CRYSTALLINE)
def test_stress_equals_ases_finite_differences(name, calc):
    # Trap: opposite sign, and volume 1 for a left-handed cell.
    atoms = with_calc(STRUCTURES[name], calc)
    stress = atoms.get_stress()
    assert np.abs(stress).max() > 1e-3
    assert np.abs(stress - calculate_numerical_stress(atoms, eps=1e-4)).max() < 1e-6 * np.abs(stress).max()


@pytest.mark.parametrize("name", sorted(set(STRUCTURES) - set(CRYSTALLINE)))
def test_stress_without_a_volume_is_not_implemented(name, calc):
    with pytest.raises(PropertyNotImplementedError):
        calc.get_stress(STRUCTURES[name])


@pytest.mark.parametrize("name", ["crystal", "molecule", "slab"])
def test_translation_rotation_and_order_do_not_matter(name, calc):
    atoms = with_calc(STRUCTURES[name], calc)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    turn = Rotation.random(random_state=4).as_matrix()
    order = np.random.default_rng(1).permutation(len(atoms))
    moved = with_calc(atoms, calc)
    moved.set_cell(atoms.cell.array @ turn.T)
    moved.positions = atoms.positions @ turn.T + [0.3, -7.1, 2.2]
    moved = with_calc(moved[order], calc)
    assert abs(moved.get_potential_energy() - energy) < 1e-12
    assert np.abs(moved.get_forces() - (forces @ turn.T)[order]).max() < 1e-12
    assert np.abs(moved.get_potential_energies().sum() - energy) < 1e-12
    if name == "crystal":
        assert np.abs(moved.get_stress(voigt=False) - turn @ atoms.get_stress(voigt=False) @ turn.T).max() < 1e-13


def test_atoms_without_neighbours_keep_their_energy(calc):
    # Trap: atoms that have no edge vanish from the graph.
    together = calc.get_potential_energy(STRUCTURES["isolated atoms"])
    alone = [calc.get_potential_energy(Atoms(symbol)) for symbol in ("H", "Si")]
    assert abs(together - sum(alone)) < 1e-13
    assert min(abs(e) for e in alone) > 1e-6
    slab = Atoms("SiOH", positions=[[0, 0, 0], [1.1, 1.2, 1.1], [0, 0, 20]], cell=[2.1, 2.2, 0], pbc=(1, 1, 0))
    hessian = calc.get_hessian(slab)
    # Its images move along: what pulls one way pulls the other, to the rounding of a sum.
    assert np.abs(hessian[2]).max() < 1e-14 * np.abs(hessian).max()
    assert np.abs(hessian[:2, :, :2] - calc.get_hessian(slab[:2])).max() < 1e-13


def test_results_are_cached_until_something_changes(calc, monkeypatch):
    calls, original = [], calc.evaluator.energy_forces_stress
    monkeypatch.setattr(calc.evaluator, "energy_forces_stress", lambda *args: calls.append(0) or original(*args))
    calc.reset()
    atoms = with_calc(triclinic(), calc)
    for ask in (atoms.get_potential_energy, atoms.get_forces, atoms.get_stress):
        ask()
        assert len(calls) == 1
    for count, change in enumerate(
        (
            lambda: atoms.rattle(0.01),
            lambda: atoms.set_cell(atoms.cell * 1.01),
            lambda: atoms.set_atomic_numbers([14, 8, 6, 6]),
            lambda: atoms.pop(0),  # another number of atoms: cached by peers, with wrong results
            lambda: setattr(atoms, "pbc", (1, 1, 0)),
        ),
        start=2,
    ):
        change()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        assert len(calls) == count
        assert forces.shape == (len(atoms), 3)
    assert "stress" not in calc.results, "left over from the periodic structure"
    assert abs(energy - PhonaxCalculator(calc.potential).get_potential_energy(atoms)) < 1e-13


def test_hessian_in_the_results_is_current_and_harms_nothing(tmp_path):
    calc = PhonaxCalculator(silicon_potential())
    atoms = with_calc(rattled_silicon(), calc)
    before = calc.get_hessian(atoms)
    assert set(calc.export_properties()) <= set(all_outputs)
    assert atoms.get_properties(["energy"])["energy"] == atoms.get_potential_energy()
    write(tmp_path / "silicon.extxyz", atoms)
    again = read(tmp_path / "silicon.extxyz")
    assert abs(again.get_potential_energy() - atoms.get_potential_energy()) < 1e-7
    assert np.abs(again.get_forces() - atoms.get_forces()).max() < 1e-7
    # `get_properties` recomputes without telling the cache: the Hessian of the old positions must not survive.
    atoms.rattle(0.1, seed=3)
    atoms.get_properties(["energy"])
    after = calc.get_hessian(atoms)
    assert np.array_equal(after, PhonaxCalculator(silicon_potential()).get_hessian(atoms))
    assert np.abs(after - before).max() > 0.1
    twice = SumCalculator([calc, PhonaxCalculator(silicon_potential())])
    assert np.allclose(twice.get_property("hessian", atoms), 2 * after, rtol=1e-14)


def test_copies_dictionaries_and_images_of_a_path(untrained, tmp_path):
    atoms = triclinic()
    save_model(untrained, tmp_path / "model.h5")
    calc = PhonaxCalculator(tmp_path / "model.h5")
    expected = calc.get_forces(atoms)
    assert calc.todict() == {"model": str(tmp_path / "model.h5"), "dtype": "float64", "compiled": False}
    for other in (copy.deepcopy(calc), PhonaxCalculator(**calc.todict())):
        assert np.array_equal(other.get_forces(atoms), expected)
    silicon = PhonaxCalculator(silicon_potential())
    images = [with_calc(rattled_silicon(), copy.deepcopy(silicon)) for _ in range(5)]
    images[0].positions[0] += [0.5, 0, 0]
    images[-1].positions[0] -= [0.5, 0, 0]
    path = NEB(images, method="improvedtangent")
    path.interpolate()
    steepest = np.abs(path.get_forces()).max()
    FIRE(path, logfile=None).run(fmax=0.0, steps=12)
    assert np.abs(path.get_forces()).max() < 0.5 * steepest
    for image in images:
        assert abs(image.get_potential_energy() - silicon.get_potential_energy(image)) < 1e-10


def test_threads_agree_with_serial_and_leave_precision_alone():
    potential = fresh(two_hop_potential(3.0))  # so that the threads compile as well
    structures = [STRUCTURES["crystal"], STRUCTURES["cell smaller than the cutoff"]]

    def work(atoms):
        calc = PhonaxCalculator(potential)
        return [calc.get_property("hessian", atoms), *(calc.reset() or calc.get_forces(atoms) for _ in range(20))]

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(work, atoms) for atoms in structures]
        dtypes = {jax.numpy.ones(1).dtype.name}
        while not all(future.done() for future in running):
            dtypes.add(jax.numpy.ones(1).dtype.name)
    assert dtypes == {"float32"}
    for future, atoms in zip(running, structures, strict=True):
        for found, expected in zip(future.result(), work(atoms), strict=True):
            assert found.dtype == np.float64
            assert np.array_equal(found, expected)


def test_vibrations_leave_out_fixed_and_unwanted_atoms(calc):
    atoms = triclinic()
    full = calc.get_hessian(atoms)
    # Rounding only: a matrix product sums in another order where it has fewer columns.
    rounding = 1e-14 * np.abs(full).max()
    assert np.array_equal(calc.get_vibrations(atoms).get_hessian(), full)
    chosen = calc.get_vibrations(atoms, indices=[2, -1])
    assert chosen.get_indices().tolist() == [2, 3], "a negative index counts from the end"
    assert np.abs(chosen.get_hessian() - full[2:, :, 2:]).max() < rounding
    atoms.set_constraint(FixAtoms([0, 2]))
    assert np.abs(calc.get_vibrations(atoms).get_hessian() - full[1::2, :, 1::2]).max() < rounding
    with pytest.raises(IndexError):
        calc.get_vibrations(atoms, indices=[4])
    with pytest.raises(ValueError, match="may vibrate"):
        calc.get_vibrations(atoms, indices=[])


def test_constraints_that_hold_parts_of_a_motion_are_refused_not_overlooked(calc):
    """ASE's container would drop all of an atom for FixCartesian, and none for FixedPlane."""
    atoms = triclinic()
    for constraint in (FixCartesian([0], mask=(True, False, False)), FixedPlane([0], (0, 0, 1))):
        atoms.set_constraint(constraint)
        with pytest.raises(InputError, match=f"constraints of the kind {type(constraint).__name__}"):
            calc.get_vibrations(atoms)
    atoms.set_constraint(FixCartesian([0]))
    assert calc.get_vibrations(atoms).get_indices().tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("atoms", "text"),
    [
        (Atoms("H", positions=[[np.nan, 0, 0]]), "the position 0 is not a finite number"),
        (Atoms("HO", positions=[[0, 0, 0], [0, 0, 0.01]]), "atoms 0 and 1 .* are 0.0100 Å apart"),
        (Atoms("HU", positions=[[0, 0, 0], [0, 0, 2]]), "the model 'untrained' does not know U"),
        (Atoms(), "the structure has no atoms"),
    ],
    ids=["NaN", "on top of each other", "unknown element", "empty"],
)
def test_bad_structures_are_refused_by_every_result(atoms, text, calc):
    for ask in (calc.get_potential_energy, calc.get_hessian, calc.get_vibrations):
        with pytest.raises(StructureError, match=text):
            ask(atoms)


def test_atoms_without_neighbours_have_energies_but_no_phonons(calc):
    """Kills: rows of zeros in D(q), and frequencies of zero, for atoms that the model does not connect."""
    far, cell = [[0, 0, 0], [0, 0, 1.2], [6, 6, 6]], [12, 12, 12]
    some, none = Atoms("COSi", far, cell=cell, pbc=True), Atoms("Si", cell=[5, 5, 5], pbc=True)
    for atoms, text in (
        (some, r"without a neighbour within 3\.6 Å, the cutoff of the model: atoms 2 \(Si\), counted from 0"),
        (none, r"no atom has a neighbour within 3\.6 Å"),
    ):
        assert np.isfinite(calc.get_potential_energy(atoms))
        for symmetry in (True, False):
            with pytest.raises(StructureError, match=text):
                calc.get_dynamical_matrix(atoms, [0, 0, 0], symmetry=symmetry)
        with pytest.raises(StructureError, match=text):
            calc.get_dynamical_matrix_gradient(atoms, [0, 0, 0])
        with pytest.raises(StructureError, match=text):
            calc.get_force_constants(atoms, 1)


def test_bad_arguments_are_refused(untrained, tmp_path, calc):
    for dtype in ("int32", "float16", "double precision"):
        with pytest.raises(InputError, match=f"dtype is '{dtype}'"):
            PhonaxCalculator(untrained, dtype=dtype)
    with pytest.raises(ModelError, match=r"the model file .*nowhere\.h5 does not exist"):
        PhonaxCalculator(tmp_path / "nowhere.h5")
    for what in (3, np.float64, b"phonax-small"):
        with pytest.raises(InputError, match=rf"the model is .*, of the type {type(what).__name__}\n"):
            PhonaxCalculator(what)
    for ask in ("get_potential_energy", "get_forces", "get_hessian"):
        with pytest.raises(InputError, match="no atoms were given"):
            getattr(PhonaxCalculator(untrained), ask)()
    with pytest.raises(StructureError, match="wave vectors and supercells need periodicity"):
        calc.get_dynamical_matrix(STRUCTURES["slab"], [0, 0, 0])
    with pytest.raises(InputError, match="the wave vectors are"):
        calc.get_dynamical_matrix(triclinic(), [0, np.nan, 0])


@pytest.mark.parametrize("q", [[0.1, np.nan, 0], [0.1, 0.2], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
def test_wave_vectors_that_are_none_are_refused(calc, q):
    for ask in (calc.get_dynamical_matrix, calc.get_dynamical_matrix_gradient):
        with pytest.raises(InputError, match="the wave vectors are"):
            ask(triclinic(), q)


def test_constants_need_a_supercell(calc):
    with pytest.raises(InputError, match="no supercell matrix was given"):
        calc.get_force_constants(triclinic())


def test_a_model_with_numbers_that_are_none_is_not_written(untrained, tmp_path):
    parameters = {module: dict(arrays) for module, arrays in untrained.parameters.items()}
    parameters["layer_1"]["radial_0"] = np.where(np.arange(16) == 3, np.nan, parameters["layer_1"]["radial_0"])
    with pytest.raises(ModelError, match="numbers of layer_1/radial_0 are not finite"):
        save_model(dataclasses.replace(untrained, parameters=parameters), tmp_path / "damaged.h5")
    assert not list(tmp_path.iterdir())
