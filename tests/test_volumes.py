"""Crystals at several volumes: Grüneisen parameters and the quasi-harmonic approximation."""

import argparse
import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from phonopy import Phonopy, PhonopyGruneisen, run_qha
from phonopy.qha.eos import fit_to_eos, get_eos
from phonopy.structure.atoms import PhonopyAtoms
from scipy.optimize import minimize_scalar

from ase_phonax import PhonaxCalculator
from ase_phonax.base.errors import InputError, StructureError, UnstableWarning
from ase_phonax.cli import gruneisen as gruneisen_command
from ase_phonax.cli import loading
from ase_phonax.cli import qha as qha_command
from ase_phonax.phonons.sampling import meshes
from ase_phonax.phonons.sampling.heat import get_thermal_properties
from ase_phonax.phonons.volumes import get_gruneisen, get_quasi_harmonic, phonons_at_volumes
from ase_phonax.phonons.volumes import gruneisen as gruneisen_room
from ase_phonax.phonons.volumes import quasi_harmonic as qha_room
from ase_phonax.phonons.volumes.gruneisen import mode_heat_capacities
from ase_phonax.phonons.volumes.points import odd_mesh_numbers
from ase_phonax.phonons.volumes.reliability import expansion_errors
from ase_phonax.phonons.volumes.verdicts import judge
from ase_phonax.structures.relaxation import relax
from ase_phonax.structures.space_groups import reduce_to_primitive
from ase_phonax.studies import gruneisen_study, settings

from .pair_potential import PairCalculator

RATIOS = qha_room.RATIOS
STEP = 0.003  # [Å] of displacements by hand


class InversePower(PairCalculator):
    """strength / r^7 between nearest neighbours of fcc: homogeneous, so every ω² scales as V^-(7 + 2)/3."""

    POWER = 7

    def _derivatives(self, r, same):
        n, value = self.POWER, np.where(r < 3.4, r**-self.POWER, 0.0)
        return 100 * value, -100 * n * value / r, 100 * n * (n + 1) * value / r**2


@pytest.fixture(scope="module")
def calc() -> PairCalculator:
    return PairCalculator()


def tungsten_carbide(a: float, c: float) -> Atoms:
    atoms = bulk("Zn", "hcp", a=a, c=c)
    atoms.symbols = "AlCu"
    return atoms


@pytest.fixture(scope="module")
def carbide() -> Atoms:
    """Hexagonal, with c/a free and not fixed by the potential alone."""
    return relax(tungsten_carbide(2.9, 4.4), PairCalculator(like=0.44), fmax=1e-6, smax=1e-6)[0]


@pytest.fixture(scope="module")
def copper(calc) -> Atoms:
    return relax(bulk("Cu", "fcc", a=3.9), calc)[0]


@pytest.fixture(scope="module")
def swollen(copper, calc):
    """Seven volumes of an fcc crystal."""
    return phonons_at_volumes(copper, calc, 3, RATIOS)


def by_displacements(atoms: Atoms, calc, supercell) -> Phonopy:
    """What a phonopy user does by hand: displaced supercells, forces, force constants."""
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )
    phonopy = Phonopy(cell, np.eye(3, dtype=int) * supercell, primitive_matrix="P")
    phonopy.generate_displacements(distance=STEP, is_plusminus=True)
    forces = []
    for displaced in phonopy.supercells_with_displacements:
        moved = Atoms(displaced.symbols, positions=displaced.positions, cell=displaced.cell, pbc=True)
        forces.append(calc.get_forces(moved))
    phonopy.forces = forces
    phonopy.produce_force_constants()
    return phonopy


# ---- volumes ---------------------------------------------------------------------------------------


