"""Densities of states from the structure: what holds of any network, how they are learned, and heat of any density."""

import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.spacegroup import crystal

from ase_phonax import (
    Frame,
    density_heat,
    draw_features,
    exact_density,
    frame_of_density,
    get_densities,
    get_mesh,
    get_phonopy,
    get_thermal_properties,
    learned_features,
    mean_frequency,
    predict_density,
    read_frames,
    save_frames,
    train,
)
from ase_phonax.base.errors import InputError, StructureError
from ase_phonax.models.spectra.densities import GRID_CM1, N_POINTS, UNKNOWN, site_densities
from ase_phonax.training.answers import Answers, Respondent
from ase_phonax.training.labels.checks import check_frames
from ase_phonax.training.targets import DENSITY_OF_STATES

from .pair_potential import PairCalculator

NETWORK = {
    "cutoff": 4.0,
    "hidden_irreps": "8x0e + 4x1o + 4x1e",
    "n_layers": 2,
    "l_max": 2,
    "radial_sizes": [8],
    "embedding": 8,
}
WEIGHTS = {"energy": 0, "forces": 0, "stress": 0, "curvature": 0}


def peak(centre_cm1: float, width: float = 40.0) -> np.ndarray:
    return np.exp(-((GRID_CM1 - centre_cm1) ** 2) / 2 / width**2)


def frames() -> list[Frame]:
    """Two rock salts, one of them known up to 1000 1/cm."""
    high, low = peak(500), peak(200)
    high[51:] = UNKNOWN
    return [
        Frame(bulk("MgO", "rocksalt", a=4.2), density_of_states=high),
        Frame(bulk("KCl", "rocksalt", a=6.3), density_of_states=low),
    ]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    settings = {
        "network": NETWORK,
        "loss": WEIGHTS | {"density_of_states": 1, "integrated_density": 0.3},
        "optimiser": {"epochs": 400, "batch_size": 2, "learning_rate": 1e-2},
        "run": {"output": str(tmp_path_factory.mktemp("run") / "run"), "validate_every": 400, "keep": "last"},
        "data": {"valid": 0},
    }
    return train(settings, frames=(frames(), []))


def quartz() -> Atoms:
    return crystal(
        ("K", "O"), [(0.47, 0, 1 / 3), (0.414, 0.268, 0.119)], spacegroup=154, cellpar=[4.91, 4.91, 5.43, 90, 90, 120]
    )


def test_shares_are_positive_and_add_up_to_one_in_both_libraries():
    components = np.random.default_rng(0).normal(size=(4, N_POINTS))
    shares = site_densities(components)
    assert (shares[:, 1:] > 0).all()
    assert (shares[:, 0] == 0).all()
    assert shares.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert np.asarray(site_densities(jnp.asarray(components))) == pytest.approx(shares, rel=1e-3, abs=1e-6)  # float32


def test_a_network_learns_densities_and_what_is_not_known_costs_nothing(learned):
    assert learned.history[-1]["loss"] < 0.3 * learned.history[0]["loss"]
    for frame, centre in zip(frames(), (500, 200), strict=True):
        found = predict_density(frame.atoms, learned.potential)
        assert found.total.sum() * found.frequencies_thz[1] == pytest.approx(3, rel=1e-9)
        assert 33.35641 * found.frequencies_thz[found.total[:51].argmax()] == pytest.approx(centre, abs=25)
        assert found.spread is None
        errors = DENSITY_OF_STATES.score(Answers(Respondent(_evaluator(learned.potential)), frame), DENSITY_OF_STATES)
        assert np.abs(errors["density_of_states"]).mean() < 0.08
        assert len(errors["density_of_states"]) == (51 if centre == 500 else N_POINTS)


def _evaluator(potential):
    from ase_phonax.derivatives.evaluator import Evaluator

    return Evaluator(potential, np.dtype("float64"))


