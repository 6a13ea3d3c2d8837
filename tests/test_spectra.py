"""Intensities and spectra of molecules: analytic cases, selection rules, sum rules, ASE's own classes, the command."""

import json
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import scipy.constants as si
from ase import Atoms
from ase.build import molecule
from ase.io import write
from ase.vibrations import Infrared, VibrationsData
from ase.vibrations.placzek import PlaczekStatic
from ase.vibrations.raman import StaticRamanCalculator

from ase_phonax import (
    MoleculeSettings,
    PhonaxCalculator,
    draw_spectra,
    infrared_spectrum,
    modes_of_vibrations,
    molecule_study,
    raman_spectrum,
    read_spectrum,
    save_model,
    stationary_modes,
    vibrational_intensities,
)
from ase_phonax.base.errors import InputError, StructureError, UnstableWarning
from ase_phonax.cli import main
from ase_phonax.models.fields import CUBIC_ANGSTROM, DIPOLE, POLARIZABILITY, in_field
from ase_phonax.molecules.intensities import Intensities, infrared_intensities, raman_invariants
from ase_phonax.molecules.spectra import DECADIC, Lines, Spectrum, left_out, line_profile, raman_factors

from .molecules import springs, turned
from .test_fields import potential

# Of the strongest line: geometries of ASE's collection are symmetric to 1e-6 Å, and intensities are squares.
FORBIDDEN = 1e-10


def calculator(outputs=(DIPOLE, POLARIZABILITY)) -> PhonaxCalculator:
    """A random network of H, C and O that knows what fields do."""
    return PhonaxCalculator(potential(outputs))


@lru_cache
def spring_intensities(name: str) -> Intensities:
    """Real modes of springs with the symmetry of the molecule, intensities by the random network."""
    return vibrational_intensities(modes_of_vibrations(springs(molecule(name))), calculator())


@lru_cache
def water() -> tuple[Atoms, Intensities]:
    """A minimum of the random network, C2v."""
    modes, _ = stationary_modes(molecule("H2O"), calculator())
    assert modes.wavenumbers.min() > 1000
    return modes.atoms, vibrational_intensities(modes, calculator())


# ---- exact answers ---------------------------------------------------------------------------------


def test_a_diatomic_of_two_point_charges_has_the_intensity_of_a_textbook():
    """mu = q r: A = N_A q² / (12 epsilon_0 c² m), m the reduced mass. Kills a factor of three, 4 pi or 2."""
    modes = modes_of_vibrations(springs(molecule("CO")))
    charge, reduced = 0.3, 1 / (1 / 12.011 + 1 / 15.999)
    (found,) = infrared_intensities(modes.displacements, charge * np.array([np.eye(3), -np.eye(3)]))
    by_hand = si.N_A * (charge * si.e) ** 2 / (12 * si.epsilon_0 * si.c**2 * reduced * si.atomic_mass) / 1000
    assert found == pytest.approx(by_hand, rel=1e-7)  # CODATA sets differ in the eighth digit
    assert found == pytest.approx(974.88 * charge**2 / reduced, rel=1e-5)


def test_a_diatomic_scatters_as_its_parallel_and_perpendicular_polarizability_change():
    modes = modes_of_vibrations(springs(molecule("CO")))
    along, across, reduced = 2.3, 0.7, 1 / (1 / 12.011 + 1 / 15.999)  # [Å²]
    axis = modes.atoms.positions[1] - modes.atoms.positions[0]
    axis /= np.linalg.norm(axis)
    slope = np.einsum("ab,c->abc", across * np.eye(3) + (along - across) * np.outer(axis, axis), axis)
    (isotropic,), (anisotropic,) = raman_invariants(modes.displacements, np.array([-slope, slope]))
    assert isotropic == pytest.approx(((along + 2 * across) / 3) ** 2 / reduced, rel=1e-10)
    assert anisotropic == pytest.approx((along - across) ** 2 / reduced, rel=1e-10)


