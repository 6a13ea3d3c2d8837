"""Relaxed to the right place, with the symmetry it came with."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms, FixCartesian, FixedPlane
from scipy.optimize import minimize_scalar

from ase_phonax.base.errors import InputError, RelaxationError, StructureError, UnstableWarning
from ase_phonax.structures.relaxation import relax, report_unrelaxed
from ase_phonax.structures.space_groups import get_space_group

from .pair_potential import CUTOFF, PairCalculator


@pytest.fixture
def calc() -> PairCalculator:
    return PairCalculator()


def energy(atoms: Atoms, calc: PairCalculator) -> float:
    return calc.get_potential_energy(atoms)


def best_lattice_constant(structure: str, calc: PairCalculator, between: tuple[float, float]) -> float:
    """By another route: the minimum of the energy as a function of one length."""
    found = minimize_scalar(
        lambda a: energy(bulk("Cu", structure, a=a), calc), bounds=between, method="bounded", options={"xatol": 1e-8}
    )
    return found.x


@pytest.mark.parametrize("start", [3.83, 3.9, 4.0])
def test_a_one_atom_cell_finds_its_lattice_constant(calc, start):
    """All forces vanish by symmetry here: an optimizer that looks at forces alone would stop at once."""
    relaxed, report = relax(bulk("Cu", "fcc", a=start), calc)
    expected = best_lattice_constant("fcc", calc, (3.6, 4.2))
    assert relaxed.cell.cellpar()[0] * np.sqrt(2) == pytest.approx(expected, abs=1e-4)
    assert report.max_force < 1e-10
    assert report.max_stress < 1e-4
    assert str(report.space_group_after) == "Fm-3m (225)"


def test_a_relaxed_structure_takes_no_step_and_stays_where_it_is(calc):
    relaxed, _ = relax(bulk("Cu", "fcc", a=3.9), calc)
    again, report = relax(relaxed, calc)
    assert report.n_steps == 0
    np.testing.assert_allclose(again.cell[:], relaxed.cell[:], atol=1e-12)


@pytest.mark.parametrize("vectors", [[0, 1, 2], [1, 0, 2]], ids=["right-handed", "left-handed"])
def test_cell_and_atoms_relax_together_with_the_symmetry(calc, vectors):
    hexagonal = bulk("Zn", "hcp", a=2.7, c=4.9)
    start = Atoms(hexagonal.numbers, positions=hexagonal.positions, cell=hexagonal.cell[vectors], pbc=True)
    before = start.copy()
    relaxed, report = relax(start, calc)
    assert str(report.space_group_before) == str(report.space_group_after) == "P6_3/mmc (194)"
    assert report.max_force < 1e-4
    assert report.max_stress * relaxed.cell.volume / len(relaxed) < 1e-4
    assert np.sign(np.linalg.det(relaxed.cell[:])) == np.sign(np.linalg.det(start.cell[:]))
    assert relaxed.constraints == []
    assert report.volume_change == pytest.approx(relaxed.cell.volume / start.cell.volume - 1)
    np.testing.assert_array_equal(start.positions, before.positions)
    np.testing.assert_array_equal(start.cell[:], before.cell[:])


def test_the_result_is_a_minimum_against_every_symmetric_strain(calc):
    relaxed, _ = relax(bulk("Zn", "hcp", a=2.7, c=4.9), calc)
    lowest = energy(relaxed, calc)
    for strain in (np.diag([1e-3, 1e-3, 0]), np.diag([0, 0, 1e-3])):
        for sign in (1, -1):
            strained = relaxed.copy()
            strained.set_cell(relaxed.cell[:] @ (np.eye(3) + sign * strain), scale_atoms=True)
            assert energy(strained, calc) > lowest


def test_noise_within_the_tolerance_is_made_symmetric_and_reported(calc):
    noisy = bulk("Zn", "hcp", a=2.8, c=4.6)
    noisy.positions[1] += [2e-4, -1e-4, 3e-4]
    relaxed, report = relax(noisy, calc, symprec=1e-2)
    assert str(report.space_group_after) == "P6_3/mmc (194)"
    assert 1e-4 < report.symmetrised_by < 1e-3
    assert report.max_force < 1e-8
    assert str(get_space_group(noisy, 1e-6)) != "P6_3/mmc (194)"
    assert relaxed.calc is calc


@pytest.mark.filterwarnings("ignore:The volume changed")
def test_an_unstable_crystal_keeps_its_symmetry(calc):
    """Simple cubic would shear into a close-packed crystal if the symmetry were not imposed."""
    _, report = relax(bulk("Po", "sc", a=2.7), calc)
    assert str(report.space_group_after) == "Pm-3m (221)"


def test_a_large_volume_change_is_warned_of(calc):
    with pytest.warns(UnstableWarning, match=r"volume changed by -\d+ %"):
        relax(bulk("Cu", "fcc", a=4.2), calc)


@pytest.mark.parametrize(("change", "warned"), [(-0.06, False), (-0.10, True)])
def test_beyond_what_functionals_do_a_volume_change_comes_with_advice(calc, change, warned):
    best = best_lattice_constant("fcc", calc, (3.6, 4.2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, report = relax(bulk("Cu", "fcc", a=best * (1 + change) ** (-1 / 3)), calc)
    assert report.volume_change == pytest.approx(change, abs=1e-3)
    assert ["Compare with another model" in str(w.message) for w in caught] == [True] * warned


def test_a_fixed_cell_is_left_alone_and_its_stress_reported(calc):
    start = bulk("Zn", "hcp", a=2.7, c=4.9)
    relaxed, report = relax(start, calc, fix_cell=True)
    np.testing.assert_array_equal(relaxed.cell[:], start.cell[:])
    assert report.max_stress == report.initial_max_stress > 1e-3


def test_a_dimer_and_a_single_atom_relax_without_a_cell(calc):
    dimer, report = relax(Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]]), calc)
    assert dimer.get_distance(0, 1) == pytest.approx(CUTOFF * (1 - 0.8 * calc.turn), abs=1e-4)
    assert report.max_stress is None
    assert report.space_group_before is None
    _, single = relax(Atoms("Cu"), calc)
    assert single.n_steps == 0


def test_constraints_of_the_structure_are_kept_instead_of_the_symmetry(calc):
    chain = Atoms("Cu3", positions=[[0, 0, 0], [0, 0, 2.5], [0, 0, 5.2]])
    chain.set_constraint(FixAtoms([0, 2]))
    relaxed, _ = relax(chain, calc)
    np.testing.assert_array_equal(relaxed.positions[[0, 2]], chain.positions[[0, 2]])
    assert relaxed.positions[1, 2] == pytest.approx(2.6, abs=1e-3)
    assert len(relaxed.constraints) == 1


@pytest.mark.parametrize(
    ("constraint", "held_by_hand"),
    [
        (FixAtoms([0, 2]), lambda f: np.linalg.norm(f[[0, 2]], axis=1).max()),
        (FixCartesian([0, 2], mask=(False, False, True)), lambda f: np.abs(f[[0, 2], 2]).max()),
        (FixedPlane([0, 2], (0, 0, 1)), lambda f: np.abs(f[[0, 2], 2]).max()),
    ],
    ids=["atoms", "cartesian", "plane"],
)
def test_reports_count_forces_that_may_move_an_atom_and_name_the_others(calc, constraint, held_by_hand):
    """Kills: the pull on fixed atoms of a stretched chain taken for a force that is left."""
    chain = Atoms("Cu3", positions=[[0, 0, 0], [0, 0, 2.5], [0, 0, 5.2]])
    chain.set_constraint(constraint)
    relaxed, report = relax(chain, calc)
    forces = calc.get_forces(relaxed)
    assert report.max_force < 1e-4
    assert report.held_force == pytest.approx(held_by_hand(forces), rel=1e-6)
    assert report.held_force > 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is far from stationary here
        _, unrelaxed = report_unrelaxed(relaxed, calc)
    assert (unrelaxed.max_force, unrelaxed.held_force) == pytest.approx((report.max_force, report.held_force), rel=1e-6)
    _, without = relax(Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]]), calc)
    assert without.held_force == 0.0


def test_giving_up_names_what_was_reached_and_what_was_wanted(calc):
    with pytest.raises(RelaxationError, match=r"did not relax in 2 steps: largest force .* \(wanted 0.0001\).*stress"):
        relax(bulk("Zn", "hcp", a=2.6, c=5.2), calc, max_steps=2)


def test_forces_that_are_no_numbers_stop_at_once():
    class Broken(PairCalculator):
        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.results["forces"] = self.results["forces"] * np.nan

    with pytest.raises(RelaxationError, match="not finite at step 0"):
        relax(bulk("Zn", "hcp", a=2.7, c=4.9), Broken())


def test_a_collapse_is_an_error_not_a_result():
    """A potential with a hole at 0.3 Å: the dimer falls into it."""
    with pytest.raises(RelaxationError, match=r"collapsed structure: atoms 0 \(Cu\) and 1 \(Cu\), counted from 0, are"):
        relax(Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 1.2]]), PairCalculator(turn=(1 - 0.3 / CUTOFF) / 0.8))


def test_atoms_on_top_of_each_other_are_refused_before_any_step(calc):
    with pytest.raises(StructureError, match=r"0\.1 Å apart"):
        relax(Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 0.1]]), calc)
    assert calc.n_calls == 0


@pytest.mark.parametrize("start", [relax, report_unrelaxed])
@pytest.mark.parametrize("calc", ["phonax-small", None])
def test_what_is_no_calculator_is_refused(start, calc):
    with pytest.raises(InputError, match=rf"the calculator is {calc!r}, which has no get_forces[\s\S]*Calculator\("):
        start(bulk("Cu", "fcc", a=3.9), calc)


def test_every_step_is_announced(calc):
    steps = []
    _, report = relax(bulk("Cu", "fcc", a=3.83), calc, callback=lambda *step: steps.append(step))
    assert [step for step, _, _ in steps] == list(range(report.n_steps + 1))
    assert steps[-1][2] < 1e-4 < steps[0][2]


def test_a_structure_taken_as_it_is_is_reported_and_warned_of(calc):
    start = bulk("Zn", "hcp", a=2.7, c=4.9)
    start.positions[1, 2] += 0.1
    with pytest.warns(UnstableWarning, match="is not relaxed: the largest force is"):
        same, report = report_unrelaxed(start, calc)
    np.testing.assert_array_equal(same.positions, start.positions)
    assert report.max_force == pytest.approx(np.linalg.norm(calc.get_forces(start), axis=1).max())
    assert report.n_steps == 0
