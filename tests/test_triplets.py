"""Third derivatives along three waves: against other routes to them, and the supercells that they fill."""

import dataclasses
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from phono3py import Phono3py
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax import PhonaxCalculator, Potential, choose_third_order_supercell, get_phono3py
from ase_phonax.base.errors import InputError, StructureError
from ase_phonax.derivatives.arrays.displacement_waves import DisplacementWaves
from ase_phonax.derivatives.arrays.perturbations import Phases
from ase_phonax.derivatives.arrays.third_order import third_derivatives
from ase_phonax.derivatives.stars import exact_operations
from ase_phonax.derivatives.triplet_stars import TripletStars

from .analytic import silicon_potential
from .crystals import CRYSTALS, triclinic
from .test_arrays import crystal
from .test_networks import CASES
from .test_perturbations import ORDER_6, STEP, random_weights
from .test_potential import matscipy_silicon

Q1, Q2 = np.array([0.13, -0.29, 0.41]), np.array([0.31, 0.07, -0.2])
QPOINTS = np.array([Q1, Q2, -Q1 - Q2, -Q1, [0, 0, 0]])
TRIPLETS = np.array([[0, 1, 2], [4, 0, 3]])
ROUNDING = 1e-12
BETWEEN_ROUTES = 1e-9


def of_four_elements() -> Atoms:
    atoms = triclinic()
    atoms.symbols = "SiOCH"
    return atoms


SIX = {name: CRYSTALS[name][0] for name in ("diamond", "zincblende, no inversion", "wurtzite, polar", "monoclinic")}
SIX |= {"perovskite": CRYSTALS["perovskite"][0], "four elements, triclinic": of_four_elements()}


def of_two(name: str, **options):
    """An evaluator of C and Si."""
    return PhonaxCalculator(random_weights(*CASES[name][:2]), **options).evaluator


def of_four(name: str) -> PhonaxCalculator:
    """A calculator of H, C, O and Si, with as many neighbours as these crystals have: else values run away."""
    architecture, config = CASES[name][:2]
    config = dataclasses.replace(config, n_species=4, average_neighbors=12.0)
    return PhonaxCalculator(random_weights(architecture, config, (1, 6, 8, 14)))


@pytest.mark.parametrize("name", CASES)
def test_they_are_what_responses_contracted_directly_give(name):
    """Kills: a phase on the wrong side, a response that is forgotten at one end of an edge."""
    own = of_two(name)
    expansion = own.route.expansion(own.neighbours(crystal()))
    found = own.triplet_matrices(crystal(), QPOINTS, TRIPLETS)
    for matrix, triplet in zip(found, TRIPLETS, strict=True):
        waves = (
            DisplacementWaves.of(expansion, Phases.at(QPOINTS[k][None], expansion), np.eye(9)[None]) for k in triplet
        )
        expected = third_derivatives(tuple(waves))
        assert np.abs(matrix - expected).max() < ROUNDING * np.abs(expected).max()


@pytest.mark.parametrize(
    "name", ["nequip, as Nequix", pytest.param("nequip, odd irreps", marks=pytest.mark.slow), "mace"]
)
def test_nested_derivatives_of_the_function_give_the_same(name):
    arrays, compiled = of_two(name), of_two(name, route="compiled")
    expected = compiled.triplet_matrices(crystal(), QPOINTS, TRIPLETS)
    found = arrays.triplet_matrices(crystal(), QPOINTS, TRIPLETS)
    assert np.abs(found - expected).max() < BETWEEN_ROUTES * np.abs(expected).max()


@pytest.mark.parametrize("structure", SIX)
@pytest.mark.parametrize("name", ["nequip, odd irreps", "mace"])
def test_they_are_the_change_of_dq_with_a_displacement(name, structure):
    own, atoms = of_four(name).evaluator, SIX[structure]
    found = own.triplet_matrices(atoms, QPOINTS, TRIPLETS[1:])[0]
    for atom, axis in ((0, 0), (len(atoms) - 1, 2)):

        def moved(step: float, atom: int = atom, axis: int = axis) -> np.ndarray:
            other = atoms.copy()
            other.positions[atom, axis] += step
            return own.lattice_matrices(other, Q1[None])[0]

        expected = sum(w * (moved(k * STEP) - moved(-k * STEP)) for k, w in ORDER_6.items()) / STEP
        # Differences of the sixth order, over 2e-3 Å, of what rises as strongly as random weights let it.
        assert np.abs(found[3 * atom + axis].T - expected).max() < 1e-7 * np.abs(found).max()