def test_cross_sections_are_those_of_the_si_formula():
    """Polarizabilities in C m²/V, as Long writes them. Kills a wrong power of ten or of 4 pi epsilon_0."""
    shift, laser, temperature = 1555.0, 514.5, 300.0
    square = 4 * np.pi * si.epsilon_0 * 1e-20  # a derivative of 1 Å², in SI
    bose = 1 - np.exp(-si.h * si.c * 100 * shift / (si.k * temperature))
    wavenumbers = (100 * (1e7 / laser - shift)) ** 4 / (100 * shift)
    section = np.pi**2 / si.epsilon_0**2 * wavenumbers * si.h / (8 * np.pi**2 * si.c * bose) / 45
    section *= square**2 / si.atomic_mass
    (found,) = raman_factors(np.array([shift]), laser, temperature)
    assert found == pytest.approx(section * 1e4 / 1e-30, rel=1e-6)


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_a_line_has_the_area_one_and_the_width_that_was_asked_for(shape):
    x = np.linspace(-1e4, 1e4, 200_001)
    line = line_profile(x, shape, 12.0)
    tails = 0.0 if shape == "gaussian" else 2 / np.pi * np.arctan(6.0 / 1e4)
    assert np.trapezoid(line, x) + tails == pytest.approx(1, abs=1e-10)
    assert line_profile(np.array([6.0]), shape, 12.0) == pytest.approx(line.max() / 2, rel=1e-12)


# ---- symmetry --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["H2O", "CH4", "C2H4", "C6H6", "CO2", "C2H6"])
def test_modes_forbidden_by_symmetry_have_no_intensity_and_allowed_ones_have(name):
    found = spring_intensities(name)
    sums = found.of_sets([s.modes for s in found.modes.sets])
    for key, allowed in (("infrared", "infrared"), ("raman", "raman")):
        strong = sums[key] > FORBIDDEN * sums[key].max()
        assert strong.tolist() == [getattr(s, allowed) for s in found.modes.sets]


@pytest.mark.parametrize("name", ["C2H4", "C6H6", "CO2"])
def test_no_mode_of_a_centrosymmetric_molecule_is_both_infrared_and_raman_active(name):
    found = spring_intensities(name)
    assert found.infrared is not None
    assert found.raman is not None
    both = (found.infrared > FORBIDDEN * found.infrared.max()) & (found.raman > FORBIDDEN * found.raman.max())
    assert not both.any()


@pytest.mark.parametrize("name", ["H2O", "CH4", "C2H4", "C6H6"])
def test_depolarization_is_three_quarters_but_for_totally_symmetric_modes(name):
    found = spring_intensities(name)
    ratios = found.of_sets([s.modes for s in found.modes.sets])["depolarization"]
    for s, ratio in zip(found.modes.sets, ratios, strict=True):
        if not s.raman:
            assert np.isnan(ratio)
        elif s.label in ("A1", "Ag", "A1g"):
            assert 0 <= ratio < 0.75 - 1e-6
        else:
            assert ratio == pytest.approx(0.75, abs=1e-8)


def test_the_breathing_of_methane_scatters_polarized_light_alone():
    found = spring_intensities("CH4")
    (breathing,) = (s for s in found.modes.sets if s.label == "A1")
    assert found.depolarization is not None
    assert found.depolarization[breathing.modes[0] - 1] == pytest.approx(0, abs=1e-12)


def test_intensities_do_not_depend_on_how_the_molecule_lies():
    atoms = molecule("CH3OH")
    one, two = (
        vibrational_intensities(modes_of_vibrations(springs(a)), calculator()) for a in (atoms, turned(atoms, seed=3))
    )
    for a, b in ((one.infrared, two.infrared), (one.raman, two.raman), (one.depolarization, two.depolarization)):
        np.testing.assert_allclose(a, b, rtol=1e-8)