def test_volumes_are_those_asked_for_and_the_shape_relaxes_at_each(carbide):
    """Kills hydrostatic scaling: c/a of this hexagonal crystal changes with the volume."""
    points = phonons_at_volumes(carbide, PairCalculator(like=0.44), 2, [1.06, 0.95, 1.0])
    np.testing.assert_allclose([p.volume / carbide.cell.volume for p in points], [0.95, 1.0, 1.06], rtol=1e-10)
    shapes = []
    for point in points:

        def energy_of_shape(ratio, volume=point.volume):
            a = (volume / (np.sqrt(0.75) * ratio)) ** (1 / 3)
            return PairCalculator(like=0.44).get_potential_energy(tungsten_carbide(a, ratio * a))

        best = minimize_scalar(energy_of_shape, bounds=(1.4, 1.7), method="bounded", options={"xatol": 1e-9})
        a, _, c = point.atoms.cell.lengths()
        assert c / a == pytest.approx(best.x, abs=2e-5)
        assert point.energy == pytest.approx(best.fun, abs=1e-9)
        shapes.append(c / a)
    assert np.ptp(shapes) > 1e-3, "this crystal would not notice"


def test_meshes_are_odd_and_one_for_all_volumes(swollen):
    """`phonopy.run_qha` would put an even mesh beside Γ, and divide a length anew at every volume."""
    numbers = odd_mesh_numbers(swollen[-1].phonopy, 50.0)
    assert all(n % 2 for n in numbers)
    found = get_quasi_harmonic(swollen, t_max=100, t_step=50, mesh_length=50.0)
    for point in found.points:
        np.testing.assert_array_equal(point.phonopy.mesh.mesh_numbers, numbers)
        assert np.abs(point.phonopy.mesh.qpoints).max(axis=1).min() == 0.0


@pytest.mark.parametrize(
    ("ratios", "text"),
    [([0.1, 1.0, 1.1], "not all between"), ([1.0, np.nan], "not all between"), ([], "not all between"),
     ([1.0, 1.0, 1.01], "hold one twice")],
)  # fmt: skip
def test_volumes_that_are_none_are_refused(copper, calc, ratios, text):
    with pytest.raises(InputError, match=text):
        phonons_at_volumes(copper, calc, 2, ratios)


def test_imaginary_modes_that_only_the_supercell_has_are_told_from_real_ones(copper):
    """Small supercells bend acoustic branches below zero near Γ; no volume may be thrown away for that."""

    class BadInterpolation(PairCalculator):
        def get_force_constants(self, phonopy, *, progress=None):
            return -super().get_force_constants(phonopy)

    with pytest.warns(UnstableWarning, match=r"At 2 of 2 volumes the supercell gives .* Take a larger supercell"):
        points = phonons_at_volumes(copper, BadInterpolation(), 2, [0.99, 1.01])
    for point in points:
        assert point.frequencies.imaginary
        assert point.artefact
        assert not point.imaginary
        assert point.exact_minimum_thz > 0.1


def test_a_calculator_without_exact_matrices_is_believed():
    class ConstantsOnly(PairCalculator):
        get_dynamical_matrix = property()

    point = phonons_at_volumes(bulk("Po", "sc", a=2.6), ConstantsOnly(), 2, [1.0])[0]
    assert point.imaginary
    assert point.exact_minimum_thz is None


def test_progress_counts_volumes(copper, calc):
    calls = []
    phonons_at_volumes(copper, calc, 1, [0.99, 1.01], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(0, 2), (1, 2), (2, 2)]


# ---- Grüneisen parameters --------------------------------------------------------------------------


def test_every_mode_of_an_inverse_power_crystal_has_the_same_gruneisen_parameter():
    """γ = (n + 2) / 6 exactly; the central difference over ±s replaces V^-k by ((1-s)^-k - (1+s)^-k) / 4s.

    Kills a strain that is counted once for both sides (γ doubled), the wrong sign, a volume strain taken for
    one of length, and phonopy's absolute tolerance, which exchanges γ between acoustic branches near Γ.
    """
    strain, k = 0.01, (InversePower.POWER + 2) / 3
    points = phonons_at_volumes(bulk("Cu", "fcc", a=3.9), InversePower(), 3, [1 - strain, 1, 1 + strain])
    found = get_gruneisen(points, mesh_length=30.0)
    expected = ((1 - strain) ** -k - (1 + strain) ** -k) / (4 * strain)
    assert expected == pytest.approx((InversePower.POWER + 2) / 6, rel=1e-3)
    defined = np.isfinite(found.gamma)
    assert np.count_nonzero(~defined) == 3  # the acoustic modes at Γ and nothing else
    np.testing.assert_allclose(found.gamma[defined], expected, rtol=1e-7)
    assert found.average(300.0) == pytest.approx(expected, rel=1e-9)
    assert found.strain == pytest.approx(strain, rel=1e-9)
    for gamma, frequencies in zip(found.bands.get_gruneisen(), found.bands.get_frequencies(), strict=True):
        np.testing.assert_allclose(gamma[frequencies > 1e-3], expected, rtol=1e-6)