def test_cells_rotations_and_the_order_of_atoms_change_nothing(learned):
    atoms = quartz()
    found = predict_density(atoms, learned.potential)
    larger = predict_density(atoms * (2, 1, 2), learned.potential)
    assert larger.total == pytest.approx(found.total, abs=1e-10)
    assert larger.by_atom == pytest.approx(np.tile(found.by_atom, (4, 1)), abs=1e-10)
    turned = atoms.copy()
    turned.rotate(50, (1, 2, 3), rotate_cell=True)
    turned.translate([0.3, 0.2, 0.7])
    order = np.random.default_rng(1).permutation(len(atoms))
    assert predict_density(turned[order], learned.potential).by_atom == pytest.approx(found.by_atom[order], abs=1e-10)
    # Atoms of one orbit have one density.
    assert np.abs(found.by_atom[:3] - found.by_atom[0]).max() < 1e-9


def test_frequencies_of_a_heavy_isotope_go_with_the_root_of_its_mass(learned):
    atoms = quartz()
    light = predict_density(atoms, learned.potential)
    masses = atoms.get_masses()
    masses[:3] *= 1.44
    atoms.set_masses(masses)
    heavy = predict_density(atoms, learned.potential)
    means = [[mean_frequency(own.frequencies_thz, row) for row in own.by_atom] for own in (light, heavy)]
    assert means[1][:3] == pytest.approx(np.array(means[0][:3]) / 1.2, rel=5e-3)  # of the grid
    assert heavy.by_atom[3:] == pytest.approx(light.by_atom[3:])


def test_a_site_of_one_element_is_that_element_and_mixtures_lie_in_between(learned):
    salt = bulk("MgO", "rocksalt", a=4.4)
    pure = [
        predict_density(own, learned.potential).total
        for own in (salt, Atoms("KO", salt.positions, cell=salt.cell, pbc=True))
    ]
    ends = [predict_density(salt, learned.potential, {0: {symbol: 1.0}}).total for symbol in ("Mg", "K")]
    assert ends == pytest.approx(np.array(pure), abs=1e-6)  # rows are of single precision
    steps = [predict_density(salt, learned.potential, {0: {"Mg": 1 - x, "K": x}}).total for x in np.linspace(0, 1, 9)]
    # Continuous in the composition.
    changes = np.abs(np.diff(steps, axis=0)).sum(axis=1)
    assert changes.max() < 0.5 * np.abs(pure[0] - pure[1]).sum()
    assert changes.min() > 0
    # Two sites of one mixture in a larger cell are one site in the smaller.
    twice = predict_density(salt * (2, 1, 1), learned.potential, {k: {"K": 0.3, "Mg": 0.7} for k in (0, 2)})
    once = predict_density(salt, learned.potential, {0: {"Mg": 0.7, "K": 0.3}})
    assert twice.total == pytest.approx(once.total, abs=1e-9)


@pytest.mark.parametrize(
    ("mixtures", "words"),
    [
        ({0: {"Mg": 0.5, "K": 0.4}}, "add up to 0.9"),
        ({0: {"Mg": 1.5, "K": -0.5}}, "the share of element 19 is"),
        ({0: {"Mg": 0.5, "Xy": 0.5}}, "there is no element 'Xy'"),
        ({7: {"Mg": 1.0}}, "mixtures are given for the atoms"),
    ],
)
def test_mixtures_that_are_none_are_refused(learned, mixtures, words):
    with pytest.raises(InputError, match=words):
        predict_density(bulk("MgO", "rocksalt", a=4.2), learned.potential, mixtures)


def test_what_is_no_crystal_is_refused(learned):
    with pytest.raises(StructureError, match="has never seen Cu"):
        predict_density(bulk("MgO", "rocksalt", a=4.2), learned.potential, {0: {"Mg": 0.5, "Cu": 0.5}})
    with pytest.raises(StructureError, match="pbc="):
        predict_density(molecule("H2O"), learned.potential)
    with pytest.raises(StructureError, match="has never seen Cu"):
        predict_density(bulk("Cu"), learned.potential)
    with pytest.raises(InputError, match="gives no density_of_states"):
        predict_density(bulk("MgO", "rocksalt", a=4.2), "phonax-small")


