"""Outputs besides the energy: one value in both forms, turning with the structure, and energies do not know of them."""

import dataclasses
import json
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from scipy.spatial.transform import Rotation

from ase_phonax import Output, PhonaxCalculator, Potential, load_model, save_model
from ase_phonax.base import hdf5
from ase_phonax.base.errors import InputError, ModelError
from ase_phonax.derivatives.compiled.exchange import Exchange
from ase_phonax.derivatives.compiled.graphs import build_graph
from ase_phonax.derivatives.evaluator import Evaluator
from ase_phonax.models.architectures import ARCHITECTURES, get_network, make_potential
from ase_phonax.models.files import native
from ase_phonax.models.o3.irreps import parse_irreps
from ase_phonax.models.o3.spherical import harmonics
from ase_phonax.structures.neighbours import find_neighbours
from ase_phonax.training.first_parameters import with_outputs

from .test_networks import CUTOFF, DENSITIES, MACE, NEQUIX, ODD, cluster
from .toy_network import QUICKLY

# One irrep or several, of atoms or of structures, one channel or two, small numbers or large.
OUTPUTS = (
    Output("charge", "0e", unit="e"),
    Output("dipole", "1o", per="structure", unit="eÅ"),
    Output("spin", "1e"),
    Output("quadrupole", "2e", per="structure", pooling="mean"),
    Output("tensor", "0e + 2e", scale=30.0),
    Output("two", "2x1o + 1x0e"),
)
# Without products of three factors, or odd scalars, MACE makes no axial vector.
POLAR = tuple(output for output in OUTPUTS if output.name != "spin")
# Name -> architecture, configuration, and how large radial functions are drawn, so that no output is small.
CASES = {
    "nequip, odd irreps": ("nequip", dataclasses.replace(ODD, outputs=OUTPUTS), 1.1),
    "nequip, as Nequix": ("nequip", dataclasses.replace(NEQUIX, outputs=OUTPUTS), 3.0),
    "nequip, one layer": ("nequip", dataclasses.replace(NEQUIX, n_layers=1, outputs=POLAR), 3.0),
    "mace": ("mace", dataclasses.replace(MACE, outputs=OUTPUTS), 1.5),
    "mace, densities": ("mace", dataclasses.replace(DENSITIES, outputs=POLAR), 1.1),
    "mace, last readout": (
        "mace",
        dataclasses.replace(MACE, outputs=OUTPUTS, readouts="last", interactions=("plain",)),
        1.5,
    ),
}


@lru_cache
def potential_of(name: str) -> Potential:
    """A potential of C and Si with random parameters of the shapes that its configuration states."""
    architecture, config, size = CASES[name]
    rng = np.random.default_rng(3)

    def drawn(key: str, shape: tuple[int, ...]) -> np.ndarray:
        is_matrix = key.startswith(("radial", "density", "readout")) and key != "radial_elements"
        return rng.normal(0, size * shape[0] ** -0.5 if is_matrix else 1.0, shape)

    shapes = ARCHITECTURES[architecture].shapes(config)
    parameters = {m: {key: drawn(key, shape) for key, shape in own.items()} for m, own in shapes.items()}
    return make_potential(architecture, config, parameters, (6, 14), "random")


@pytest.fixture(params=CASES)
def potential(request):
    return potential_of(request.param)


def crystal() -> Atoms:
    """Three atoms in a cell without symmetry, most neighbours in other cells."""
    rng = np.random.default_rng(4)
    return Atoms(
        "SiCSi", positions=rng.uniform(0, 3, (3, 3)), cell=rng.normal(0, 0.3, (3, 3)) + 3 * np.eye(3), pbc=True
    )