@pytest.mark.parametrize("structure", SIX)
def test_constants_obey_what_they_must(structure):
    """Sums, permutations and the space group, though only some triplets were computed."""
    own, atoms = of_four("nequip, odd irreps"), SIX[structure]
    matrix = CRYSTALS[structure][1] if structure in CRYSTALS else np.diag([2, 1, 1])
    phono3py = Phono3py(phonopy_atoms(atoms), supercell_matrix=matrix, primitive_matrix="P")
    constants = own.get_third_order(phono3py).copy()
    largest = np.abs(constants).max()
    for axis in (1, 2):
        assert np.abs(constants.sum(axis=axis)).max() < 1e-10 * largest
    assert np.abs(constants - constants.transpose(0, 2, 1, 3, 5, 4)).max() < 1e-10 * largest
    # Also of the first index: the sum over it, with all its images, vanishes.
    phono3py.symmetrize_fc3()
    assert np.abs(phono3py.fc3 - constants).max() < 1e-10 * largest


def phonopy_atoms(atoms: Atoms) -> PhonopyAtoms:
    scaled = atoms.get_scaled_positions(wrap=False)
    return PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], scaled_positions=scaled)


@pytest.mark.parametrize("structure", SIX)
def test_stars_of_triplets_are_triplets_by_themselves(structure):
    own, atoms = of_four("nequip, as Nequix").evaluator, SIX[structure]
    grid = np.array(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij")).reshape(3, -1).T / 2
    grid = np.concatenate([grid, (grid + 0.25) % 1])  # closed: every sum is there
    operations = exact_operations(atoms, 1e-5)
    stars = TripletStars.of(grid, operations)
    assert len(stars) <= len(grid) ** 2 / 4
    whole = stars.unfolded(own.triplet_matrices(atoms, grid, stars.triplets), operations)
    rng = np.random.default_rng(0)
    pairs = rng.integers(len(grid), size=(6, 2))
    alone = own.triplet_matrices(atoms, grid, np.array([[a, b, stars.thirds[a, b]] for a, b in pairs]))
    for (a, b), expected in zip(pairs, alone, strict=True):
        assert np.abs(whole[a, b] - expected).max() < 1e-10 * np.abs(whole).max()


def test_a_strain_is_a_long_wave_of_displacements():
    """dD/d eps is the slope of Phi(-q - d, q, d) by d, weighted by lattice vectors: two routes to third order."""
    own, atoms = of_two("nequip, as Nequix"), crystal()
    places = np.linalg.solve(atoms.cell.array.T, atoms.positions.T)

    def summed(shift: np.ndarray) -> np.ndarray:
        q = np.array([-Q1 - shift, Q1, shift])
        matrix = own.triplet_matrices(atoms, q, np.array([[0, 1, 2]]))[0]
        one, two, three = np.repeat(np.exp(2j * np.pi * q @ places), 3, axis=1)
        placed = matrix * one[:, None, None] * two[:, None] * three
        return placed.reshape(9, 9, 3, 3).sum(axis=2)  # over atoms of the long wave

    steps = np.eye(3) * 1e-3
    slopes = [sum(w * (summed(k * s) - summed(-k * s)) for k, w in ORDER_6.items()) / 1e-3 for s in steps]
    weighted = np.einsum("aijx,ay->yxij", np.array(slopes) / 2j / np.pi, atoms.cell.array)
    strains = np.zeros((9, 3, 3))
    strains.reshape(9, 9)[range(9), range(9)] = 1
    expected = own.strain_slopes(atoms, Q1[None], strains)[0]
    gauge = np.repeat(np.exp(2j * np.pi * Q1 @ places), 3)
    expected = (expected * gauge.conj()[:, None] * gauge).reshape(3, 3, 9, 9)
    assert np.abs(weighted - expected).max() < 1e-7 * np.abs(expected).max()


def cubic_springs(parameters, vectors, species, exchange):
    """1/2 [k/2 (r - a)² + g/6 (r - a)³] of each directed edge, to which a smooth end is put."""
    r = jnp.sqrt(jnp.sum(vectors**2, -1))
    x = r - parameters["length"]
    end = jnp.where(jnp.abs(x) < 0.5, 1.0, 0.0)
    energy = parameters["stiffness"] / 2 * x**2 + parameters["cubic"] / 6 * x**3
    return exchange.aggregate(end * energy / 2)


def test_a_chain_of_cubic_springs_is_known():
    """Along the chain Phi = g (e^-iq1a' ...) of nearest neighbours, and across it k / a of rotation."""
    a, k, g = 2.0, 3.0, -5.0
    parameters = {"length": np.array(a), "stiffness": np.array(k), "cubic": np.array(g)}
    chain = Atoms("Si", cell=[a, 9, 9], pbc=True)
    potential = Potential.from_function(cubic_springs, cutoff=3.0, n_layers=1, numbers=(14,), parameters=parameters)
    q = np.array([[0.13, 0, 0], [0.31, 0, 0], [-0.44, 0, 0]])
    found = PhonaxCalculator(potential).evaluator.triplet_matrices(chain, q, np.array([[0, 1, 2]]))[0]
    # One spring for each cell, whose length changes by prod (p - 1): d³E = g dr dr dr along, and (k / a) for one
    # displacement along and two across.
    along = np.prod(np.exp(2j * np.pi * q[:, 0]) - 1)
    expected = np.zeros((3, 3, 3), complex)
    expected[0, 0, 0] = g * along
    for axis in (1, 2):
        for one in (0, 1, 2):
            place = [axis] * 3
            place[one] = 0
            expected[tuple(place)] = k / a * along
    assert np.abs(found - expected).max() < 1e-12 * abs(g)


def test_stillinger_weber_is_the_change_of_matscipy_s_hessian():
    atoms = bulk("Si", a=5.43)
    calc = PhonaxCalculator(silicon_potential())
    matrix = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    found = calc.get_third_order(atoms, matrix)
    supercell = Phono3py(phonopy_atoms(atoms), supercell_matrix=matrix, primitive_matrix="P").supercell
    theirs = matscipy_silicon()

    def hessian(step: float) -> np.ndarray:
        moved = Atoms(supercell.symbols, supercell.positions, cell=supercell.cell, pbc=True)
        moved.positions[0, 0] += step
        rows = theirs.get_property("hessian", moved).toarray()
        return rows.reshape(8, 3, 8, 3).swapaxes(1, 2)

    expected = sum(w * (hessian(k * 4e-3) - hessian(-k * 4e-3)) for k, w in ORDER_6.items()) / 4e-3
    assert np.abs(found[0, :, :, 0] - expected).max() < 1e-6 * np.abs(expected).max()


def test_phono3py_s_displacements_come_to_the_same_in_the_limit():
    """Errors of its differences fall with the step, in odd powers too: three steps and two powers."""
    atoms, matrix = CRYSTALS["zincblende, no inversion"][0], np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    calc = of_four("nequip, as Nequix")
    phono3py = get_phono3py(atoms, calc, matrix)

    def displaced(distance: float) -> np.ndarray:
        other = Phono3py(phono3py.unitcell, supercell_matrix=matrix, primitive_matrix="P")
        other.generate_displacements(distance=distance)
        cells = (Atoms(c.symbols, c.positions, cell=c.cell, pbc=True) for c in other.supercells_with_displacements)
        other.forces = np.array([calc.evaluator.energy_forces_stress(cell)[1] for cell in cells])
        other.produce_fc3(is_compact_fc=True)
        return other.fc3

    steps = np.array([4e-3, 2e-3, 1e-3])
    weights = np.linalg.inv(np.stack([np.ones(3), steps, steps**2], 1))[0]
    expected = sum(w * displaced(step) for w, step in zip(weights, steps, strict=True))
    assert np.abs(expected - phono3py.fc3).max() < 1e-6 * np.abs(phono3py.fc3).max()


def test_a_phono3py_object_is_live_with_both_orders():
    calc = of_four("nequip, as Nequix")
    atoms = CRYSTALS["wurtzite, polar"][0]
    phono3py = get_phono3py(atoms, calc, [2, 2, 1], [3, 3, 2])
    assert phono3py.fc2.shape == (4, 72, 3, 3)
    assert phono3py.fc3.shape == (4, 16, 16, 3, 3, 3)
    assert np.array_equal(phono3py.fc2, calc.get_force_constants(atoms, [3, 3, 2]))
    again = Phono3py(phonopy_atoms(atoms), supercell_matrix=[2, 2, 1], primitive_matrix="P")
    assert np.array_equal(calc.get_third_order(again), phono3py.fc3)
    assert np.array_equal(again.fc3, phono3py.fc3)


def test_a_conventional_cell_has_the_constants_of_its_primitive_cell():
    calc = of_four("nequip, as Nequix")
    conventional = bulk("SiC", "zincblende", 4.3, cubic=True)
    phono3py = get_phono3py(conventional, calc, 1, primitive_matrix="auto")
    assert phono3py.fc3.shape == (2, 8, 8, 3, 3, 3)
    whole = Phono3py(phonopy_atoms(conventional), supercell_matrix=[1, 1, 1], primitive_matrix="P")
    kept = calc.get_third_order(whole)
    assert np.abs(kept[phono3py.primitive.p2s_map] - phono3py.fc3).max() < 1e-10 * np.abs(kept).max()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda calc, atoms: get_phono3py(isotopes(atoms), calc, 1), "masses from"),
        (lambda calc, atoms: calc.get_third_order(atoms), "no supercell matrix"),
        (lambda calc, atoms: calc.get_third_order("Si"), "asked for a str"),
        (lambda calc, atoms: get_phono3py(atoms, object(), 2), "get_third_order"),
    ],
)
def test_what_cannot_be_is_refused(change, text):
    calc = of_four("nequip, as Nequix")
    with pytest.raises((InputError, StructureError), match=text):
        change(calc, bulk("Si", a=4.6))


