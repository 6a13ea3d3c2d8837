"""Lines of spectra as labels: whose modes they are, in molecules and in crystals, and what is refused."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.io import write

from ase_phonax import PhonaxCalculator
from ase_phonax.base.errors import InputError, StructureError
from ase_phonax.base.units import CM1_PER_THZ, THZ_PER_SQRT_EV_A2_AMU
from ase_phonax.molecules.intensities import infrared_intensities
from ase_phonax.molecules.normal_modes import normal_modes
from ase_phonax.molecules.stationary import stationary_modes
from ase_phonax.training.answers import Answers, Respondent, frequency_errors
from ase_phonax.training.batches import Planner, prepare
from ase_phonax.training.comparisons import Comparison, intensities
from ase_phonax.training.labels import Frame
from ase_phonax.training.labels.checks import check_frames
from ase_phonax.training.labels.levels import levels_of_crystal, levels_of_molecule
from ase_phonax.training.labels.line_lists import LineList, assigned, read_lines, symmetric
from ase_phonax.training.labels.lines import Line, spectrum_of_lines
from ase_phonax.training.predictions import Prediction
from ase_phonax.training.spectra import frequencies
from ase_phonax.training.targets import SPECTRUM

from .analytic import silicon_potential

X = (0.5, 0.0, 0.5)


@pytest.fixture(scope="module")
def calculator():
    return PhonaxCalculator("phonax-molecules")


@pytest.fixture(scope="module")
def ethylene(calculator):
    return stationary_modes(molecule("C2H4"), calculator)[0]


@pytest.fixture(scope="module")
def silicon():
    return PhonaxCalculator(silicon_potential())


def of_model(modes) -> tuple[Line, ...]:
    return tuple(Line(s.wavenumber, species=s.label) for s in modes.sets)


def errors_of(found, calculator) -> np.ndarray:
    """Differences of the model's frequencies from the lines [1/cm]."""
    answers = [Answers(Respondent(calculator.evaluator), frame) for frame in found.frames]
    return CM1_PER_THZ * np.concatenate([frequency_errors(own, SPECTRUM)["frequency"] for own in answers])


def test_the_models_own_lines_are_its_own_modes(calculator, ethylene):
    lines = of_model(ethylene)
    found = assigned(LineList("", lines[::-1]), molecule("C2H4"), calculator)
    check_frames([*found.frames])
    assert {own.level.label for own in found.assignments} == {s.label for s in ethylene.sets}
    np.testing.assert_allclose(errors_of(found, calculator), 0, atol=1e-3)
    np.testing.assert_array_equal(found.frames[0].forces, 0)


@pytest.mark.parametrize(("name", "displaced"), [("C6H6", 2), ("CH3OH", 5), ("C2H2", 2)])
def test_columns_of_a_few_atoms_give_whole_hessians(calculator, name, displaced):
    """What training compares, against matrices that know nothing of symmetry; turned, so that no axis is special."""
    atoms = molecule(name)
    atoms.rotate(50, (1, 2, 3))
    modes, _ = stationary_modes(atoms, calculator)
    found = assigned(LineList("", of_model(modes)), atoms, calculator)
    (item,) = prepare([*found.frames], 5.0, calculator.potential.numbers, "x", curvature=True, spectrum=True)
    assert len(item.images.displaced) == displaced
    planner = Planner([item], 1, dtype=np.dtype("float64"))
    ((shape, members),) = planner.in_order()
    batch = planner.batch(shape, members, (0,))
    assert shape.n_columns == 3 * displaced
    response = products_of(batch, calculator.get_hessian(found.atoms))
    with jax.enable_x64(True):
        predicted = Prediction(None, None, None, response, {}, {})
        own = CM1_PER_THZ * np.asarray(frequencies(predicted, batch))[0]
    known = found.frames[0].spectrum.weights[0] > 0
    np.testing.assert_allclose(own[known], CM1_PER_THZ * found.frames[0].spectrum.frequencies[0, known], atol=0.05)