def test_degenerate_modes_share_what_their_level_has_whatever_basis_they_are():
    """Kills: values of single modes that a rotation within the level, or rounding, changes."""
    found = spring_intensities("CH4")
    mixed = found.modes.displacements.copy()
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    for s in found.modes.sets:
        if s.label == "T2":
            mixed[np.array(s.modes) - 1] = np.einsum("kl,lia->kia", turn, mixed[np.array(s.modes) - 1])
    other = vibrational_intensities(replace(found.modes, displacements=mixed), calculator())
    np.testing.assert_allclose(other.infrared, found.infrared, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(other.raman, found.raman, rtol=1e-9, atol=1e-9)
    # Sums are those of the modes as they are.
    raw = infrared_intensities(mixed, calculator().get_born_charges(found.modes.atoms))
    for s in found.modes.sets:
        places = np.array(s.modes) - 1
        assert found.infrared is not None
        assert found.infrared[places].sum() == pytest.approx(raw[places].sum(), abs=1e-9 * raw.max())
        assert np.ptp(found.infrared[places]) == 0


@pytest.mark.parametrize("mass", [None, 2.014101778])
def test_infrared_intensities_of_a_molecule_without_a_dipole_add_up_to_crawfords_sum(mass):
    """sum of A = N_A / (12 epsilon_0 c²) sum of |Z*|² / m: whatever the modes, nothing is left for rotations."""
    atoms = molecule("CH4")
    if mass is not None:
        atoms.set_masses([12.011, *[mass] * 4])
    found = vibrational_intensities(modes_of_vibrations(springs(atoms)), calculator())
    charges = calculator().get_born_charges(atoms)
    total = 974.88013 * np.sum(charges**2 / atoms.get_masses()[:, None, None])
    assert found.infrared is not None
    assert found.infrared.sum() == pytest.approx(total, rel=1e-7)


# ---- ASE's own classes -----------------------------------------------------------------------------


def test_infrared_intensities_are_those_of_ases_infrared_class(tmp_path, monkeypatch):
    """Differences of forces and dipoles by ASE, with its constant; 42.255 is rounded in the fifth digit."""
    monkeypatch.chdir(tmp_path)
    atoms, found = water()
    atoms.calc = calculator()
    by_ase = Infrared(atoms, delta=0.005, nfree=4)
    by_ase.run()
    frequencies = by_ase.get_frequencies().real[-3:]
    np.testing.assert_allclose(frequencies, found.modes.wavenumbers, rtol=1e-4)
    factor, unit = by_ase.intensity_prefactor("km/mol")
    assert unit == "km/mol"
    np.testing.assert_allclose(factor * by_ase.intensities[-3:], found.infrared, rtol=1e-4)


def test_raman_activities_are_those_of_ases_placzek_class(tmp_path, monkeypatch):
    """ASE asks for an object that makes a function of Atoms: the method of the calculator is one."""
    monkeypatch.chdir(tmp_path)
    atoms, found = water()
    calc = calculator()
    atoms.calc = calc
    StaticRamanCalculator(atoms, lambda: calc.get_polarizability, name="raman", delta=0.002).run()
    by_ase = PlaczekStatic(atoms, name="raman", delta=0.002)
    np.testing.assert_allclose(by_ase.get_absolute_intensities()[-3:], found.raman, rtol=2e-4)


# ---- curves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_the_area_under_an_infrared_spectrum_is_the_sum_of_intensities(shape):
    _, found = water()
    x = np.linspace(-2e5, 2e5, 400_001)
    spectrum = infrared_spectrum(found, x, line_shape=shape, line_width=20)
    assert found.infrared is not None
    # A Lorentzian of 20 cm⁻¹ has 2 * 10 / (pi 2e5) of its area beyond.
    assert np.trapezoid(spectrum.values, x) == pytest.approx(found.infrared.sum(), rel=1e-4)
    assert spectrum.lines.areas.sum() == pytest.approx(found.infrared.sum(), rel=1e-12)


def test_raman_lines_go_with_the_laser_and_the_temperature():
    _, found = water()
    spectrum = raman_spectrum(found, laser=785, temperature=1200)
    assert found.raman is not None
    nu, kt = found.modes.wavenumbers, 1200 / 1.438777
    expected = found.raman * (1e7 / 785 - nu) ** 4 / nu / (1 - np.exp(-nu / kt))
    np.testing.assert_allclose(spectrum.lines.areas / spectrum.lines.areas[0], expected / expected[0], rtol=1e-6)
    top = spectrum.wavenumbers[np.argmax(spectrum.values)]
    assert np.abs(nu - top).min() <= 0.5


def test_a_factor_moves_lines_and_leaves_infrared_intensities():
    _, found = water()
    plain, scaled = infrared_spectrum(found), infrared_spectrum(found, frequency_scale=0.96)
    np.testing.assert_allclose(scaled.lines.wavenumbers, 0.96 * plain.lines.wavenumbers, rtol=1e-14)
    np.testing.assert_array_equal(scaled.lines.areas, plain.lines.areas)


def test_a_level_is_one_line_and_curves_have_round_steps():
    spectrum = infrared_spectrum(spring_intensities("CH4"), line_width=12)
    assert spectrum.lines.labels == tuple(s.label for s in spring_intensities("CH4").modes.sets)
    np.testing.assert_allclose(np.diff(spectrum.wavenumbers), 1.0, atol=1e-9)
    assert spectrum.wavenumbers[0] == 0


def test_imaginary_and_very_soft_modes_are_no_lines():
    modes, _ = stationary_modes(molecule("CO2"), calculator())
    assert modes.wavenumbers[:2] == pytest.approx([8.5, 8.5], abs=0.1)
    found = vibrational_intensities(modes, calculator())
    assert left_out(modes) == (1, 2)
    assert raman_spectrum(found).lines.labels == ("Σg+", "Σu+")
    soft = replace(modes, wavenumbers=np.array([-50.0, -50.0, *modes.wavenumbers[2:]]))
    assert left_out(soft) == (1, 2)
    assert np.isfinite(raman_spectrum(replace(found, modes=soft)).values).all()


def test_a_picture_shows_sticks_under_curves_and_what_was_measured(tmp_path):
    _, found = water()
    spectra = [infrared_spectrum(found), raman_spectrum(found)]
    (tmp_path / "gas.csv").write_text(
        "wavenumber,transmittance\n"
        + "".join(f"{x},{np.exp(-np.exp(-(((x - 1500) / 50) ** 2)))}\n" for x in range(900, 2500))
    )
    gas = read_spectrum(tmp_path / "gas.csv", "infrared")
    figure = draw_spectra(spectra, [gas], "water")
    above, below = figure.axes
    for axes, spectrum in zip(figure.axes, spectra, strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), spectrum.values)
        heights = [path.vertices[1, 1] for path in axes.collections[-1].get_paths()]
        np.testing.assert_allclose(heights, spectrum.lines.heights)
        assert axes.get_xlim()[0] > axes.get_xlim()[1]
    measured = above.lines[-1]
    assert measured.get_ydata().min() == pytest.approx(-spectra[0].values[900:2500].max(), rel=1e-2)
    assert (measured.get_ydata() <= 0).all()
    assert "absorbance, from transmittance" in above.get_title(loc="right")
    assert below.get_title(loc="right") == ""
    with pytest.raises(InputError, match="of the kind Raman, and those drawn are infrared"):
        draw_spectra(spectra[:1], [replace(gas, kind="Raman")])


