"""Phonons of a crystal, told to people."""

from __future__ import annotations

from pathlib import Path

from ..base.units import FREQUENCY_UNITS
from ..phonons.sampling.meshes import IMAGINARY_THRESHOLD_THZ
from ..phonons.supercell.rotations import FREE_OF_STRESS
from .model_facts import COMPARE, EXACT, ROTATIONS, describe_model, imitates_another
from .phonon_results import PhononStudy
from .report import Report
from .study import describe_end
from .words import (
    frequencies_in_words,
    frequency,
    interpolation_in_words,
    matrix_in_words,
    noise_in_words,
    rotations_in_words,
    symmetry_in_words,
    vector_in_words,
)


def report(results: PhononStudy, folder: Path | None) -> Report:
    """Title, structure, frequencies, checks, heat, the parts of the sections, and the end."""
    text = Report(f"{results.formula}   {results.space_group}   {results.model['model']}, {results.dtype}")
    describe_model(text, results.model)
    _describe_structure(text, results)
    _describe_frequencies(text, results)
    text.group("checks (largest entry over the largest force constant)")
    checks = results.checks
    exact = results.model["second_derivatives"] == EXACT
    for name, value in (("acoustic sum rule", checks["acoustic_sum_rule"]), ("Hermiticity", checks["hermiticity"])):
        text.row(name, f"{value:.1e}   {noise_in_words(value, exact)}")
    residual, rotations = checks["space_group_residual"], results.model["model_symmetry"].startswith(ROTATIONS)
    text.row("space group", f"{residual:.1e}   {symmetry_in_words(residual, rotations)}")
    if "rotations_huang" in checks:
        imposed, stress = results.settings.impose_rotations, results.relaxation.max_stress or 0.0
        text.row("rotations", rotations_in_words(checks, imposed, stress > FREE_OF_STRESS))
    error = checks["interpolation_error_thz"]
    highest = results.sampling.frequencies.maximum_thz
    worst = checks["interpolation_error_max_thz"]
    words, too_large = interpolation_in_words(
        error, worst, results.settings.tolerance, highest, vector_in_words(results.worst_qpoint.tolist()), exact
    )
    text.row(
        "supercell",
        f"{error:.2g} THz RMS, {worst:.2g} THz at most, against {results.against}   {words}",
        doubt=too_large,
    )
    if "displacement_noise_thz" in checks:
        noise = checks["displacement_noise_thz"]
        words = (
            f"noise {noise:.1g} THz RMS, which is what steps twice as long change"
            if noise
            else "its noise is not known"
        )
        text.row("second derivatives", f"{results.model['second_derivatives']}   {words}")
    _describe_heat(text, results)
    for part in results.parts:
        part.describe(text)
    describe_end(text, results, folder)
    return text


def _describe_structure(text: Report, results: PhononStudy) -> None:
    relaxation, crystal, settings = results.relaxation, results.crystal, results.settings
    n_atoms = len(results.phonopy.primitive)
    text.group("structure")
    if crystal.n_atoms_given > n_atoms:
        how = f"reduced from {crystal.n_atoms_given} atoms to the primitive {n_atoms}, orientation kept"
    elif crystal.space_group.n_primitive < n_atoms:
        how = f"{n_atoms} atoms as given; a primitive cell has {crystal.space_group.n_primitive}"
    else:
        how = f"{n_atoms} atom{'s' * (n_atoms > 1)} as given, primitive"
    text.row("cell", how)
    lengths = results.atoms.cell.cellpar()
    text.row("a b c, α β γ", "{:.4f} {:.4f} {:.4f} Å, {:.2f} {:.2f} {:.2f}°".format(*lengths))
    if crystal.had_constraints:
        text.row("constraints", "those of the file are dropped: every atom vibrates")
    if crystal.layer is not None:
        note = f": {crystal.layer.note}" if crystal.layer.note else ""
        text.row("layer", f"vacuum along cell vector {crystal.layer.axis + 1}, never repeated{note}")
    if settings.no_relax:
        text.row("relaxation", "none, as asked")
    else:
        cell = "cell fixed" if settings.fix_cell else f"volume {100 * relaxation.volume_change:+.2f} %"
        text.row("relaxation", f"{relaxation.n_steps} steps, symmetry kept, {cell}")
    residual = f"{relaxation.max_force:.1e} eV/Å, {_stress_in_words(relaxation.max_stress)} eV/Å³"
    if not settings.no_relax:
        before = f"{relaxation.initial_max_force:.1e}, {_stress_in_words(relaxation.initial_max_stress)}"
        residual += f" (before: {before})"
    text.row("largest force, stress", residual)
    matrix = matrix_in_words(results.phonopy.supercell_matrix.tolist())
    missed = results.choice is not None and not results.choice.reached
    text.row("supercell", f"{matrix}, {len(results.phonopy.supercell)} atoms{_choice_in_words(results)}", doubt=missed)