def turned(output: Output, values: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Values (..., components) in a turned frame, by harmonics of turned directions."""
    directions = np.random.default_rng(0).normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    hand, result, start = np.linalg.det(turn), [], 0
    for mul, ir in output.blocks:
        own = slice(ir.l**2, (ir.l + 1) ** 2)
        here, there = (harmonics(d, ir.l)[:, own] for d in (directions, directions @ (hand * turn).T))
        matrix = np.linalg.lstsq(here, there)[0] * (ir.p if hand < 0 else 1)
        for _ in range(mul):
            result.append(values[..., start : start + ir.dim] @ matrix)
            start += ir.dim
    return np.concatenate(result, -1)


@pytest.mark.parametrize("name", CASES)
def test_parameters_of_outputs_are_those_that_the_function_asks_for(name):
    architecture, config, _ = CASES[name]
    exchange = Exchange(jnp.zeros(1, int), jnp.zeros(1, int), 1)
    init = get_network(architecture, config).init
    made = jax.eval_shape(lambda: init(jax.random.PRNGKey(3), jnp.ones((1, 3)), jnp.zeros(1, int), exchange))
    assert ARCHITECTURES[architecture].shapes(config) == {
        module: {key: array.shape for key, array in own.items()} for module, own in made.items()
    }


def test_both_forms_give_the_same_outputs(potential):
    atoms = crystal()
    graph = build_graph(atoms, CUTOFF, potential.numbers)
    vectors = find_neighbours(atoms, CUTOFF, potential.numbers).vectors
    function = jax.jit(potential.node_outputs, compiler_options=QUICKLY)
    with jax.enable_x64(True):
        exchange = Exchange(graph.senders, graph.receivers, len(atoms))
        expected = function(potential.parameters, vectors, graph.nodes["species"], exchange)
    found = PhonaxCalculator(potential).get_outputs(atoms)
    assert list(found) == ["energy", *(output.name for output in potential.config.outputs)]
    assert set(expected) == set(found)
    for output in potential.outputs:
        values = np.asarray(expected[output.name])
        assert values.shape == (3, output.dim)
        values = output.given(values)
        assert found[output.name].shape == values.shape
        assert 1e-4 * output.scale < np.abs(values).max(), output
        error = np.abs(found[output.name] - values).max()
        assert error < 1e-12 * max(output.scale, np.abs(values).max()), output


def test_what_is_neutral_adds_up_to_zero_and_is_of_atoms():
    values = np.random.default_rng(0).normal(size=(5, 3))
    given = Output("charges", "1o", neutral=True).given(values)
    np.testing.assert_allclose(given.sum(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(given - given[0], values - values[0], atol=1e-14)
    with pytest.raises(InputError, match="is neutral and per structure"):
        Output("charges", "1o", per="structure", neutral=True)


def test_a_network_without_arrays_gives_its_outputs_through_jax():
    arrays = potential_of("nequip, one layer")
    function = dataclasses.replace(arrays, parts=None)
    found, expected = (PhonaxCalculator(p).get_outputs(cluster()) for p in (function, arrays))
    for output in arrays.outputs:
        assert found[output.name].shape == expected[output.name].shape
        error = np.abs(found[output.name] - expected[output.name]).max()
        assert error < 1e-12 * max(output.scale, np.abs(expected[output.name]).max()), output


@pytest.mark.parametrize("proper", [True, False], ids=["rotation", "rotation and inversion"])
def test_outputs_turn_with_the_structure_as_their_irreps_say(potential, proper):
    # Kills: components in another order than stated, a parity that is not that of the name, channels mixed up.
    calc, atoms = PhonaxCalculator(potential), cluster()
    turn = Rotation.random(random_state=6).as_matrix() * (1 if proper else -1)
    order = np.random.default_rng(0).permutation(len(atoms))
    moved = Atoms(atoms.numbers[order], positions=(atoms.positions @ turn.T)[order] + [1.0, -2.0, 3.0])
    here, there = calc.get_outputs(atoms), calc.get_outputs(moved)
    for output in potential.outputs:
        expected = turned(output, here[output.name], turn)
        expected = expected[order] if output.per == "atom" else expected
        error = np.abs(there[output.name] - expected).max()
        assert error < 1e-12 * max(output.scale, np.abs(expected).max()), output


def test_a_vector_is_x_y_z_and_a_charge_is_one_number(potential):
    # An independent look at the order of components: turned as Cartesian vectors are.
    calc, atoms = PhonaxCalculator(potential), cluster()
    turn = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    here, there = (calc.get_outputs(a) for a in (atoms, Atoms(atoms.numbers, positions=atoms.positions @ turn.T)))
    x, y, z = here["dipole"]
    assert np.abs(there["dipole"] - [-y, x, z]).max() < 1e-12 * max(1, np.abs(here["dipole"]).max())
    assert np.abs(there["charge"] - here["charge"]).max() < 1e-12 * np.abs(here["charge"]).max()


CRYSTALS = {
    "zincblende": bulk("SiC", "zincblende", 4.6),
    "wurtzite": bulk("SiC", "wurtzite", 3.1, c=5.2),
    "diamond": bulk("Si", "diamond", 4.6),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_outputs_obey_the_symmetry_of_their_sites(potential, name):
    # Every operation takes an atom's value to that of its image; those that keep the atom are its site's.
    atoms = CRYSTALS[name]
    scaled = atoms.get_scaled_positions(wrap=False)
    symmetry = spglib.get_symmetry((atoms.cell.array, scaled, atoms.numbers))
    assert len(symmetry["rotations"]) == {"zincblende": 24, "wurtzite": 12, "diamond": 48}[name]
    found = PhonaxCalculator(potential).get_outputs(atoms)
    for w, t in zip(symmetry["rotations"], symmetry["translations"], strict=True):
        rotation = atoms.cell.array.T @ w @ np.linalg.inv(atoms.cell.array.T)
        moved = (scaled @ w.T + t)[:, None] - scaled
        image = np.abs(moved - np.rint(moved)).max(-1).argmin(1)
        for output in potential.outputs:
            expected = turned(output, found[output.name], rotation)
            values = found[output.name][image] if output.per == "atom" else found[output.name]
            assert np.abs(values - expected).max() < 1e-11 * max(output.scale, np.abs(values).max()), output
    if name != "wurtzite":  # a tetrahedral site has no vector and no quadrupole, a polar axis has both
        assert np.abs(found["dipole"]).max() < 1e-12
        assert np.abs(found["tensor"][:, 1:]).max() < 1e-11
    else:
        assert np.abs(found["dipole"][:2]).max() < 1e-12
        assert np.abs(found["dipole"][2]) > 1e-5


@lru_cache
def without_outputs(name: str) -> Potential:
    """The same network with the energy alone: the parameters that it has."""
    potential = potential_of(name)
    config = dataclasses.replace(potential.config, outputs=())
    shapes = ARCHITECTURES[potential.architecture].shapes(config)
    parameters = {m: {key: potential.parameters[m][key] for key in own} for m, own in shapes.items()}
    return make_potential(potential.architecture, config, parameters, potential.numbers, "energy alone")


@pytest.mark.parametrize("name", CASES)
def test_energies_forces_and_dynamical_matrices_do_not_depend_on_outputs(name):
    # The parameters of the energy keep names, shapes and meaning: a trained potential can be given outputs.
    more, alone = (PhonaxCalculator(p) for p in (potential_of(name), without_outputs(name)))
    assert [output.name for output in alone.potential.outputs] == ["energy"]
    assert np.array_equal(more.get_forces(crystal()), alone.get_forces(crystal()))
    assert np.array_equal(more.get_stress(crystal()), alone.get_stress(crystal()))
    q = [0.13, -0.29, 0.41]
    assert np.array_equal(*(calc.get_dynamical_matrix(crystal(), q) for calc in (more, alone)))
    energy = more.get_potential_energy(crystal())
    assert energy == alone.get_potential_energy(crystal())
    assert abs(more.get_outputs(crystal())["energy"][0] - energy) < 1e-13 * max(1, abs(energy))


def test_the_function_of_the_energy_does_not_depend_on_outputs():
    # In MACE the two functions are one, which is compared with the arrays above.
    atoms, name = crystal(), "nequip, one layer"
    graph = build_graph(atoms, CUTOFF, (6, 14))
    vectors = find_neighbours(atoms, CUTOFF, (6, 14)).vectors
    with jax.enable_x64(True):
        exchange = Exchange(graph.senders, graph.receivers, len(atoms))
        found, expected = (
            jax.jit(p.node_energies, compiler_options=QUICKLY)(p.parameters, vectors, graph.nodes["species"], exchange)
            for p in (potential_of(name), without_outputs(name))
        )
    assert np.abs(found - expected).max() < 1e-13 * max(1, np.abs(expected).max())


def test_outputs_see_no_further_than_the_cutoff_and_reach_it_smoothly(potential):
    # Kills: a readout before the envelope.
    calc = PhonaxCalculator(potential)

    def tensor(r):
        return calc.get_outputs(Atoms("CSiC", positions=[[0, 0, 0], [0, 2, 0], [r, 0, 0]]))["tensor"][0]

    beyond = tensor(CUTOFF + 1.0)
    assert np.array_equal(tensor(CUTOFF + 0.01), beyond)
    contact = [np.abs(tensor(CUTOFF - step) - beyond).max() for step in (0.04, 0.02)]
    assert 0 < contact[1] < contact[0] / 7, "at least as the third power"


def test_an_atom_alone_has_finite_outputs(potential):
    found = PhonaxCalculator(potential).get_outputs(Atoms("Si"))
    assert all(np.isfinite(values).all() for values in found.values())
    assert not found["dipole"].any()


def test_a_structure_has_the_sum_or_the_mean_of_its_atoms():
    atoms = crystal()
    calc = PhonaxCalculator(potential_of("nequip, as Nequix"))
    once, twice = calc.get_outputs(atoms), calc.get_outputs(atoms.repeat((2, 1, 1)))
    assert np.abs(twice["dipole"] - 2 * once["dipole"]).max() < 1e-12
    assert np.abs(twice["quadrupole"] - once["quadrupole"]).max() < 1e-12
    assert abs(twice["energy"][0] - 2 * once["energy"][0]) < 1e-11


def test_single_precision_is_kept():
    potential = potential_of("mace")
    single, double = (Evaluator(potential, np.dtype(d)).outputs(crystal()) for d in ("float32", "float64"))
    assert single["tensor"].dtype == np.float32
    assert np.abs(single["tensor"] - double["tensor"]).max() < 1e-4 * np.abs(double["tensor"]).max()


def test_a_plain_function_gives_the_energy():
    def node_energies(parameters, vectors, species, exchange):
        return exchange.aggregate(jax.nn.relu(1 - (vectors**2).sum(-1) / 9) ** 4)

    potential = Potential.from_function(node_energies, cutoff=3.0, n_layers=1, numbers=(6, 14))
    found = PhonaxCalculator(potential).get_outputs(cluster())
    closed = 1 - cluster().get_all_distances() ** 2 / 9
    np.fill_diagonal(closed, 0)
    assert list(found) == ["energy"]
    assert found["energy"] == pytest.approx([np.sum(np.maximum(closed, 0) ** 4)], rel=1e-12)


def test_outputs_come_back_from_a_file_bit_for_bit(potential, tmp_path):
    save_model(potential, tmp_path / "model.h5")
    loaded = load_model(tmp_path / "model.h5")
    assert loaded.config == potential.config
    assert loaded.outputs == potential.outputs
    assert loaded.fingerprint() == potential.fingerprint()
    found, expected = (PhonaxCalculator(p).get_outputs(cluster()) for p in (loaded, potential))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def header_of(path):
    return json.loads(hdf5.read(path).attributes[""]["header"])


def test_files_of_the_energy_alone_are_those_of_the_first_version(tmp_path):
    save_model(without_outputs("mace"), tmp_path / "model.h5")
    header = header_of(tmp_path / "model.h5")
    assert header["version"] == 1
    assert "outputs" not in header["config"]


def test_versions_that_know_no_outputs_refuse_a_file_that_has_them(tmp_path, monkeypatch):
    save_model(potential_of("mace"), tmp_path / "model.h5")
    assert header_of(tmp_path / "model.h5")["version"] == 2
    monkeypatch.setattr(native, "VERSION", 1)
    with pytest.raises(ModelError, match=r"'version': 2.*this version reads .* up to 1"):
        load_model(tmp_path / "model.h5")


def test_a_file_whose_outputs_are_none_is_refused(tmp_path):
    save_model(potential_of("mace"), tmp_path / "model.h5")
    content = hdf5.read(tmp_path / "model.h5")
    header = header_of(tmp_path / "model.h5")
    for wrong, text in (
        ([{"name": "dipole", "irreps": "1y"}], "the irreps are '1y'"),
        ([{"name": "dipole", "irreps": "1o", "shape": 3}], "unknown key"),
        (["dipole"], r"outputs\[0\]"),
        (7, "outputs is 7"),
    ):
        config = header["config"] | {"outputs": wrong}
        packed = hdf5.pack(content.arrays, {"": {"header": json.dumps(header | {"config": config})}})
        (tmp_path / "model.h5").write_bytes(packed)
        with pytest.raises(ModelError, match=text):
            load_model(tmp_path / "model.h5")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "Dipole"}, "named 'Dipole'"),
        ({"per": "molecule"}, "has per='molecule'"),
        ({"pooling": "max"}, "has pooling='max'"),
        ({"irreps": "1o + 2x1o"}, "name each irrep once"),
        ({"irreps": "vector"}, "'vector' is none"),
        ({"scale": 0.0}, "has scale=0.0"),
    ],
)
def test_outputs_that_cannot_be_are_refused(change, text):
    with pytest.raises(InputError, match=text):
        Output(**({"name": "dipole", "irreps": "1o"} | change))


@pytest.mark.parametrize(
    ("config", "outputs", "text"),
    [
        (NEQUIX, (Output("energy", "0e"),), "every network has an energy"),
        (NEQUIX, (Output("charge", "0e"), Output("charge", "1o")), "'charge' is there twice"),
        (NEQUIX, ({"name": "charge"},), "give a tuple of them"),
        (NEQUIX, (Output("far", "4e"),), "'far' needs 4e, which nothing in this network has"),
        (DENSITIES, (Output("spin", "1e"),), "'spin' needs 1e, which nothing"),
    ],
)
def test_configurations_with_outputs_that_cannot_be_are_refused(config, outputs, text):
    if outputs == (Output("far", "4e"),):
        config = dataclasses.replace(config, l_max=1)
    with pytest.raises(InputError, match=text):
        dataclasses.replace(config, outputs=outputs)


def test_irreps_of_an_output_are_counted():
    output = Output("two", "2x1o + 1x0e")
    assert output.blocks == parse_irreps("2x1o + 0e")
    assert output.dim == 7


def test_a_network_is_given_outputs_and_keeps_its_energies():
    small = without_outputs("nequip, one layer")
    more = with_outputs(small, (Output("dipole", "1o", per="structure", unit="eÅ"),))
    assert [str(output) for output in more.outputs] == ["energy 0e per structure [eV]", "dipole 1o per structure [eÅ]"]
    calcs = [PhonaxCalculator(potential) for potential in (small, more)]
    assert np.array_equal(*(calc.get_forces(cluster()) for calc in calcs))
    assert np.abs(calcs[1].get_outputs(cluster())["dipole"]).max() > 1e-6
    assert list(calcs[0].get_outputs(cluster())) == ["energy"]


@pytest.mark.slow
def test_an_output_is_learned_with_the_energies_frozen():
    """The dipole of point charges, in a loss of `node_outputs`, moving the parameters that are new."""
    rng = np.random.default_rng(0)
    bonds = rng.normal(size=(12, 3))
    bonds *= (rng.uniform(1.2, 2.0, 12) / np.linalg.norm(bonds, axis=1))[:, None]  # from C to Si
    start = without_outputs("nequip, as Nequix")
    potential = with_outputs(start, (Output("dipole", "1o", per="structure"),))
    new = {
        m: {k: jnp.asarray(x) for k, x in own.items() if k not in start.parameters.get(m, {})}
        for m, own in potential.parameters.items()
    }
    exchange = Exchange(np.array([1, 0]), np.array([0, 1]), 2)

    def loss(new):
        parameters = {m: own | new.get(m, {}) for m, own in potential.parameters.items()}

        def dipole(bond):
            vectors = jnp.stack([bond, -bond])
            return potential.node_outputs(parameters, vectors, np.array([0, 1]), exchange)["dipole"].sum(0)

        return jnp.mean((jax.vmap(dipole)(bonds) - bonds) ** 2)  # charges of -e and +e

    with jax.enable_x64(True):
        step = jax.jit(jax.value_and_grad(loss), compiler_options=QUICKLY)
        first, optimiser = step(new)[0], optax.adam(0.02)
        moments = optimiser.init(new)
        for _ in range(300):
            value, slope = step(new)
            moves, moments = optimiser.update(slope, moments)
            new = optax.apply_updates(new, moves)
    assert float(value) < 1e-3 * float(first)