def test_a_picture_of_a_spectrum_that_does_not_say_its_kind_is_drawn():
    gas = Spectrum("", np.array([400.0, 500.0, 600.0]), np.array([0.1, 0.9, 0.2]), "", "")
    (axes,) = draw_spectra([gas]).axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), gas.values)
    assert (axes.get_title(loc="left"), axes.get_xlabel()) == ("spectrum", "Wavenumber (cm$^{-1}$)")


def test_a_picture_says_how_lines_were_broadened_and_what_its_axis_is():
    _, intensities = water()
    gaussian = infrared_spectrum(intensities, line_shape="gaussian", line_width=15, frequency_scale=0.97)
    raman = raman_spectrum(intensities, laser=785, temperature=350)
    figure = draw_spectra([gaussian, raman])
    assert figure.get_supxlabel().splitlines() == [
        "gaussian lines of 15 cm⁻¹ (FWHM), wavenumbers times 0.97",
        "lorentzian lines of 10 cm⁻¹ (FWHM); Raman at 785 nm, 350 K; the strongest lines are named",
    ]
    assert figure.axes[-1].get_xlabel() == "Wavenumber, Raman shift (cm$^{-1}$)"
    assert draw_spectra([gaussian, gaussian]).axes[-1].get_xlabel() == "Wavenumber (cm$^{-1}$)"
    assert draw_spectra([raman]).axes[-1].get_xlabel() == "Raman shift (cm$^{-1}$)"
    liquid = Spectrum("infrared", np.array([400.0, 4000.0]), np.array([1.0, 2.0]), "", "")
    assert draw_spectra([gaussian], [liquid]).axes[0].get_title(loc="right") == "beneath: measured, scaled"
    # Very wide lines end where there is nothing more to see.
    wide = infrared_spectrum(intensities, line_width=500)
    assert wide.wavenumbers[-1] <= wide.lines.wavenumbers[-1] + 600


