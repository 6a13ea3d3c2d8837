"""Normal modes of a molecule as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from .model_facts import describe_model
from .report import Report
from .summary_units import Summary

MAX_NEAR = 6  # lines of accidental degeneracies
# What lines are strong by, with its heading and decimals; one of these is there where the model knows what light does.
_STRENGTHS = {
    "infrared_km_mol": ("IR km/mol", 2),
    "raman_A4_amu": ("Raman Å⁴/amu", 2),
    "depolarization": ("depol.", 3),
}


def molecule_report(summary: Summary, files: Sequence[str] = (), folder: Path | None = None) -> Report:
    """What is printed at the end.

    Args:
        summary: what goes into summary.json.
        files: their names.
        folder: where they lie; None where they have not been written.
    """
    text = Report(f"{summary['formula']}   {summary['model']}")
    describe_model(text, summary)
    text.group("structure")
    text.row("relaxation", f"{summary['relaxation_steps']} steps" if summary["relaxed"] else "none, as asked")
    text.row("largest force", f"{summary['max_force']:.1e} eV/Å (before: {summary['unrelaxed_max_force']:.1e})")
    if summary.get("held_force"):
        text.row("held", f"{summary['held_force']:.1e} eV/Å on atoms that are kept where they are")
    if "point_group" in summary:
        off = f"atoms off by {summary['symmetry_deviation']:.1e} Å, tolerance {summary['symmetry_tolerance']:g} Å"
        text.row("point group", f"{summary['point_group']} ({off})")
        for other in summary["other_point_groups"]:
            text.row("", f"AMBIGUOUS: {other['point_group']} with `tolerance={other['tolerance']:.2g}`")
        text.group(f"vibrations (1/cm): {summary['representation'] or 'none'}")
        if _STRENGTHS.keys() & summary.keys():
            _set_columns(text, summary["sets"])
        else:
            for modes in summary["sets"]:
                text.row(*_set_row(modes))
        near = _near(summary["sets"])
        for a, b in near[:MAX_NEAR]:
            both = f"modes {_numbers(a['modes'])} ({a['label']}) and {_numbers(b['modes'])} ({b['label']})"
            text.row("near degeneracy", f"{both}: {_mean(b) - _mean(a):.1f} cm⁻¹ apart by accident")
        if len(near) > MAX_NEAR:
            text.row("", f"and {len(near) - MAX_NEAR} more pairs")
    else:
        text.group("vibrations (1/cm) of the atoms that move")
        if _STRENGTHS.keys() & summary.keys():
            _mode_columns(text, summary)
        else:
            text.row("wavenumbers", "  ".join(map(_wavenumber, summary["wavenumbers_cm1"])) or "none")
    if "spectra" in summary:
        _spectra_rows(text, summary)
    text.group("checks")
    text.row("whole-body motions", _whole_body_row(summary))
    if summary["imaginary_modes"]:
        text.row("stability", _stability_row(summary), doubt=True)
    for k, side in enumerate(summary.get("followed", ())):
        way = "plus" if k == 0 else "minus"
        text.row(f"followed, {way}", f"{side['point_group']}, {1000 * side['energy_from_saddle']:.2f} meV from here")
    if "ideal_gas" in summary:
        _gas_rows(text, summary["ideal_gas"])
    for note in summary["warnings"]:
        text.row("note", note, doubt=True)
    if folder is not None:
        text.group(f"results in {folder}")
        text.paragraph(", ".join(files))
    return text


def _wavenumber(value: float) -> str:
    return f"{-value:.1f}i" if value < 0 else f"{value:.1f}"


def _mean(modes: Summary) -> float:
    return sum(modes["wavenumbers_cm1"]) / len(modes["wavenumbers_cm1"])


def _set_row(modes: Summary) -> tuple[str, str]:
    numbers, label, printed, activity = _set_cells(modes)
    return f"{numbers:<10}{label}", f"{printed:>10}   {activity}"


def _set_cells(modes: Summary) -> tuple[str, str, str, str]:
    """Numbers, label, wavenumber and activity of a set of modes."""
    activity = " + ".join(["IR"] * modes["infrared"] + ["Raman"] * modes["raman"]) or "silent"
    values = modes["wavenumbers_cm1"]
    printed = _wavenumber(_mean(modes)) if max(values) - min(values) < 0.05 else " ".join(map(_wavenumber, values))
    mixed = "" if modes["purity"] > 0.99 else f"   {100 * modes['purity']:.0f} % of this symmetry"
    return _numbers(modes["modes"]), modes["label"], printed, activity + mixed


def _set_columns(text: Report, sets: list[Summary]) -> None:
    """Sets of modes with their strengths, which are sums over the set."""
    keys = [key for key in _STRENGTHS if sets and key in sets[0]]
    rows = []
    for modes in sets:
        numbers, label, printed, activity = _set_cells(modes)
        rows.append((numbers, label, printed, *(_strength(key, modes[key]) for key in keys), activity))
    head = ("modes", "", "1/cm", *(_STRENGTHS[key][0] for key in keys), "allowed by symmetry")
    if rows:
        text.columns(head, rows, left=(0, 1), prose=True)
    if any(len(modes["modes"]) > 1 for modes in sets):
        text.paragraph("intensities are sums over degenerate modes")


def _mode_columns(text: Report, summary: Summary) -> None:
    """Single modes with their strengths, where there is no symmetry."""
    keys = [key for key in _STRENGTHS if key in summary]
    rows = [
        (str(k + 1), _wavenumber(value), *(_strength(key, summary[key][k]) for key in keys))
        for k, value in enumerate(summary["wavenumbers_cm1"])
    ]
    text.columns(("mode", "1/cm", *(_STRENGTHS[key][0] for key in keys)), rows, left=(0,))


def _strength(key: str, value: float | None) -> str:
    return "–" if value is None else f"{value:.{_STRENGTHS[key][1]}f}"


def _spectra_rows(text: Report, summary: Summary) -> None:
    """Dipole and polarizability of the molecule at rest, and how its spectra are drawn."""
    if "dipole_debye" in summary:
        vector = summary["dipole_debye"]
        text.row("dipole moment", f"{sum(x * x for x in vector) ** 0.5:.3f} D")
    if "polarizability_A3" in summary:
        tensor = summary["polarizability_A3"]
        mean = sum(tensor[k][k] for k in range(3)) / 3
        squares = sum((tensor[a][b] - mean * (a == b)) ** 2 for a in range(3) for b in range(3))
        text.row("polarizability", f"{mean:.3f} Å³ on average, anisotropy {(1.5 * squares) ** 0.5:.3f} Å³")
    how = summary["spectra"]
    if not summary["wavenumbers_cm1"]:
        return
    scaled = "" if how["frequency_scale"] == 1 else f", wavenumbers times {how['frequency_scale']:g}"
    excited = f"; Raman at {how['laser_nm']:g} nm, {how['temperature_K']:g} K" if "raman_A4_amu" in summary else ""
    text.row("spectra", f"{how['line_shape']} lines of {how['line_width_cm1']:g} cm⁻¹ (FWHM){scaled}{excited}")
    for kind in ("infrared", "raman"):
        if read := how.get(f"measured_{kind}_as_read"):
            quantity = f"{read['quantity']}, " * bool(read["quantity"])
            span = f"{read['lowest_cm1']:.0f} to {read['highest_cm1']:.0f} cm⁻¹"
            name = kind.replace("raman", "Raman")
            text.row(f"measured {name}", f"{how[f'measured_{kind}']}, {span}, {quantity}{read['n_points']} points")
    if how["left_out"]:
        words = f"{_numbers(how['left_out'])}: imaginary, or below 10 cm⁻¹, where nothing is harmonic"
        text.row("modes without a line", words, doubt=True)


def _numbers(modes: Iterable[int]) -> str:
    """Numbers of modes as a row of the report has them: "13–17", "4 6", "3"."""
    modes = list(modes)
    if len(modes) > 1 and modes == list(range(modes[0], modes[-1] + 1)):
        return f"{modes[0]}–{modes[-1]}"
    return " ".join(map(str, modes))


def _near(sets: list[Summary]) -> list[tuple[Summary, Summary]]:
    from itertools import pairwise

    from ..molecules.normal_modes import NEAR_CM1

    return [(a, b) for a, b in pairwise(sets) if abs(_mean(b) - _mean(a)) < NEAR_CM1]


def _whole_body_row(summary: Summary) -> str:
    values = summary["whole_body_cm1"]
    if not values:
        return "none projected out: not all atoms move"
    largest = max(map(abs, values))
    why = "" if largest < 1 else ", which vanishes at a stationary point only"
    return f"{len(values)} projected out; what was left of them: {largest:.2g} cm⁻¹{why}"


def _stability_row(summary: Summary) -> str:
    """Imaginary modes by number and label."""
    named = {k: s["label"] for s in summary.get("sets", ()) for k in s["modes"]}
    modes = summary["imaginary"]
    which = ", ".join(f"{k} ({named[k]})" if k in named else str(k) for k in modes)
    kind = "a saddle point" if len(modes) == 1 else f"a saddle point of order {len(modes)}"
    advice = "" if "followed" in summary else f"; `follow={modes[0]}` slides down both sides"
    return f"imaginary: {which}. Not a minimum but {kind}{advice}"


def _gas_rows(text: Report, gas: Summary) -> None:
    from ase.units import kJ, mol

    text.group(f"ideal gas at {gas['temperature']:g} K and {gas['pressure']:g} Pa")
    text.row("symmetry number, spin", f"{gas['symmetry_number']}, {gas['spin']:g}")
    per_mole = kJ / mol  # eV
    text.row(
        "zero-point energy", f"{gas['zero_point_energy']:.4f} eV, {gas['zero_point_energy'] / per_mole:.2f} kJ/mol"
    )
    text.row("enthalpy", f"{gas['enthalpy']:.4f} eV")
    text.row("entropy", f"{1000 * gas['entropy']:.4f} meV/K, {1000 * gas['entropy'] / per_mole:.2f} J/K/mol")
    text.row("Gibbs energy", f"{gas['gibbs_energy']:.4f} eV")
    if gas["left_out"]:
        words = f"{gas['left_out']} imaginary modes left out: these are not properties of a gas of such molecules"
        text.row("", words, doubt=True)
