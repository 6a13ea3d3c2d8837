"""What a spectrometer will see of a molecule, of models that know its dipole or its polarizability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import InputError
from .molecule_settings import SpectraSettings
from .options import options_of
from .summary_units import Summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..calculator import PhonaxCalculator
    from ..molecules.intensities import Intensities
    from ..molecules.normal_modes import NormalModes
    from ..molecules.spectra import Spectrum
    from .molecule_settings import MoleculeSettings
    from .watch import Watch

_PICTURES = ("spectra.png", "spectra.pdf")
OWN_FILES = (*_PICTURES, "infrared.csv", "infrared.jdx", "raman.csv", "raman.jdx")


def measured_spectra(settings: MoleculeSettings, calc: PhonaxCalculator) -> tuple[Spectrum, ...]:
    """The measured spectra that the settings name, read before anything long is computed.

    Raises:
        InputError: a file that cannot be read; settings of spectra that the model does not give.
    """
    from ..models.fields import DIPOLE, POLARIZABILITY, has_output
    from ..molecules.intensities import gives_intensities
    from ..molecules.spectra import INFRARED, RAMAN
    from ..molecules.spectrum_files import read_spectrum

    files = ((INFRARED, DIPOLE, settings.measured_infrared), (RAMAN, POLARIZABILITY, settings.measured_raman))
    if not gives_intensities(calc):
        stated = [f.name for f, _ in options_of(SpectraSettings) if getattr(settings, f.name) != f.default]
        if stated:
            raise _without("dipole nor a polarizability", stated, calc)
        return ()
    for kind, output, path in files:
        if path is not None and not has_output(calc.potential, output):
            raise _without(output.name, [f"measured_{kind.lower()}"], calc)
    return tuple(read_spectrum(path, kind) for kind, _, path in files if path is not None)


def _without(output: str, names: Sequence[str], calc: PhonaxCalculator) -> InputError:
    named = ", ".join(f"`{name}`" for name in names)
    return InputError(
        f"{named} {'is' if len(names) == 1 else 'are'} about spectra, and the model {calc.potential.name!r} gives"
        f" {'neither a ' if ' nor ' in output else 'no '}{output}",
        "intensities are derivatives of these; without them it is known where lines are allowed, not how strong",
        "leave out what is about spectra, or take a model with these outputs: `calc.potential.outputs` lists them",
        on_command_line="leave out what is about spectra, or train a model with these outputs (docs/training.md)",
    )


def intensities_of(modes: NormalModes, calc: PhonaxCalculator, watch: Watch) -> Intensities | None:
    """Infrared and Raman intensities; None where the model gives neither dipole nor polarizability."""
    from ..molecules.intensities import gives_intensities, vibrational_intensities

    if not gives_intensities(calc):
        return None
    with watch.section("intensities"), watch.progress("intensities"):
        return vibrational_intensities(modes, calc)


def broadened(intensities: Intensities, settings: SpectraSettings, temperature: float) -> tuple[Spectrum, ...]:
    """Infrared and Raman spectrum of a molecule, those of them that its model gives."""
    from ..molecules.spectra import infrared_spectrum, raman_spectrum

    shape, width, scale = settings.line_shape, settings.line_width, settings.frequency_scale
    spectra = []
    if intensities.infrared is not None:
        spectra.append(
            infrared_spectrum(intensities, line_shape=shape, line_width=width, frequency_scale=scale),
        )
    if intensities.raman is not None:
        spectra.append(
            raman_spectrum(
                intensities,
                line_shape=shape,
                line_width=width,
                frequency_scale=scale,
                laser=settings.laser,
                temperature=temperature,
            )
        )
    return tuple(spectra)


def spectrum_files(intensities: Intensities | None) -> tuple[str, ...]:
    """Names of the files that `write_spectra` writes."""
    if intensities is None or not len(intensities.modes.wavenumbers):
        return ()
    given = (("infrared", intensities.infrared), ("raman", intensities.raman))
    return (*_PICTURES, *(f"{name}.{end}" for name, values in given if values is not None for end in ("csv", "jdx")))


def write_spectra(
    spectra: Sequence[Spectrum],
    measured: Sequence[Spectrum],
    modes: NormalModes,
    model: str,
    summary: Summary,
    folder: Path,
) -> None:
    """Write curves as tables, as JCAMP-DX and as a picture."""
    from .. import __version__
    from ..base.drawing import save_figure
    from ..molecules.pictures import picture_title
    from ..molecules.spectrum_files import write_spectrum
    from ..molecules.spectrum_pictures import draw_spectra
    from ..structures.formulas import molecular_formula

    formula = molecular_formula(modes.atoms)
    for spectrum in spectra:
        name = spectrum.kind.lower()
        lines = f"{summary['line_shape']} lines of {summary['line_width_cm1']:g} 1/cm (FWHM)"
        scaled = f"harmonic frequencies times {summary['frequency_scale']:g}"
        excited = f"Raman at {summary['laser_nm']:g} nm and {summary['temperature_K']:g} K" if name == "raman" else ""
        title = f"{formula}, {name}, computed by {model}"
        processing = [text for text in (f"ase-phonax {__version__}", scaled, lines, excited) if text]
        for end in ("csv", "jdx"):
            write_spectrum(spectrum, folder / f"{name}.{end}", title, formula, processing)
    save_figure(draw_spectra(spectra, measured, picture_title(modes)), folder / "spectra")


def intensities_summary(intensities: Intensities) -> Summary:
    """What summary.json says of each mode and of the molecule at rest."""
    from ..models.fields import DEBYE

    dipole, polarizability = intensities.dipole, intensities.polarizability
    entries = {
        "dipole_debye": None if dipole is None else (dipole / DEBYE).tolist(),
        "polarizability_A3": None if polarizability is None else polarizability.tolist(),
        "infrared_km_mol": _listed(intensities.infrared),
        "raman_A4_amu": _listed(intensities.raman),
        "depolarization": _listed(intensities.depolarization),
    }
    return {key: value for key, value in entries.items() if value is not None}


def sets_summary(intensities: Intensities, sets: Sequence[Sequence[int]]) -> list[Summary]:
    """Sums over sets of modes, as summary.json has them."""
    keys = {"infrared": "infrared_km_mol", "raman": "raman_A4_amu", "depolarization": "depolarization"}
    sums = {keys[name]: _listed(values) or [] for name, values in intensities.of_sets(sets).items()}
    return [{key: values[k] for key, values in sums.items()} for k in range(len(sets))]


def spectra_summary(
    intensities: Intensities, settings: SpectraSettings, temperature: float, measured: Sequence[Spectrum]
) -> Summary:
    """How lines were broadened, which modes are none, and what was read of measured spectra."""
    from ..molecules.spectra import left_out

    summary: Summary = {
        "line_shape": settings.line_shape,
        "line_width_cm1": settings.line_width,
        "frequency_scale": settings.frequency_scale,
        "laser_nm": settings.laser,
        "temperature_K": temperature,
        "left_out": left_out(intensities.modes),
    }
    files = {"measured_infrared": settings.measured_infrared, "measured_raman": settings.measured_raman}
    summary |= {name: str(path) for name, path in files.items() if path is not None}
    read = {
        f"measured_{spectrum.kind.lower()}_as_read": {
            "lowest_cm1": float(spectrum.wavenumbers[0]),
            "highest_cm1": float(spectrum.wavenumbers[-1]),
            "n_points": len(spectrum.wavenumbers),
            "quantity": spectrum.quantity,
        }
        for spectrum in measured
    }
    return summary | read


def _listed(values: NDArray | None) -> list[float | None] | None:
    """Numbers as JSON has them; null where there is none."""
    return None if values is None else [None if x != x else float(x) for x in values]