def test_intensities_are_those_of_normal_modes(calculator):
    """Ammonia with charges of no symmetry, against the code that knows nothing of training; sets by their mean.

    The gradient by charges equals differences. Kills: masses forgotten, field and displacement exchanged, a set's sum.
    """
    atoms = molecule("NH3")
    atoms.rotate(40, (1, -2, 1))
    modes, _ = stationary_modes(atoms, calculator)
    charges = np.random.default_rng(0).normal(size=(4, 3, 3))
    own = infrared_intensities(modes.displacements, charges)
    strength = {s.label + f"{s.wavenumber:.0f}": own[np.array(s.modes) - 1].sum() for s in modes.sets}
    lines = [Line(s.wavenumber, s.label, intensity=strength[s.label + f"{s.wavenumber:.0f}"]) for s in modes.sets]
    found = assigned(LineList("", tuple(lines)), atoms, calculator)
    (item,) = prepare([*found.frames], 5.0, calculator.potential.numbers, "x", curvature=True, spectrum=True)
    planner = Planner([item], 1, dtype=np.dtype("float64"))
    ((shape, members),) = planner.in_order()
    batch = planner.batch(shape, members, (0,))
    with jax.enable_x64(True):
        response = products_of(batch, calculator.get_hessian(found.frames[0].atoms))
        n = batch.n_node.sum()

        def cost(charges, factor=1.0):
            slopes = {"born_charges": jnp.zeros((n, 3, 3)).at[:4].set(charges)}
            predicted = Prediction(None, None, None, response, {}, slopes)
            comparison = Comparison.of(predicted, batch, "real spectrum")
            return intensities(comparison, SPECTRUM, 1.0, lambda residual: jnp.sum(residual**2, -1))[0]

        assert cost(charges) < 1e-12
        # All intensities four times as strong: each of four lines, relative to the strongest, weighs one.
        relative = np.array(list(strength.values())) / [len(s.modes) for s in modes.sets]
        expected = np.sum((3 * relative) ** 2) / relative.max() ** 2 / 12
        assert cost(2 * charges) == pytest.approx(expected, rel=1e-6)
        move = np.random.default_rng(1).normal(size=charges.shape)
        difference = (cost(1.5 * charges + 1e-4 * move) - cost(1.5 * charges - 1e-4 * move)) / 2e-4
        assert np.vdot(jax.grad(cost)(1.5 * charges), move) == pytest.approx(float(difference), rel=1e-6)


def products_of(batch, hessian) -> np.ndarray:
    """What a model of this Hessian answers to the directions of a batch of one molecule."""
    n = len(hessian)
    columns = batch.nodes["direction"][:n, :, 0].transpose(1, 0, 2).reshape(-1, 3 * n)
    response = np.zeros(batch.nodes["direction"].shape)
    response[:n, :, 0] = (columns @ np.reshape(hessian, (3 * n, 3 * n))).reshape(-1, n, 3).transpose(1, 0, 2)
    return response


def test_lines_belong_to_their_species_where_others_are_nearer(calculator, ethylene):
    """Two lines of different species change places: sorted together they would cost nothing."""
    lines = sorted(of_model(ethylene), key=lambda line: line.at)
    low, high = lines[2], lines[3]
    assert low.species != high.species
    lines[2:4] = [Line(high.at, species=low.species), Line(low.at, species=high.species)]
    found = assigned(LineList("", tuple(lines)), molecule("C2H4"), calculator)
    errors = np.sort(errors_of(found, calculator))
    np.testing.assert_allclose(errors[[0, -1]], [low.at - high.at, high.at - low.at], atol=1e-3)
    np.testing.assert_allclose(errors[1:-1], 0, atol=1e-3)


def test_few_lines_weigh_by_their_uncertainty_and_sets_as_one(calculator):
    """Ammonia: a line of E is a pair of modes, each of half its weight; what is not measured weighs nothing."""
    modes = stationary_modes(molecule("NH3"), calculator)[0]
    (bend, *_), _ = (tuple(s for s in modes.sets if s.label == label) for label in ("E", "A1"))
    lines = (Line(1627.0, species="e", uncertainty=2.0), Line(950.0, species="A1", uncertainty=4.0))
    found = assigned(LineList("", lines), molecule("NH3"), calculator)
    spectrum = found.frames[0].spectrum
    known = spectrum.weights[0] > 0
    # The median of the uncertainties is 3.
    assert sorted(spectrum.weights[0, known]) == pytest.approx(sorted([9 / 16, 9 / 8, 9 / 8]))
    assert sorted(CM1_PER_THZ * spectrum.frequencies[0, known]) == pytest.approx([950, 1627, 1627])
    assert errors_of(found, calculator)[-1] == pytest.approx(bend.wavenumber - 1627, abs=1e-3)