def test_triplets_that_do_not_close_are_refused():
    with pytest.raises(InputError, match="do not close"):
        of_two("nequip, as Nequix").triplet_matrices(crystal(), QPOINTS, [[0, 1, 1]])


def test_reciprocal_lattice_vectors_do_not_count():
    own = of_two("nequip, as Nequix")
    moved = QPOINTS + np.array([[1, 0, -2], [0, 3, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]])
    expected, found = (own.triplet_matrices(crystal(), q, TRIPLETS) for q in (QPOINTS, moved))
    assert np.abs(found - expected).max() < ROUNDING * np.abs(expected).max()


def test_a_phono3py_object_has_no_single_second_order():
    calc, cell = of_four("nequip, as Nequix"), phonopy_atoms(bulk("Si", a=4.6))
    with pytest.raises(InputError, match="two supercells"):
        calc.get_force_constants(Phono3py(cell, supercell_matrix=[2, 2, 2], primitive_matrix="P"))


def test_atoms_out_of_reach_are_refused():
    with pytest.raises(StructureError, match="neighbour"):
        choose_third_order_supercell(bulk("Si", "sc", a=9.0), PhonaxCalculator())


def test_too_little_memory_is_said_before_the_start(monkeypatch):
    monkeypatch.setattr("ase_phonax.derivatives.arrays.triplets.memory_bytes", lambda: 10_000_000)
    with pytest.raises(StructureError, match=r"wave vectors take .* GB"):
        PhonaxCalculator().get_third_order(bulk("Si", a=5.43), 4)


def isotopes(atoms: Atoms) -> Atoms:
    atoms.set_masses([28.0, 30.0])
    return atoms


def test_the_extra_is_named_where_phono3py_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "phono3py", None)
    with pytest.raises(InputError, match=r"ase-phonax\[conductivity\]"):
        get_phono3py(bulk("Si", a=4.6), PhonaxCalculator(), 1)