def _stress_in_words(stress: float | None) -> str:
    return "unknown" if stress is None else f"{stress:.1e}"


def _choice_in_words(results: PhononStudy) -> str:
    choice = results.choice
    if choice is None:
        return ", as asked"
    others = [f"{error:.2g} THz with {n}" for _, n, error in choice.tried if n < choice.n_atoms]
    tried = f" ({', '.join(others[-2:])})" if others else ""
    if choice.reached and choice.against:
        return f", frequencies of which are those of {choice.against} atoms within {choice.tolerance_thz:g} THz RMS"
    if choice.reached:
        return f", the smallest within {choice.tolerance_thz:g} THz RMS{tried}"
    missed = f", the largest allowed; it misses the {choice.tolerance_thz:g} THz wanted{tried}"
    if results.model["second_derivatives"] != EXACT:
        return f"{missed}: `max_atoms` allows larger ones"
    if results.settings.exact:
        return f"{missed}: everything but phonopy's files is taken from exact D(q)"
    if results.sampling.bands_exact:
        error = "densities and heat carry the error (`exact=True` or `max_atoms`)"
        return f"{missed}: bands are drawn from exact D(q), {error}"
    return f"{missed}: bands, densities and heat carry the error (`max_atoms`)"


def _describe_frequencies(text: Report, results: PhononStudy) -> None:
    sampling, unit = results.sampling, results.settings.unit
    frequencies = sampling.frequencies
    printed = FREQUENCY_UNITS[unit][1]
    text.group(f"frequencies ({printed}; imaginary as negative)")
    text.row("at Γ", frequencies_in_words(frequencies.gamma_thz.tolist(), unit))
    lowest = f"{frequency(frequencies.minimum_thz, unit)} at q = {vector_in_words(frequencies.minimum_qpoint.tolist())}"
    text.row("lowest", lowest)
    if sampling.unstable and sampling.exact_minimum is not None:
        exact, q = sampling.exact_minimum
        of_exact = f"{frequency(exact, unit)} at q = {vector_in_words(q.tolist())}"
        if of_exact != lowest:
            text.row("", f"that is interpolated; lowest exact one found: {of_exact}")
    text.row("highest", frequency(frequencies.maximum_thz, unit))
    how = f"exact D(q), {sampling.exact_because}" if sampling.bands_exact else "interpolated from the supercell"
    text.row("band path", f"{results.band_path}   {how}")
    numbers = " × ".join(map(str, sampling.mesh_numbers))
    if sampling.convergence:
        change = sampling.convergence[-1].change(sampling.convergence[-2]) if len(sampling.convergence) > 1 else 0.0
        text.row("mesh", f"{numbers}, exact D(q); heat at 300 K changed by {100 * change:.2g} % from the last one")
    else:
        text.row("mesh", f"{numbers}, {'exact D(q)' if results.settings.exact else 'interpolated'}")
    threshold = f"{FREQUENCY_UNITS[unit][0] * IMAGINARY_THRESHOLD_THZ:.2g} {printed}, acoustic modes at Γ left aside"
    if sampling.unstable:
        advice = f"; {COMPARE}" if imitates_another(results.model) else ""
        text.row("stability", f"UNSTABLE: there are imaginary modes (beyond {threshold}){advice}")
    elif sampling.interpolation_imaginary and sampling.exact_minimum is not None:
        exact, q = sampling.exact_minimum
        text.row(
            "stability",
            f"no imaginary modes: those below zero between the supercell's q-points are errors of interpolation; the"
            f" lowest exact frequency found is {frequency(exact, unit)}, at q = {vector_in_words(q.tolist())}",
        )
    else:
        text.row("stability", f"no imaginary modes (beyond {threshold})")


def _describe_heat(text: Report, results: PhononStudy) -> None:
    temperature, heat = results.heat()
    units = results.formula_units
    text.group(f"heat at {temperature:g} K, per mole of {results.formula}")
    text.row("free energy", f"{heat['free_energy_kJ_mol'] / units:.3f} kJ/mol")
    text.row("entropy", f"{heat['entropy_J_K_mol'] / units:.3f} J/K/mol")
    text.row("heat capacity", f"{heat['heat_capacity_J_K_mol'] / units:.3f} J/K/mol")
    if units > 1:
        text.row("", f"thermal_properties.yaml: per mole of cells of {units} {results.formula}, {units} times as much")
    error = results.checks["interpolation_error_thz"]
    if error > results.settings.tolerance and not results.settings.exact:
        better = "`exact=True` or a" if results.model["second_derivatives"] == EXACT else "take a"
        words = f"frequencies of the mesh are interpolated with an error of {error:.2g} THz: {better} larger supercell"
        text.row("accuracy", words, doubt=True)
    if results.sampling.frequencies.fraction_left_out > 0:
        share = 100 * results.sampling.frequencies.fraction_left_out
        words = f"{share:.3g} % of the modes, being imaginary or zero: these numbers are incomplete"
        text.row("left out", words, doubt=True)