def test_lines_without_names_go_where_the_sum_of_squares_is_least(calculator, ethylene):
    """Found by trying: the first of three lines would take the mode that the second needs."""
    levels = levels_of_molecule(ethylene)
    three = levels.levels[2:5]
    at = [CM1_PER_THZ * level.frequency for level in three]
    lines = tuple(Line(x + shift) for x, shift in zip(at, (0.4 * (at[1] - at[0]), 3.0, 5.0), strict=True))
    with pytest.raises(InputError, match="name neither species nor mode"):
        assigned(LineList("", lines), molecule("C2H4"), calculator)
    _, found = spectrum_of_lines(lines, [levels], np.zeros((1, 3)), unit="cm-1", transport=True)
    assert [own.level for own in found] == [*three]


def test_species_of_silicon_at_its_zone_boundary(silicon):
    """At X of diamond TA, LA with LO, and TO are pairs of three species; on the way there TA and TO are of one.

    With masses of zincblende inversion is gone: TA and TO are of one species, LA and LO are not equal any more.
    Kills: operations that exchange unequal masses.
    """
    atoms = bulk("Si", a=5.431)
    at_x = levels_of_crystal(atoms, silicon, np.array(X))
    assert [len(level.modes) for level in at_x.levels] == [2, 2, 2]
    assert len({level.species for level in at_x.levels}) == 3
    half = levels_of_crystal(atoms, silicon, np.array(X) / 2)
    assert [len(level.modes) for level in half.levels] == [2, 1, 1, 2]
    assert [level.species for level in half.levels] == [0, 1, 2, 0]
    assert len({level.species for level in levels_of_crystal(atoms, silicon, np.array([0.11, 0.23, 0.31])).levels}) == 1
    atoms.set_masses([28.0, 40.0])
    zincblende = levels_of_crystal(atoms, silicon, np.array(X))
    assert [len(level.modes) for level in zincblende.levels] == [2, 1, 1, 2]
    ta, la, lo, to = (level.species for level in zincblende.levels)
    assert ta == to
    assert len({ta, la, lo}) == 3


@pytest.mark.parametrize("masses", [(28.0, 28.0), (28.0, 40.0)])
def test_training_keeps_species_apart_where_matrices_are_complex(silicon, masses):
    """At (q, 0, q) of silicon, and of zincblende, whose D(q) no choice of phases makes real: the model's own lines.

    They are moved so that branches of different species change places. Kills: a conjugated projector.
    """
    atoms = bulk("Si", a=5.431)
    atoms.set_masses(masses)
    q = np.array([0.3, 0.1, 0.4]) if masses[1] > 30 else np.array([0.2, 0.0, 0.2])
    levels = levels_of_crystal(atoms, silicon, q)
    moved = [level.frequency + 3.0 * (level.species == levels.levels[0].species) for level in levels.levels]
    lines = [Line(x, mode=level.modes[0], q=q) for x, level in zip(moved, levels.levels, strict=True)]
    spectrum, found = spectrum_of_lines(lines, [levels], q[None], unit="THz")
    assert masses[1] > 30 or np.any(np.diff(moved) < 0)
    frame = Frame(atoms, spectrum=spectrum)
    numbers = silicon.potential.numbers
    (item,) = prepare([frame], silicon.potential.cutoff, numbers, "x", curvature=True, spectrum=True)
    planner = Planner([item], 1, dtype=np.dtype("float64"))
    ((shape, members),) = planner.in_order()
    assert shape.kind == "spectrum"
    batch = planner.batch(shape, members, (0,))
    matrix = np.asarray(silicon.evaluator.lattice_matrices(atoms, q[None]))[0]
    assert np.abs(matrix.imag).max() > 0.1
    moves = batch.nodes["direction"][:2].transpose(1, 2, 0, 3).reshape(6, 2, 6)
    products = (moves[:, 0] + 1j * moves[:, 1]) @ matrix.T
    response = np.zeros(batch.nodes["direction"].shape)
    response[:2] = np.stack([products.real, products.imag], 1).reshape(6, 2, 2, 3).transpose(2, 0, 1, 3)
    with jax.enable_x64(True):
        own = np.asarray(frequencies(Prediction(None, None, None, response, {}, {}), batch))[0]
    for assignment in found:
        np.testing.assert_allclose(own[list(assignment.places)], assignment.level.frequency, atol=1e-4)