def test_labels_in_another_normalisation_are_refused(tmp_path):
    salt = bulk("MgO", "rocksalt", a=4.2)
    for name, values, words in [
        ("density_of_states", 2 * peak(300), "divide by the maximum"),
        ("partial_densities", np.tile(peak(300), (2, 1)), "divide each atom's by its sum"),
    ]:
        with pytest.raises(InputError, match=words):
            check_frames([Frame(salt, **{name: values})])
    check_frames(frames())
    with pytest.raises(InputError, match="need \\(201,\\)"):
        Frame(salt, density_of_states=peak(300)[:51])
    save_frames(frames(), tmp_path / "frames.h5")
    back = read_frames(tmp_path / "frames.h5")
    assert (back[0].density_of_states == frames()[0].density_of_states).all()


def test_densities_of_phonopy_are_labels_in_one_normalisation(tmp_path):
    atoms = bulk("Al", a=3.9) * (1, 1, 2)
    atoms.numbers[1] = 12
    phonopy = get_phonopy(atoms, PairCalculator(), (4, 4, 2))
    get_mesh(phonopy, length=60)
    get_densities(phonopy)
    mesh = phonopy.mesh
    frame = frame_of_density(phonopy)
    assert phonopy.mesh is mesh
    exact = exact_density(frame.atoms, PairCalculator())
    # The pair potential reaches no farther than the supercell: its interpolation is exact.
    assert frame.partial_densities == pytest.approx(exact.by_atom / exact.by_atom.sum(axis=1, keepdims=True), abs=1e-6)
    total = get_densities(phonopy)[0]
    total.write(tmp_path / "total_dos.dat")
    read = frame_of_density(tmp_path / "total_dos.dat", atoms)
    check_frames([frame, read])
    # Another mesh, and what phonopy smooths by.
    assert np.abs(read.density_of_states - frame.density_of_states).mean() < 0.01
    table = np.loadtxt(tmp_path / "total_dos.dat")
    for name, changed, words in [
        ("in_cm1.dat", table * [33.35641, 1], "counts"),
        ("per_atom.dat", table * [1, 0.5], "counts"),
        ("imaginary.dat", table - [3, 0], "imaginary"),
        ("three.dat", np.hstack([table, table[:, :1]]), "is no density of states"),
        ("backwards.dat", table[::-1], "do not ascend"),
    ]:
        np.savetxt(tmp_path / name, changed)
        with pytest.raises(InputError, match=words):
            frame_of_density(tmp_path / name, atoms)
    with pytest.raises(InputError, match="without atoms"):
        frame_of_density(tmp_path / "total_dos.dat")


def test_features_of_layers_turn_with_the_crystal_and_tell_what_varies(learned):
    atoms = quartz()
    (first, last), turned = learned_features(atoms, learned.potential), atoms.copy()
    assert (first.layer, last.layer) == (1, 2)
    assert list(first.blocks) == ["0e", "1o"]  # no 1e can come out of one product with scalars
    turned.rotate(70, (1, -1, 2), rotate_cell=True)
    after = learned_features(turned, learned.potential)[0]
    for irrep in first.blocks:
        assert after.invariants(irrep) == pytest.approx(first.invariants(irrep), abs=1e-5)
    assert np.abs(after.blocks["1o"] - first.blocks["1o"]).max() > 1e-3
    # Two crystals, all of whose potassium is alike in each.
    both = learned_features([atoms, atoms * (1, 1, 2)], learned.potential)[0]
    between = both.variation("0e")
    values = both.invariants("0e")
    whole = ((values - values.mean(axis=0)) ** 2).mean() / (values**2).mean()
    assert sum(between) == pytest.approx(whole)
    assert between[1] < 1e-8  # the same crystal twice
    assert between[0] > 0.01
    assert len(draw_features(learned_features([atoms], learned.potential)).axes) == 2
    with pytest.raises(InputError, match="0 structures"):
        learned_features([], learned.potential)


