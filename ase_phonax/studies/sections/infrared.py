"""Polar crystals in infrared light: always where charges are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.units import FREQUENCY_UNITS
from ..options import Settings, number, option
from ..section import Context, Section
from ..summary_units import Summary

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from ...phonons.polar.infrared import InfraredResponse
    from ..report import Report
    from ..settings import PhononSettings

STEM = "infrared"
OWN_FILES = tuple(f"{STEM}.{end}" for end in ("yaml", "csv", "png", "pdf"))


@dataclass(frozen=True)
class InfraredSettings(Settings):
    """How infrared light is absorbed."""

    infrared_damping: float | None = option(
        None,
        number,
        "polar crystals",
        "where there are charges: width of all lines in the dielectric function and the reflectivity, in THz (default:"
        " 0.15)",
        metavar="THZ",
    )


def check(settings: PhononSettings, atoms: Atoms) -> None:
    """Refuse a damping that is none; `polar` refuses one without charges.

    Raises:
        InputError: naming it.
    """
    from ...phonons.polar.infrared import checked_damping

    if settings.infrared_damping is not None:
        checked_damping(settings.infrared_damping)


def compute(context: Context) -> InfraredPart | None:
    """Strengths of modes and the dielectric function; None without charges."""
    from ...base.drawing import formula_in_mathtext
    from ...phonons.polar import PolarCalculator
    from ...phonons.polar.infrared import DAMPING, get_infrared_response
    from ...phonons.supercell.constants import crystal_atoms
    from ...phonons.symmetry.irreps import find_irreps
    from ...structures.formulas import crystal_formula

    settings, phonopy = context.settings, context.phonopy
    calc: Any = context.calc
    if not isinstance(calc, PolarCalculator):
        return None
    irreps = find_irreps(phonopy, noise_thz=context.noise_thz)
    damping = DAMPING if settings.infrared_damping is None else settings.infrared_damping
    response = get_infrared_response(calc, phonopy.primitive, damping, [entry.modes for entry in irreps.sets])
    labels = {entry.modes: entry.label for entry in irreps.sets}
    title = f"{formula_in_mathtext(crystal_formula(crystal_atoms(phonopy.primitive)))}, charges of {calc.charges_from}"
    return InfraredPart(response, tuple(labels[mode.modes] for mode in response.modes), settings.unit, title)


@dataclass(frozen=True)
class InfraredPart:
    """The response, Mulliken symbols of its modes, the `unit` of printed frequencies, and the picture's title."""

    response: InfraredResponse
    labels: tuple[str | None, ...]
    unit: str = "THz"
    title: str = ""

    def files(self) -> tuple[str, ...]:
        """Names of the files that `write` writes."""
        return OWN_FILES

    def summary(self) -> Summary:
        """What the section adds to summary.json."""
        response, static = self.response, self.response.static
        return {
            "infrared": {
                "axes": response.axes.tolist(),
                "static_dielectric_tensor": None if static is None else static.tolist(),
                "damping_thz": response.damping_thz,
                "modes": [
                    {
                        "modes": list(mode.modes),
                        "frequency_thz": mode.frequency_thz,
                        "label": label,
                        "oscillator_strength_e2_amu": mode.strength.tolist(),
                    }
                    for mode, label in zip(response.modes, self.labels, strict=True)
                ],
            }
        }

    def describe(self, text: Report) -> None:
        """The static tensor, and a row for each mode that light moves."""
        from ..words import frequency

        response, static = self.response, self.response.static
        text.group(f"infrared light ({FREQUENCY_UNITS[self.unit][1]}; oscillator strengths along x, y, z in e²/amu)")
        for mode, label in zip(response.modes, self.labels, strict=True):
            strengths = "  ".join(f"{x:.4f}" for x in mode.strength.diagonal())
            many = f" ({len(mode.modes)})" if len(mode.modes) > 1 else ""
            text.row(f"{label or '?'} {frequency(mode.frequency_thz, self.unit)}{many}", strengths)
        if static is None:
            text.row("static ε", "none: a polar mode is imaginary, and the crystal polarizes by itself", doubt=True)
        else:
            text.row("static ε", f"{_on_diagonal(static)} on its diagonal, with clamped cell")

    def write(self, folder: Path) -> None:
        """Write infrared.yaml, the dielectric function, and its picture."""
        from ...base.drawing import save_figure
        from ...phonons.polar.infrared import draw_infrared, write_dielectric_function, write_infrared

        write_infrared(self.response, folder / OWN_FILES[0], self.labels)
        write_dielectric_function(self.response, folder / OWN_FILES[1])
        # Spectra are in 1/cm wherever no other unit is asked for.
        figure = draw_infrared(self.response, self.title, "cm-1" if self.unit == "THz" else self.unit)
        save_figure(figure, folder / STEM, dpi=200)


def _on_diagonal(tensor: NDArray) -> str:
    return ", ".join(f"{x:.3f}" for x in tensor.diagonal())


SECTION = Section(check, compute, own_files=OWN_FILES, needs_exact=True)