def test_lines_of_a_crystal_at_several_wave_vectors(silicon):
    """Named by mode, or by species where q fits a supercell; at Γ translations are none of the modes."""
    atoms = bulk("Si", a=5.431)
    own = [levels_of_crystal(atoms, silicon, np.array(q), named=True) for q in ((0, 0, 0), X)]
    raman = own[0].levels[0]
    assert raman.modes == (4, 5, 6)
    assert raman.label == "T2g"
    lines = (
        Line(raman.frequency - 1, species="T2g"),
        *(Line(level.frequency + 0.5 * k, q=X, mode=level.modes[-1]) for k, level in enumerate(own[1].levels)),
    )
    found = assigned(LineList("", lines, unit="THz"), atoms, silicon)
    assert len(found.frames) == 2
    errors = errors_of(found, silicon) / CM1_PER_THZ
    # The cell is relaxed first, by 3e-5 of its length.
    np.testing.assert_allclose(np.sort(errors), [-1, -1, -0.5, -0.5, 0, 0, 1, 1, 1], atol=1e-3)


@pytest.mark.parametrize(
    ("lines", "settings", "words"),
    [
        ([Line(3000.0 + k, species="B3u") for k in range(4)], {}, "4 lines for 1 levels"),
        ([Line(1000.0 + k) for k in range(13)], {"assign": "transport"}, "13 lines for 12 levels"),
        ([Line(1000.0, species="E2g")], {}, "of species E2g: no mode of the structure is; there are Ag, Au"),
        ([Line(1000.0, mode=13)], {}, "of mode 13: there are modes 1 to 12"),
        ([Line(1000.0, mode=3), Line(1001.0, mode=3)], {}, "two lines are of mode 3"),
        ([Line(826.0, mode=1, species="Ag")], {}, "of mode 1 and species Ag: that mode is"),
        ([Line(30.6, species="Au"), Line(1623.0, species="Ag")], {}, "near them as THz: units are mixed"),
        ([Line(30.6, species="Au"), Line(48.7, species="Ag")], {}, "near them as THz: the unit is another"),
        (
            [Line(1023.0, species="Au")],
            {"unit": "THz"},
            "set unit to one of cm-1",
        ),
        ([Line(1023.0, species="Au")], {"unit": "1/m"}, "unit '1/m'"),
        ([Line(-10.0, species="Au")], {}, "frequencies are positive"),
        ([], {}, "has no lines"),
        ([Line(100.0, mode=1, q=X)], {}, "is not periodic"),
    ],
)
def test_lines_that_cannot_be_assigned_are_refused(calculator, lines, settings, words):
    with pytest.raises(InputError) as caught:
        assigned(LineList("", tuple(lines), **settings), molecule("C2H4"), calculator, "c2h4.yaml")
    assert words in f"{caught.value.what}: {caught.value.why}; {caught.value.remedy}"
    assert caught.value.what.startswith(("c2h4.yaml", "the list"))


def test_lines_that_cross_within_a_species_are_refused(calculator, ethylene):
    """Frequencies of one species repel: the upper mode cannot have the lower line."""
    low, high, *_ = (s for s in ethylene.sets if s.label == "Ag")
    lines = (Line(high.wavenumber, mode=low.modes[0]), Line(low.wavenumber, mode=high.modes[0]))
    with pytest.raises(InputError, match="do not cross"):
        assigned(LineList("", lines), molecule("C2H4"), calculator)


def test_structures_that_have_no_vibrations_of_the_model_are_refused(calculator):
    with pytest.raises(StructureError, match="Si"):
        assigned(LineList("", (Line(2187.0, mode=1),)), molecule("SiH4"), calculator)
    planar = Atoms("NH3", [[0, 0, 0], *([np.cos(t), np.sin(t), 0] for t in np.arange(3) * 2 * np.pi / 3)])
    with pytest.raises(StructureError, match="imaginary"):
        assigned(LineList("", (Line(950.0, mode=1),)), planar, calculator)


def test_wave_vectors_are_brought_into_the_first_zone_and_to_fractions():
    for given, meant in (((1.0, -0.5, 0.3333), (0.0, 0.5, 1 / 3)), ((1e-9, 0.75, -1.5), (0.0, -0.25, 0.5))):
        np.testing.assert_array_equal(Line(1.0, q=given).q, meant)
    assert Line(1.0, q=(0.123456, 0.0, 0.0)).q == (0.123456, 0.0, 0.0)