def test_gruneisen_parameters_equal_phonopy_by_hand_on_displaced_supercells(carbide):
    """Forces instead of second derivatives, and phonopy's own object as its manual has it."""
    calc = PairCalculator(like=0.44)
    points = phonons_at_volumes(carbide, calc, 3, [0.99, 1.0, 1.01])
    found = get_gruneisen(points, mesh_length=20.0)
    by_hand = [by_displacements(point.atoms, calc, 3) for point in points]
    reference = PhonopyGruneisen(by_hand[1], by_hand[2], by_hand[0])
    with np.errstate(all="ignore"):
        reference.set_mesh(found.mesh_numbers, is_gamma_center=True)
    _, weights, frequencies, _, gamma = reference.get_mesh()
    np.testing.assert_array_equal(weights, found.weights)
    defined = np.isfinite(found.gamma)

    np.testing.assert_allclose(frequencies[defined], found.frequencies_thz[defined], atol=2e-4)
    np.testing.assert_allclose(gamma[defined], found.gamma[defined], atol=1e-3)


def test_heat_capacities_of_modes_add_up_to_phonopys(swollen):
    phonopy = swollen[2].phonopy
    mesh = meshes.get_mesh(phonopy, 30.0)
    heat = get_thermal_properties(phonopy, [20.0, 300.0]).heat_capacity
    for temperature, expected in zip((20.0, 300.0), heat, strict=True):
        modes = np.where(mesh.frequencies > 1e-3, mode_heat_capacities(mesh.frequencies, temperature), 0)
        mine = 8.314462618 * (mesh.weights @ modes.sum(axis=1)) / mesh.weights.sum()
        assert mine == pytest.approx(expected, rel=1e-5)
    assert mode_heat_capacities(np.array([-3.0, 0.0, 5000.0]), 10.0).tolist() == [0.0, 0.0, 0.0]


def test_volumes_unfit_for_a_difference_are_refused(swollen):
    with pytest.raises(InputError, match="7 volumes are given"):
        get_gruneisen(swollen)
    with pytest.raises(InputError, match="central difference over unequal steps"):
        get_gruneisen([swollen[0], swollen[1], swollen[4]])


def test_an_unstable_crystal_is_named_and_its_imaginary_modes_stay_out_of_the_average():
    points = phonons_at_volumes(bulk("Po", "sc", a=2.6), PairCalculator(), 3, [0.99, 1.0, 1.01])
    with pytest.warns(UnstableWarning, match=r"imaginary modes \(-\d") as caught:
        found = get_gruneisen(points, mesh_length=20.0)
    assert [str(w.message)[:19] for w in caught] == [f"At volume {x} % (1" for x in ("-1.0", "+0.0", "+1.0")]
    assert np.isfinite(found.average(300.0))
    imaginary = found.frequencies_thz < -0.05
    assert imaginary.any()
    found.gamma[imaginary] = 1e6
    assert abs(found.average(300.0)) < 1e3


# ---- quasi-harmonic --------------------------------------------------------------------------------