def test_densities_of_atoms_are_learned(tmp_path):
    parts = np.stack([peak(300), peak(600)])
    parts /= parts.sum(axis=1, keepdims=True)
    settings = {
        "network": NETWORK,
        "loss": WEIGHTS | {"partial_densities": 1},
        "optimiser": {"epochs": 100, "batch_size": 1, "learning_rate": 1e-2},
        "run": {"output": str(tmp_path / "run"), "validate_every": 100, "keep": "last"},
        "data": {"valid": 0},
    }
    frame = Frame(bulk("MgO", "rocksalt", a=4.2), partial_densities=parts)
    found = predict_density(frame.atoms, train(settings, frames=([frame], [])).potential)
    centres = 33.35641 * found.frequencies_thz[found.by_atom.argmax(axis=1)]
    assert centres == pytest.approx([300, 600], abs=25)


def test_heat_of_one_frequency_is_einsteins():
    v = np.linspace(0, 30, 301)
    density = np.zeros(301)
    density[80] = 3 / 0.1  # three modes at 8 THz
    heat = density_heat(v, density, [0, 300, 5000])
    quantum = 8e12 * units._hplanck
    x = quantum / units._k / 300
    gas = units._k * units._Nav
    assert heat.zero_point == pytest.approx(1.5 * quantum * units._Nav / 1000)
    assert heat.heat_capacity[1] == pytest.approx(3 * gas * x**2 * np.exp(x) / np.expm1(x) ** 2)
    assert heat.heat_capacity[2] == pytest.approx(3 * gas, rel=1e-3)  # Dulong and Petit
    assert heat.entropy[1] == pytest.approx(3 * gas * (x / np.expm1(x) - np.log1p(-np.exp(-x))))
    assert heat.free_energy[1] == pytest.approx(heat.zero_point + 3 * gas * 0.3 * np.log1p(-np.exp(-x)))
    assert heat.heat_capacity[0] == heat.entropy[0] == 0
    assert heat.free_energy[0] == heat.zero_point
    assert mean_frequency(v, density) == pytest.approx(8)
    assert mean_frequency(v, density, logarithmic=True) == pytest.approx(8)


def test_heat_of_a_density_is_that_of_the_modes_it_was_made_from():
    phonopy = get_phonopy(bulk("NaCl", "rocksalt", a=5.2), PairCalculator(), 2)
    mesh = get_mesh(phonopy, length=60)
    direct = get_thermal_properties(phonopy, [300.0])
    edges = np.linspace(0, 20, 4001) - 0.0025  # THz: bins around multiples of 0.005
    weights = np.repeat(mesh.weights / mesh.weights.sum(), mesh.frequencies.shape[1])
    counts, _ = np.histogram(mesh.frequencies.ravel(), edges, weights=weights)
    heat = density_heat(edges[:-1] + 0.0025, counts / 0.005, [300.0])
    assert heat.heat_capacity[0] == pytest.approx(direct.heat_capacity[0], rel=1e-4)
    assert heat.entropy[0] == pytest.approx(direct.entropy[0], rel=1e-4)
    assert heat.free_energy[0] == pytest.approx(direct.free_energy[0], abs=1e-3)


@pytest.mark.parametrize(
    ("frequencies", "density", "words"),
    [
        ([0, 1, 3], [0, 1, 0], "even grid"),
        ([0, 1, 2], [0, 1], "even grid"),
        ([-1, 0, 1], [0, 1, 0], "even grid"),
        ([0, 1, 2], [0, -1, 2], "no negative numbers"),
        ([0, 1, 2], [0, np.nan, 2], "no negative numbers"),
    ],
)
def test_what_is_no_density_is_refused(frequencies, density, words):
    with pytest.raises(InputError, match=words):
        density_heat(frequencies, density, [300.0])