def test_a_strong_line_is_named_beside_a_stronger_one():
    at, heights = np.array([1000.0, 2883.0, 2911.0, 2915.0]), np.array([0.5, 1.0, 0.97, 0.02])
    x = np.arange(0.0, 4001.0)
    values = (heights / (1 + ((x[:, None] - at) / 5) ** 2)).sum(axis=1)
    lines = Lines(at, heights, heights, ("B1", "A1", "B2", "A2"))
    (axes,) = draw_spectra([Spectrum("infrared", x, values, "molar absorption", "", lines)]).axes
    labels = {text.get_text(): text for text in axes.texts}
    assert set(labels) == {"$A_{1}$", "$B_{1}$", "$B_{2}$"}
    assert labels["$B_{2}$"].xy == (2911.0, 0.97)
    assert labels["$B_{2}$"].get_ha() == "right"  # at higher wavenumbers, away from its neighbour
    assert labels["$A_{1}$"].get_ha() == "center"


def test_measured_spectra_that_lie_beyond_all_lines_are_refused():
    _, intensities = water()
    terahertz = Spectrum("infrared", np.linspace(12.0, 120.0, 50), np.ones(50), "absorbance", "absorbance")
    with pytest.raises(InputError, match="goes from 12 to 120 cm⁻¹, and the computed lines from"):
        draw_spectra([infrared_spectrum(intensities)], [terahertz])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"laser": "532"}, "the wavelength of the laser is '532', which is no number"),
        ({"temperature": None}, "the temperature is None, which is no number"),
        ({"line_width": "10"}, "the width of lines is '10', which is no number"),
        ({"wavenumbers": "abc"}, "are not two or more finite numbers"),
        ({"wavenumbers": [[1, 2], [3]]}, "are not two or more finite numbers"),
    ],
)
def test_what_is_no_number_is_refused(values, words):
    _, intensities = water()
    with pytest.raises(InputError, match=words):
        raman_spectrum(intensities, **values)


# ---- the study and the command ---------------------------------------------------------------------

_FILES = {"infrared.csv", "infrared.jdx", "raman.csv", "raman.jdx", "spectra.png", "spectra.pdf"}