def test_quasi_harmonic_results_equal_phonopy_by_hand_on_displaced_supercells(swollen, calc):
    found = get_quasi_harmonic(swollen, t_max=600, t_step=20, mesh_length=40.0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Lattice parameters")
        reference = run_qha(
            [by_displacements(point.atoms, calc, 3) for point in swollen],
            np.arange(0, 621, 20),
            internal_energies=[calc.get_potential_energy(point.atoms) for point in swollen],
            mesh=found.mesh_numbers,
            exclude_gamma_acoustic=True,
        )
    np.testing.assert_array_equal(found.result.temperatures, reference.temperatures)
    np.testing.assert_allclose(found.result.equilibrium_volumes, reference.equilibrium_volumes, rtol=1e-6)
    np.testing.assert_allclose(found.result.bulk_moduli, reference.bulk_moduli, rtol=1e-4)
    np.testing.assert_allclose(found.result.gibbs_free_energies, reference.gibbs_free_energies, atol=1e-6)
    np.testing.assert_allclose(found.result.thermal_expansion, reference.thermal_expansion, atol=1e-9)


def test_static_and_thermal_pressure_cancel_at_the_equilibrium_volume(swollen, copper, calc):
    """Mie and Grüneisen: -dE/dV + (1/V) Σ γ ħω (n + 1/2) = 0; the stress and γ know nothing of the fit.

    Kills energies per another cell than the free energies, and volumes of the wrong points.
    """
    temperature = 300.0
    quasi_harmonic = get_quasi_harmonic(swollen, t_max=400, t_step=20)
    volume = quasi_harmonic.at(temperature)["volume"]
    centre = volume / copper.cell.volume
    points = phonons_at_volumes(copper, calc, 3, [centre - 0.003, centre, centre + 0.003])
    found = get_gruneisen(points)
    defined = np.isfinite(found.gamma)
    quantum = 4.135667697e-3 * found.frequencies_thz[defined]  # [eV]
    energy = quantum * (0.5 + 1 / np.expm1(quantum / (8.617333e-5 * temperature)))
    weights = np.broadcast_to(found.weights[:, None], defined.shape)[defined]
    thermal = np.sum(weights * found.gamma[defined] * energy) / found.weights.sum() / volume
    static = -np.trace(points[1].atoms.get_stress(voigt=False)) / 3
    assert static + thermal == pytest.approx(0.0, abs=2e-3 * thermal)
    assert quasi_harmonic.at(temperature)["gruneisen"] == pytest.approx(found.average(temperature), rel=3e-3)


def test_pressure_moves_the_equilibrium_to_where_the_crystal_bears_it(swollen, calc):
    """V(p): -dF/dV = p, so at the volume of no pressure -dF/dV is 0 and B follows from the shift."""
    plain = get_quasi_harmonic(swollen, t_max=200, t_step=100).at(100.0)
    pressed = get_quasi_harmonic(swollen, t_max=200, t_step=100, pressure_gpa=0.5).at(100.0)
    mean_modulus = (plain["bulk_modulus_gpa"] + pressed["bulk_modulus_gpa"]) / 2
    assert np.log(plain["volume"] / pressed["volume"]) == pytest.approx(0.5 / mean_modulus, rel=2e-3)


def test_what_differences_cannot_know_at_the_lowest_temperature_is_not_a_zero(swollen):
    row = get_quasi_harmonic(swollen, t_max=100, t_step=50).at(0.0)
    assert np.isnan([row["thermal_expansion_per_k"], row["heat_capacity_p_J_K_mol"], row["gruneisen"]]).all()
    assert np.isfinite([row["volume"], row["bulk_modulus_gpa"], row["gibbs_free_energy"]]).all()


def test_temperatures_beyond_the_volumes_are_cut_off_with_a_warning(swollen):
    few = swollen[:5]  # up to +4 %
    with pytest.warns(UnstableWarning, match=r"Results end at \d+ K: .* minimum lies outside") as caught:
        found = get_quasi_harmonic(few, t_max=3000, t_step=50)
    edge = found.result.temperatures[-1]
    assert f"Results end at {edge:g} K" in str(caught[0].message)
    assert found.result.equilibrium_volumes.max() <= few[-1].volume
    # The last sound temperature is used up by the differences: none of them reaches a curve that was refused.
    further = get_quasi_harmonic(swollen, t_max=edge + 150, t_step=50)
    assert further.at(edge + 50)["volume"] < few[-1].volume < further.at(edge + 100)["volume"]
    assert [verdict.temperature_k for verdict in found.refused] == np.arange(edge + 50, 3001, 50).tolist()
    assert "difference between neighbours" in found.refused[0].refusal
    assert "lowest at the largest volume" in found.refused[1].refusal


def test_volumes_that_do_not_hold_the_equilibrium_are_refused(copper, calc):
    points = phonons_at_volumes(copper, calc, 2, [0.9, 0.91, 0.92, 0.93, 0.94])
    with pytest.raises(InputError, match=r"at 0 K the free energy is lowest at the largest volume"):
        get_quasi_harmonic(points, t_max=300)


def quadratic(swollen, minimum=None):
    """Volumes and a free energy of one temperature with a minimum at a volume, in the middle unless given."""
    volumes = np.array([point.volume for point in swollen])
    minimum = volumes[3] if minimum is None else minimum
    return volumes, 0.02 * (volumes - minimum) ** 2 - 3.0


def verdict_on(volumes, energies, lost=None, fitted=None):
    """On a result whose energies at three temperatures are the same but for what is given."""
    energies = np.tile(energies, (3, 1)) if np.ndim(energies) == 1 else np.asarray(energies)
    parameters = [fit_to_eos(volumes, e, get_eos("vinet")) for e in energies] if fitted is None else [fitted] * 3
    result = SimpleNamespace(
        volumes=volumes,
        temperatures=np.array([0.0, 100.0, 200.0]),
        helmholtz_volume=energies,
        eos_name="vinet",
        eos_parameters=np.array(parameters),
        equilibrium_volumes=np.array(parameters)[:, 3],
    )
    names = [f"V{i}" for i in range(len(volumes))]
    return judge(result, names, energies[0], np.zeros_like(energies) if lost is None else lost)


def test_a_fit_is_believed_where_its_points_bear_it_out(swollen):
    for verdict in verdict_on(*quadratic(swollen)):
        assert not verdict.refusal
        assert verdict.residual < 0.005
        assert verdict.expansion_spread_per_k == pytest.approx(0.0, abs=1e-9)


def test_a_minimum_beyond_the_points_is_seen_at_the_points(swollen):
    volumes, energies = quadratic(swollen, minimum=swollen[-1].volume + 0.5)
    assert verdict_on(volumes, energies)[0].beyond == 1
    assert "lowest at the largest volume, V6" in verdict_on(volumes, energies)[0].refusal
    volumes, energies = quadratic(swollen, minimum=swollen[0].volume - 0.5)
    assert verdict_on(volumes, energies)[0].beyond == -1
    assert "lowest at the smallest volume, V0" in verdict_on(volumes, energies)[0].refusal


def test_a_curve_that_misses_its_points_or_their_lowest_is_refused(swollen):
    volumes, energies = quadratic(swollen)
    energies[-1] += 0.2 * np.ptp(energies)
    assert "% of its depth" in verdict_on(volumes, energies)[0].refusal
    elsewhere = [energies.min(), 0.5, 4.0, volumes[1]]
    assert "the lowest point is that at V3" in verdict_on(volumes, energies, fitted=elsewhere)[0].refusal


def test_a_row_that_depends_on_modes_that_were_lost_is_doubted_then_refused(swollen):
    """The same energies; what the lost modes would add grows with temperature and volume."""
    volumes, energies = quadratic(swollen)
    slope = np.linspace(0, 1, len(volumes))
    shift = np.array([0.0, 1.0, 2.0])[:, None] * slope
    by_kelvin = 100 * 5e-6 * 2 * 0.02 * volumes[3] * np.ptp(volumes)  # lost modes that add 5e-6 to an expansion of 0
    few = verdict_on(volumes, energies, lost=0.2 * by_kelvin * shift)[1]
    assert not few.refusal
    assert "lost modes" in few.doubts
    assert "different modes" in verdict_on(volumes, energies, lost=by_kelvin * shift)[1].refusal
    alike = verdict_on(volumes, energies, lost=by_kelvin * np.array([[0.0], [1.0], [2.0]]) * np.ones_like(slope))[1]
    assert not alike.refusal, "the same for all volumes moves no minimum"
    assert "lost modes" not in alike.doubts


def test_a_row_says_that_its_bulk_modulus_has_fallen_and_that_the_end_is_near(swollen):
    volumes, energies = quadratic(swollen)
    soft = np.stack([energies, energies, 0.5 * energies])
    assert ["softened" in verdict.doubts for verdict in verdict_on(volumes, soft)] == [False, False, True]
    near = quadratic(swollen, minimum=swollen[-1].volume - 0.05)[1]
    assert "end" in verdict_on(volumes, near)[0].doubts
    assert "derivative" in verdict_on(volumes, energies)[0].doubts, "a parabola has dB/dp = -1"


@pytest.mark.filterwarnings("ignore:The acoustic frequencies at Gamma")  # of constants torn on purpose
def test_volumes_that_lost_more_modes_are_left_out_and_said(swollen, copper):
    """Their sums are of other modes: one curve through all of them is none."""
    points = phonons_at_volumes(copper, PairCalculator(), 2, RATIOS)
    torn = phonons_at_volumes(copper, PairCalculator(), 2, RATIOS)
    for point in torn[-2:]:  # a soft spot of the interpolation alone, as small supercells have it
        constants = point.phonopy.force_constants
        point.phonopy.force_constants = constants - 0.02 * np.abs(constants).max() * np.eye(3)
    marked = [replace(p, exact_minimum_thz=1.0, frequencies=replace(p.frequencies, imaginary=True)) for p in torn[-2:]]
    with pytest.warns(UnstableWarning, match="2 of 7 volumes are left out of the fit: their sums lost more modes"):
        found = get_quasi_harmonic((*points[:5], *marked), t_max=200, t_step=50)
    assert [point.ratio for point in found.left_out] == [1.06, 1.08]
    assert all("of its modes lost" in reason for reason in found.reasons)
    alone = get_quasi_harmonic(points[:5], t_max=200, t_step=50)
    assert found.at(150.0) == alone.at(150.0)
    with pytest.raises(StructureError, match="lost different shares of their modes"):
        get_quasi_harmonic((*points[:4], *marked))


def test_unstable_volumes_are_named_and_left_out_of_the_fit(swollen, copper, calc):
    torn = phonons_at_volumes(copper, calc, 3, [1.8])
    assert torn[0].imaginary
    assert torn[0].exact_minimum_thz < -1
    with pytest.warns(UnstableWarning, match=r"left out of the fit: \+80\.0 % \(.*Å³\): -\d\.\d+ THz at q = "):
        found = get_quasi_harmonic((*swollen, *torn), t_max=100, t_step=50)
    assert found.left_out == torn
    assert found.at(50.0) == get_quasi_harmonic(swollen, t_max=100, t_step=50).at(50.0)


def test_a_crystal_that_is_unstable_everywhere_is_refused():
    points = phonons_at_volumes(bulk("Po", "sc", a=2.6), PairCalculator(), 2, np.linspace(0.96, 1.04, 5))
    with pytest.raises(StructureError, match=r"only 0 of 5 volumes have no imaginary modes\. Unstable: -4\.0 %"):
        get_quasi_harmonic(points)


def test_requests_that_phonopy_would_answer_with_nonsense_are_refused(swollen):
    with pytest.raises(InputError, match="4 volumes are given"):
        get_quasi_harmonic(swollen[:4])
    with pytest.raises(InputError, match="equation of state 'ideal gas'"):
        get_quasi_harmonic(swollen, eos="ideal gas")
    for t_max, t_step in ((100, 0), (100, 80), (np.nan, 10), (1e9, 1)):
        with pytest.raises(InputError, match="fewer than three or more than"):
            get_quasi_harmonic(swollen, t_max=t_max, t_step=t_step)


@pytest.mark.data
def test_arsenic_in_a_supercell_too_small_gives_no_garbage(data):
    """Two volumes lost up to 3.5 % of their modes: found once were 55.5 Å³, 0.08 GPa and -2454e-6/K at 780 K."""
    crystal = read(data / "cases" / "As-hex.vasp")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arsenic, _ = relax(reduce_to_primitive(crystal), small := PhonaxCalculator())
        found = get_quasi_harmonic(phonons_at_volumes(arsenic, small, 2, RATIOS), t_step=20.0)
    assert [point.ratio for point in found.left_out] == [1.06, 1.08]
    assert max(found.modes_lost) - min(found.modes_lost) < 2e-3
    volumes, result = found.result.volumes, found.result
    for energies, minimum in zip(result.helmholtz_volume, result.equilibrium_volumes, strict=True):
        lowest = int(np.argmin(energies))
        assert volumes[lowest - 1] < minimum < volumes[lowest + 1]
    assert np.ptp(result.equilibrium_volumes) < 0.2
    assert result.temperatures[-1] < 600
    assert found.refused[-1].temperature_k == 1000
    assert all(verdict.refusal for verdict in found.refused)
    assert all("lost modes" in verdict.doubts for verdict in found.verdicts[5:])


# ---- commands --------------------------------------------------------------------------------------


@pytest.fixture
def ase_phonax(monkeypatch, tmp_path, capsys):
    """Runs `gruneisen` or `qha` on a stand-in potential; returns the table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "load_calculator", lambda model, dtype: PairCalculator())
    bulk("Cu", "fcc", a=3.95, cubic=True).write("Cu.vasp")
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    gruneisen_command.add_parser(commands)
    qha_command.add_parser(commands)

    def run(*words: str) -> str:
        arguments = parser.parse_args(list(words))
        assert arguments.run(arguments) == 0
        return capsys.readouterr().out

    return run


def test_defaults_of_the_commands_are_those_of_the_library():
    assert settings.STRAIN == gruneisen_room.STRAIN
    assert settings.VOLUME_MESH_LENGTH == gruneisen_room.MESH_LENGTH
    assert (settings.T_MAX, settings.T_STEP) == (qha_room.T_MAX, qha_room.T_STEP)
    assert (settings.VOLUME_MESH_LENGTH, settings.EQUATIONS) == (qha_room.MESH_LENGTH, qha_room.EQUATIONS)
    asked = settings.QuasiHarmonicSettings()
    np.testing.assert_allclose(1 + np.linspace(*asked.range, asked.n_volumes) / 100, qha_room.RATIOS)


def test_the_command_gruneisen_writes_what_it_announces(ase_phonax, tmp_path):
    table = ase_phonax("gruneisen", "Cu.vasp", "--finite", "--supercell", "3", "--mesh-length", "30")
    folder = tmp_path / "Cu-gruneisen"
    assert sorted(path.name for path in folder.iterdir()) == sorted(gruneisen_study.FILES)
    summary = json.loads((folder / "summary.json").read_text())
    assert f"{summary['gruneisen_average']:.3f}, weighted by heat capacity" in table
    assert summary["n_atoms_primitive"] == 1
    assert summary["strain"] == pytest.approx(0.005, rel=1e-6)
    frames = read(folder / "volumes.extxyz", ":")
    np.testing.assert_allclose([f.info["volume_ratio"] for f in frames], [0.995, 1.0, 1.005])
    np.testing.assert_allclose([f.cell.volume for f in frames], [v["volume"] for v in summary["volumes"]], rtol=1e-7)
    assert "'$\\Gamma$'" in (folder / "gruneisen.yaml").read_text()


def test_the_command_qha_writes_what_it_announces(ase_phonax, tmp_path):
    table = ase_phonax("qha", "Cu.vasp", "--supercell", "3", "--mesh-length", "30", "--max-temperature", "400")
    folder = tmp_path / "Cu-qha"
    summary = json.loads((folder / "summary.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == sorted(summary["files"])
    assert "lattice_parameters-temperature.dat" in summary["files"]
    assert summary["curves"]["thermal_expansion_per_k"][0] is None
    at_300 = summary["temperatures_k"].index(300.0)
    assert f"{summary['curves']['volume'][at_300]:.4f}" in table
    columns = np.loadtxt(folder / "volume-temperature.dat")
    np.testing.assert_allclose(columns[:, 1], summary["curves"]["volume"])
    again = ("--supercell", "2", "--mesh-length", "20", "--n-volumes", "5", "--max-temperature", "200")
    ase_phonax("qha", "Cu.vasp", "--overwrite", *again)


def test_the_command_qha_adds_volumes_where_the_minimum_nears_their_end(ase_phonax, tmp_path):
    words = ("--supercell", "2", "--mesh-length", "20", "--temperature-step", "50")
    narrow = ("--range", "-3", "0.5", "--n-volumes", "5", "--max-temperature", "300")
    table = ase_phonax("qha", "Cu.vasp", *words, *narrow)
    summary = json.loads((tmp_path / "Cu-qha" / "summary.json").read_text())
    assert 2 <= len(summary["ratios_added"]) <= 4
    assert min(summary["ratios_added"]) > 1.005
    assert table.count("; added") == len(summary["ratios_added"])
    assert len(summary["volumes"]) == 5 + len(summary["ratios_added"])
    assert summary["temperatures_k"][-1] == 300.0
    assert summary["refused"] == []
    assert len(summary["doubts"]) == len(summary["temperatures_k"]) == len(summary["fit_residual"])
    assert "errors of β at 300 K" in table


def test_the_command_qha_gives_a_reason_for_every_temperature_without_results(ase_phonax, tmp_path):
    words = ("--supercell", "2", "--mesh-length", "20", "--temperature-step", "100", "--max-temperature", "6000")
    table = ase_phonax("qha", "Cu.vasp", *words)
    summary = json.loads((tmp_path / "Cu-qha" / "summary.json").read_text())
    refused = [entry["temperature_k"] for entry in summary["refused"]]
    np.testing.assert_allclose([*summary["temperatures_k"], *refused], np.arange(0, 6001, 100))
    assert refused
    assert all(entry["reason"] for entry in summary["refused"])
    assert "  6000 K                refused: " in table
    assert f"Results end at {summary['temperatures_k'][-1]:g} K" in " ".join(table.split())


def test_errors_of_expansion_are_named_for_models_that_were_measured_alone():
    assert "against experiment" in expansion_errors("phonax-small")
    assert "not measured for this model" in expansion_errors("mine")


def test_the_volume_of_the_file_counts_where_that_is_asked(ase_phonax, tmp_path):
    table = ase_phonax("gruneisen", "Cu.vasp", "--supercell", "2", "--mesh-length", "20", "--keep-volume")
    summary = json.loads((tmp_path / "Cu-gruneisen" / "summary.json").read_text())
    # A supercell that somebody asked for is judged as one that was chosen.
    assert summary["supercell_meets_tolerance"] is False
    assert summary["interpolation_error_thz"] > 0.05
    assert "take a larger supercell" in table
    assert summary["volume"] == pytest.approx(3.95**3 / 4, rel=1e-9)


def test_reports_can_be_logged_silenced_and_configured(ase_phonax, tmp_path):
    words = ("gruneisen", "Cu.vasp", "--finite", "--supercell", "2", "--mesh-length", "20")
    assert ase_phonax(*words, "--quiet", "--log", "run.jsonl", "--unit", "cm-1") == ""
    events = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    result = next(event for event in events if event["event"] == "results")
    assert (
        result["gruneisen_average"]
        == json.loads((tmp_path / "Cu-gruneisen" / "summary.json").read_text())["gruneisen_average"]
    )
    assert events[-1]["event"] == "finished"


def test_the_supercell_is_chosen_by_tolerance_where_none_is_given(ase_phonax, tmp_path):
    ase_phonax("gruneisen", "Cu.vasp", "--finite", "--mesh-length", "20", "--tolerance", "0.2")
    summary = json.loads((tmp_path / "Cu-gruneisen" / "summary.json").read_text())
    assert summary["supercell_meets_tolerance"] is True
    assert np.linalg.det(summary["supercell_matrix"]) > 1


def test_a_layer_with_vacuum_has_no_volume_that_matters(ase_phonax):
    sheet = bulk("Cu", "sc", 2.5)
    sheet.set_cell([2.5, 2.5, 20.0])
    write("sheet.vasp", sheet)
    for command in ("gruneisen", "qha"):
        # The layer is refused first, whatever supercell of it was asked for.
        for more in ([], ["--supercell", "3"]):
            with pytest.raises(StructureError, match="layer with vacuum"):
                ase_phonax(command, "sheet.vasp", *more)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("gruneisen", "Cu.vasp", "--strain", "0.5"), "changes the volume by 50 %"),
        (("gruneisen", "Cu.vasp", "--path", "GQ"), "Q"),
        (("qha", "Cu.vasp", "--n-volumes", "4"), "4 volumes were asked for"),
        (("qha", "Cu.vasp", "--range", "5", "-5"), "range of volumes 5 % to -5 %"),
        (("qha", "Cu.vasp", "--pressure", "nan"), "pressure nan is not a number"),
        (("qha", "Cu.vasp", "--max-temperature", "10"), "fewer than three"),
        (("qha", "Cu.vasp", "--supercell", "40"), "has 64000 atoms"),
    ],
)
def test_bad_options_are_refused_before_anything_is_computed(ase_phonax, monkeypatch, words, text):
    monkeypatch.setattr(loading, "load_calculator", lambda model, dtype: pytest.fail("computed all the same"))
    with pytest.raises(InputError, match=text):
        ase_phonax(*words)
