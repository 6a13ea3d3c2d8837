"""Normal modes of a molecule as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from .model_facts import describe_model
from .report import Report
from .summary_units import Summary

MAX_NEAR = 6  # lines of accidental degeneracies


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
        text.row("wavenumbers", "  ".join(map(_wavenumber, summary["wavenumbers_cm1"])) or "none")
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
    activity = " + ".join(["IR"] * modes["infrared"] + ["Raman"] * modes["raman"]) or "silent"
    values = modes["wavenumbers_cm1"]
    printed = _wavenumber(_mean(modes)) if max(values) - min(values) < 0.05 else " ".join(map(_wavenumber, values))
    mixed = "" if modes["purity"] > 0.99 else f"   {100 * modes['purity']:.0f} % of this symmetry"
    return f"{_numbers(modes['modes']):<10}{modes['label']}", f"{printed:>10}   {activity}{mixed}"


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