def test_lines_stay_with_their_modes_when_others_cross(calculator, ethylene):
    """By another model the lowest mode has risen above three others of other species: each line keeps its own."""
    lines = of_model(ethylene)
    found = assigned(LineList("ethylene", lines), molecule("C2H4"), calculator)
    known = [own.line.at / CM1_PER_THZ for own in found.assignments]
    np.testing.assert_allclose(found.frequencies(calculator), known, rtol=1e-6)
    masses = np.repeat(ethylene.atoms.get_masses(), 3) ** 0.5
    lowest = ethylene.displacements[0].ravel() * masses
    rise = np.sort(known)[3] ** 2 - min(known) ** 2 + 1.0
    added = rise / THZ_PER_SQRT_EV_A2_AMU**2 * np.outer(lowest * masses, lowest * masses)

    def lattice_matrices(atoms, qpoints):
        return calculator.evaluator.lattice_matrices(atoms, qpoints) + added

    other = SimpleNamespace(evaluator=SimpleNamespace(lattice_matrices=lattice_matrices))
    now = np.array(replace(found, relaxed=False).frequencies(other))
    order = np.argsort(known)
    assert now[order[0]] == pytest.approx(np.sqrt(known[order[0]] ** 2 + rise), rel=1e-6)
    np.testing.assert_allclose(now[order[1:]], np.array(known)[order[1:]], rtol=1e-6)


def test_what_has_no_lines_is_refused(calculator, silicon):
    with pytest.raises(StructureError, match="no vibrations"):
        assigned(LineList("", (Line(5.0, mode=1),), unit="THz", relax=False), bulk("Si", "fcc", a=3.9), silicon)
    held = molecule("C2H4")
    held.set_constraint(FixAtoms([0]))
    with pytest.raises(StructureError, match="are held"):
        levels_of_molecule(normal_modes(held, calculator))
    layer = bulk("Si", a=5.431)
    layer.pbc = (True, True, False)
    with pytest.raises(InputError, match="periodic in 2 directions"):
        assigned(LineList("", (Line(5.0, mode=1),), unit="THz"), layer, silicon)
    with pytest.raises(InputError, match="have intensities"):
        assigned(LineList("", (Line(15.5, mode=4, intensity=1.0),), unit="THz"), bulk("Si", a=5.431), silicon)


def test_rounded_positions_are_made_symmetric(calculator):
    """As a file with three digits has them: species are pure all the same."""
    rough = molecule("C6H6")
    rough.positions = np.round(rough.positions, 2)
    modes = normal_modes(symmetric(rough), calculator)
    lines = tuple(Line(s.wavenumber, species=s.label) for s in modes.sets)
    found = assigned(LineList("", lines, relax=False), rough, calculator)
    np.testing.assert_allclose(errors_of(found, calculator), 0, atol=0.01)  # far from the minimum rotations mix in


def test_a_list_is_read_beside_its_structure(tmp_path, calculator):
    write(tmp_path / "water.xyz", molecule("H2O"))
    path = tmp_path / "water.yaml"
    path.write_text(
        "structure: water.xyz\nlines:\n- {at: 1595, species: a1}\n- {at: 3756, species: B2, uncertainty: 3}\n"
    )
    lines, atoms = read_lines(path)
    assert [line.at for line in lines.lines] == [1595, 3756]
    assert len(assigned(lines, atoms, calculator, str(path)).assignments) == 2
    path.write_text("structure: water.xyz\nlines:\n- {at: 1595, symmetry: a1}\n")
    with pytest.raises(InputError, match="symmetry"):
        read_lines(path)
    for text, words in (
        ("lines: []", "lacks structure"),
        ("structure: water.xyz", "lacks lines"),
        ("", "lacks structure"),
    ):
        path.write_text(f"{text}\n")
        with pytest.raises(InputError, match=words):
            read_lines(path)
    path.write_text("structure: water.xyz\nlines: {at: 5}\n")
    with pytest.raises(InputError, match="a list of named settings"):
        read_lines(path)
    path.write_text("structure: nowhere.xyz\nlines:\n- {at: 1595, species: a1}\n")
    with pytest.raises(StructureError, match=r"nowhere\.xyz"):
        read_lines(path)
    with pytest.raises(InputError, match="uncertainty"):
        Line(100.0, uncertainty=0.0)