def test_a_study_holds_intensities_and_writes_spectra(tmp_path):
    study = molecule_study(molecule("H2O"), calculator(), MoleculeSettings(line_shape="gaussian", laser=785))
    _, found = water()
    np.testing.assert_allclose(study.infrared_intensities, found.infrared, rtol=1e-6)
    np.testing.assert_allclose(study.raman_activities, found.raman, rtol=1e-6)
    np.testing.assert_allclose(study.depolarization_ratios, found.depolarization, rtol=1e-6)
    study.write(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(study.files) >= _FILES
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["infrared_km_mol"] == pytest.approx(found.infrared, rel=1e-6)
    assert summary["raman_A4_amu"] == pytest.approx(found.raman, rel=1e-6)
    assert [s["infrared_km_mol"] for s in summary["sets"]] == pytest.approx(summary["infrared_km_mol"])
    dipole = calculator().get_dipole_moment(study.atoms)
    assert summary["dipole_debye"] == pytest.approx(dipole * 1e-10 * si.e / 3.33564e-30, rel=1e-5, abs=1e-9)
    tensor = CUBIC_ANGSTROM * calculator().get_polarizability(study.atoms)
    np.testing.assert_allclose(summary["polarizability_A3"], tensor, atol=1e-9)
    units = summary["units"]
    assert units["infrared_km_mol"] == "km/mol"
    assert units["raman_A4_amu"] == "Å⁴/amu"
    assert (units["dipole_debye"], units["polarizability_A3"], units["depolarization"]) == ("D", "Å³", "1")
    assert units["spectra.laser_nm"] == "nm"
    assert "not stated" not in units.values()
    # The files are the curves; in JCAMP-DX infrared absorption is absorbance, decadic.
    infrared, raman = study.spectra
    for name, spectrum, factor in (("infrared", infrared, DECADIC), ("raman", raman, 1.0)):
        table, jcamp = (read_spectrum(tmp_path / "out" / f"{name}.{end}") for end in ("csv", "jdx"))
        np.testing.assert_allclose(table.values, spectrum.values, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(jcamp.values, factor * spectrum.values, atol=1e-8 * factor * spectrum.values.max())
        np.testing.assert_allclose(jcamp.wavenumbers, spectrum.wavenumbers, atol=1e-9)
        assert jcamp.kind == spectrum.kind
    for other in (pickle.loads(pickle.dumps(study)),):
        assert other.to_dict() == study.to_dict()


def test_a_model_with_a_dipole_alone_has_infrared_spectra_alone(tmp_path):
    calc = calculator((DIPOLE,))
    study = molecule_study(molecule("H2O"), calc)
    assert study.raman_activities is None
    assert [spectrum.kind for spectrum in study.spectra] == ["infrared"]
    assert _FILES & set(study.files) == {"infrared.csv", "infrared.jdx", "spectra.png", "spectra.pdf"}
    study.write(tmp_path / "out")
    assert "raman_A4_amu" not in study.to_dict()
    with pytest.raises(InputError, match="gives no polarizability"):
        raman_spectrum(study.intensities)


def test_without_such_outputs_there_is_activity_alone_and_what_is_about_spectra_is_refused():
    calc = PhonaxCalculator(in_field(potential(), np.zeros(3)))  # its energy alone
    study = molecule_study(molecule("H2O"), calc)
    assert (study.intensities, study.infrared_intensities, study.spectra) == (None, None, ())
    assert not _FILES & set(study.files)
    assert not {"spectra", "infrared_km_mol", "dipole_debye"} & study.to_dict().keys()
    assert "IR + Raman" in study.report().text()
    assert "km/mol" not in study.report().text()
    for settings, name in (({"measured_raman": "x.csv"}, "measured_raman"), ({"line_width": 20}, "line_width")):
        with pytest.raises(InputError, match=f"`{name}` is about spectra, and the model 'random.*' gives neither"):
            molecule_study(molecule("H2O"), calc, MoleculeSettings(**settings))
    with pytest.raises(InputError, match="knows nothing of the dipole"):
        vibrational_intensities(study.modes, calc)


def test_a_single_atom_has_a_polarizability_and_no_spectrum():
    study = molecule_study(Atoms("O"), calculator())
    assert study.to_dict()["infrared_km_mol"] == []
    assert not _FILES & set(study.files)
    assert "polarizability" in study.report().text()


def test_ions_and_crystals_have_no_intensities():
    modes = modes_of_vibrations(springs(molecule("H2O")))
    for change, words in (({"pbc": True}, "is periodic"), ({"info": {"charge": -1}}, "has charge -1")):
        atoms = molecule("H2O", vacuum=4.0)
        atoms.pbc = change.get("pbc", False)
        atoms.info |= change.get("info", {})
        other = replace(modes, vibrations=VibrationsData(atoms, modes.vibrations.get_hessian()))
        with pytest.raises(StructureError, match=words):
            vibrational_intensities(other, calculator())
        with pytest.raises(StructureError):
            molecule_study(atoms, calculator())


def test_threads_that_share_a_calculator_get_their_own_spectra():
    calc = calculator()
    settings = MoleculeSettings(no_relax=True)
    molecules = [water()[0], molecule("CH4"), molecule("CO2")] * 2
    with ThreadPoolExecutor(4) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", UnstableWarning)
        studies = list(pool.map(lambda atoms: molecule_study(atoms, calc, settings), molecules))
    for one, two in zip(studies[:3], studies[3:], strict=True):
        np.testing.assert_array_equal(one.infrared_intensities, two.infrared_intensities)
        np.testing.assert_array_equal(one.raman_activities, two.raman_activities)
    np.testing.assert_allclose(studies[0].infrared_intensities, water()[1].infrared, rtol=1e-6)


def test_atoms_that_are_held_have_intensities_by_mode():
    atoms, _ = water()
    study = molecule_study(atoms, calculator(), MoleculeSettings(no_relax=True, atoms=[2, 3]))
    assert study.modes.sets == ()
    assert len(study.infrared_intensities) == 6
    held = infrared_intensities(study.modes.displacements, calculator().get_born_charges(study.atoms))
    # It turns about the oxygen freely: three modes of no frequency are one level.
    np.testing.assert_allclose(study.infrared_intensities[3:], held[3:], rtol=1e-9)
    np.testing.assert_allclose(study.infrared_intensities[:3], held[:3].mean(), rtol=1e-9)
    assert "IR km/mol" in study.report().text()


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(potential(), "model.h5")
    write("water.xyz", molecule("H2O"))
    return tmp_path


def test_the_command_prints_intensities_beside_irreps(inside, capsys):
    (inside / "gas.csv").write_text("wavenumber (1/cm);absorbance\n1000;0.1\n1500;1.0\n3000;0.2\n")
    options = ["--measured-infrared", "gas.csv", "--frequency-scale", "0.95", "--line-width", "20", "--laser", "1064"]
    assert main(["molecule", "water.xyz", "--model", "model.h5", *options]) == 0
    printed = capsys.readouterr().out
    _, found = water()
    rows = [line.split() for line in printed.splitlines() if line[2:3].isdigit() and ("A1" in line or "B2" in line)]
    assert [float(row[3]) for row in rows] == pytest.approx(found.infrared, abs=0.006)
    assert [float(row[5]) for row in rows] == pytest.approx(found.depolarization, abs=6e-4)
    assert "lorentzian lines of 20 cm⁻¹ (FWHM), wavenumbers times 0.95; Raman at 1064 nm" in " ".join(printed.split())
    summary = json.loads((inside / "water-molecule" / "summary.json").read_text())
    assert summary["spectra"]["measured_infrared"] == "gas.csv"
    assert "measured infrared gas.csv, 1000 to 3000 cm⁻¹, absorbance, 3 points" in " ".join(printed.split())
    assert summary["units"]["spectra.measured_infrared_as_read.highest_cm1"] == "1/cm"
    assert "not stated" not in summary["units"].values()
    assert "gas.csv" in summary["provenance"]["sha256"]
    written = read_spectrum(inside / "water-molecule" / "infrared.jdx", "infrared")
    peak = written.wavenumbers[np.argmax(written.values)]
    assert np.abs(0.95 * found.modes.wavenumbers - peak).min() <= 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--line-width", "0.1"], "the width of lines is 0.1 1/cm"),
        (["--laser", "5145"], "the wavelength of the laser is 5145 nm"),
        (["--frequency-scale", "96"], "the factor of frequencies is 96"),
        (["--line-shape", "voigt"], "invalid choice: 'voigt'"),
        (["--measured-raman", "no.jdx"], "the spectrum no.jdx does not exist"),
        (["--measured-infrared", "water.xyz"], "the spectrum water.xyz cannot be read"),
    ],
)
def test_options_of_spectra_that_make_no_sense_are_refused_before_anything_is_computed(inside, capsys, options, words):
    assert main(["molecule", "water.xyz", "--model", "model.h5", *options]) == 2
    assert words in capsys.readouterr().err
    assert not (inside / "water-molecule").exists()


def test_settings_of_spectra_stand_behind_those_that_callers_may_give_by_position():
    settings = MoleculeSettings(True, False, [2], 0.05)
    assert (settings.no_relax, settings.atoms, settings.tolerance) == (True, (2,), 0.05)
    assert MoleculeSettings.from_dict(MoleculeSettings(measured_raman="a.csv").to_dict()).measured_raman == Path(
        "a.csv"
    )


def test_a_laser_without_enough_energy_is_refused():
    _, found = water()
    with pytest.raises(InputError, match="less than the line at"):
        raman_spectrum(replace(found, modes=replace(found.modes, wavenumbers=np.array([1e3, 2e3, 6e3]))), laser=1999)
    with pytest.raises(InputError, match="ascending"):
        infrared_spectrum(found, [3.0, 2.0, 1.0])
