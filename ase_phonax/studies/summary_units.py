"""The unit of every number that commands write for programs, so that nobody has to guess it from a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Summary = dict[str, Any]  # what summary.json holds, or a part of it: built-in types, nested in any way

NOT_STATED = "not stated"  # a test looks for it
# Endings of keys that name their unit.
_ENDINGS = {
    "_thz": "THz",
    "_cm1": "1/cm",
    "_kJ_mol": "kJ/mol",
    "_J_K_mol": "J/K/mol",
    "_eV": "eV",
    "_ev_per_cell": "eV",
    "_ev_per_angstrom2_per_cell": "eV/Å²",
    "_angstrom": "Å",
    "_angstrom2": "Å²",
    "_amu": "amu",
    "_degrees": "degrees",
    "_K": "K",
    "_k": "K",
    "_per_k": "1/K",
    "_gpa": "GPa",
    "_GPa": "GPa",
    "_kg_m3": "kg/m³",
    "_m_s": "m/s",
    "_s": "s",
    "_e": "e",
    "_by_e": "e",
    "_debye": "D",
    "_A3": "Å³",
    "_A4_amu": "Å⁴/amu",
    "_km_mol": "km/mol",
    "_e2_amu": "e²/amu",
    "_per_angstrom": "1/Å",
    "_nm": "nm",
    "_um": "µm",
    "_angstrom3": "Å³",
    "_W_mK": "W/m/K",
}
_COUNTS = ("n_", "formula_units", "modulated_n_")
# The others; "1" is a pure number: counts, ratios, reduced coordinates, numbers of modes.
UNITS = {
    "energy": "eV",
    "max_force": "eV/Å",
    "held_force": "eV/Å",
    "unrelaxed_max_force": "eV/Å",
    "max_stress": "eV/Å³",
    "unrelaxed_max_stress": "eV/Å³",
    "cell": "Å",
    "volume": "Å³",
    "lattice_parameters": "Å",
    "gibbs_free_energy": "eV",
    "energy_from_saddle": "eV",
    "symmetry_deviation": "Å",
    "symmetry_tolerance": "Å",
    "tolerance": "Å",
    "zero_point_energy": "eV",
    "enthalpy": "eV",
    "entropy": "eV/K",
    "gibbs_energy": "eV",
    "temperature": "K",
    "pressure": "Pa",
    "born_charges": "e",
    "rotations_changed_constants_by": "eV/Å²",
    "relaxed_max_force": "eV/Å",
    # One name in two places.
    "mesh_convergence[].free_energy": "kJ/mol",
    "mesh_convergence[].entropy": "J/K/mol",
    "mesh_convergence[].heat_capacity": "J/K/mol",
}
_PURE = frozenset(
    (
        "third_order_error",
        "third_order_noise",
        "third_order_tolerance",
        "third_order_supercell_matrix",
        "acoustic_sum_rule",
        "degeneracy",
        "depolarization",
        "exact_imaginary",
        "expected_error",
        "fraction",
        "dielectric_changed_by",
        "dielectric_tensor",
        "dielectric_expected_error",
        "static_dielectric_tensor",
        "axes",
        "direction",
        "fraction_of_modes_left_out",
        "frequency_scale",
        "gruneisen",
        "gruneisen_average",
        "gruneisen_maximum",
        "gruneisen_minimum",
        "hermiticity",
        "imaginary",
        "imaginary_modes",
        "interpolation_error_max_qpoint",
        "largest_share_extrapolated",
        "left_out",
        "lowest",
        "poisson_ratio",
        "universal_anisotropy",
        "lowest_mode",
        "lowest_qpoint",
        "matrix",
        "mean",
        "mesh",
        "misplaced",
        "min_frequency_qpoint",
        "mode",
        "modes_lost",
        "fit_residual",
        "modes",
        "numbers",
        "purity",
        "qpoint",
        "ratio",
        "ratios_fitted",
        "ratios_left_out",
        "rotations_born_huang",
        "rotations_huang",
        "relative_curvature",
        "relaxation_steps",
        "space_group_number",
        "space_group_residual",
        "spin",
        "steps",
        "strain",
        "supercell_matrix",
        "supercell_rows",
        "symmetry_number",
        "thermal_fraction_of_modes_left_out",
        "vacuum_axis",
        "volume_change",
        "whole_body_motions",
    )
)


def units_of(summary: Mapping[str, Any]) -> dict[str, str]:
    """The unit of every number in it.

    Args:
        summary: built-in types only.

    Returns:
        Dotted key -> unit, "1" for a pure number; [] stands for the entries of a list: "thermal.temperature_K",
        "supercells_tried[].error_thz".
    """
    return dict(_walk(summary, ""))


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _walk(entry, f"{path}.{key}" if path else key)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _walk(entry, path if _is_number(entry) or isinstance(entry, list) else f"{path}[]")
    elif _is_number(value):
        yield path, _unit(path)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _unit(path: str) -> str:
    keys = path.replace("[]", "").split(".")
    if keys[0] == "timings_s":
        return "s"
    key = keys[-1]
    if path in UNITS or key in UNITS:
        return UNITS[path if path in UNITS else key]
    if key in _PURE or key.startswith(_COUNTS):
        return "1"
    fitting = [ending for ending in _ENDINGS if key.endswith(ending)]
    return _ENDINGS[max(fitting, key=len)] if fitting else NOT_STATED
