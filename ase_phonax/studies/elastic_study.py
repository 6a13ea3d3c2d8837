"""Elastic constants of a crystal at rest: what `ase-phonax elastic` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import volume_study
from .crystal import with_plain_results
from .crystal_study import CrystalStudy
from .elastic_settings import ElasticSettings
from .output import write_summary
from .report import Report
from .settings import VolumeSettings
from .study import Run, describe_end, run_study
from .summary_units import Summary

if TYPE_CHECKING:
    from ase import Atoms

    from ..calculator import PhonaxCalculator
    from ..phonons.elastic import ElasticConstants
    from .crystal import Crystal
    from .watch import Watch

FILES = ("summary.json", "relaxed.extxyz", "elastic.png", "elastic.pdf")
DIRECTIONS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1))  # Cartesian, of the sound that is listed
_NAMES = ("xx", "yy", "zz", "yz", "xz", "xy")


def elastic_study(
    atoms: Atoms, calc: PhonaxCalculator, settings: ElasticSettings | None = None, watch: Watch | None = None
) -> ElasticStudy:
    """All that `ase-phonax elastic` computes, in one call.

    Args:
        atoms: a crystal; not changed.
        calc: a `PhonaxCalculator`; or any other ASE calculator with stress, by differences.
        settings: those of `ase-phonax elastic`; the defaults unless given.
        watch: is told of sections and progress.

    Raises:
        StructureError: what is no crystal, is not at rest, or unstable at Gamma.
        RelaxationError: the crystal does not come to rest.
    """
    from ..phonons.finite_differences import crystal_calculator

    return run_study(prepare, compute, atoms, crystal_calculator(calc), ElasticSettings.checked(settings), watch)


def prepare(
    atoms: Atoms, settings: ElasticSettings, cutoff: Callable[[], float], name: str = "the structure"
) -> Crystal:
    """The crystal, primitive unless told otherwise.

    Raises:
        StructureError: not a crystal, or a layer with vacuum.
    """
    same = VolumeSettings(keep_cell=settings.keep_cell, symprec=settings.symprec)
    return volume_study.prepare(atoms, same, cutoff, name)


def compute(crystal: Crystal, run: Run[ElasticSettings]) -> ElasticStudy:
    """What is asked of a crystal that was prepared."""
    from ..phonons.elastic import elastic_constants
    from ..structures.relaxation import relax, report_unrelaxed

    with run.watch.section("relaxation"), run.watch.progress("relaxation") as progress:
        if run.settings.no_relax:
            atoms, report = report_unrelaxed(crystal.atoms, run.calc, run.settings.symprec)
        else:
            atoms, report = relax(
                crystal.atoms,
                run.calc,
                symprec=run.settings.symprec,
                callback=lambda step, force, stress: progress(step, 0),
            )
    with run.watch.section("elastic constants"), run.watch.progress("elastic constants"):
        constants = elastic_constants(atoms, run.calc)
    return ElasticStudy(
        **run.facts(), crystal=crystal, atoms=with_plain_results(atoms), relaxation=report, constants=constants
    )


@dataclass(frozen=True)
class ElasticStudy(CrystalStudy):
    """Results of `elastic_study`.

    Attributes:
        settings: what was asked for.
        constants: elastic constants, and what follows from them.
    """

    OWN_FILES = FILES

    settings: ElasticSettings
    constants: ElasticConstants

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        return FILES

    def to_dict(self) -> Summary:
        """The contents of summary.json: built-in types only."""
        found = self.constants
        velocities, _ = found.sound_waves(np.array(DIRECTIONS, float))
        summary: Summary = {
            "stress_GPa": found.stress.tolist(),
            "density_kg_m3": found.density,
            "elastic_constants_GPa": found.relaxed_ion.tolist(),
            "clamped_ion_GPa": found.clamped_ion.tolist(),
            "voigt_order": list(_NAMES),
            "stiffness_eigenvalues_GPa": found.eigenvalues.tolist(),
            "stable": found.is_stable,
            **self._of_aggregates(),
            "sound": [
                {"direction": list(direction), "velocities_m_s": [None if np.isnan(v) else float(v) for v in own]}
                for direction, own in zip(DIRECTIONS, velocities, strict=True)
            ],
        }
        return self.summary_with(summary)

    def _of_aggregates(self) -> Summary:
        """Moduli of a polycrystal and what sound says of heat; empty where the crystal gives way."""
        found = self.constants
        if not found.is_stable:
            return {}
        return {
            "bulk_modulus_vrh_GPa": found.hill.bulk,
            "shear_modulus_vrh_GPa": found.hill.shear,
            "bulk_modulus_voigt_GPa": found.voigt.bulk,
            "bulk_modulus_reuss_GPa": found.reuss.bulk,
            "shear_modulus_voigt_GPa": found.voigt.shear,
            "shear_modulus_reuss_GPa": found.reuss.shear,
            "young_modulus_vrh_GPa": found.hill.young,
            "poisson_ratio": found.hill.poisson,
            "universal_anisotropy": found.universal_anisotropy,
            "mean_velocity_m_s": found.mean_velocity,
            "debye_temperature_K": found.debye_temperature,
        }

    def report(self, folder: Path | None = None) -> Report:
        """The results as a table for people."""
        found = self.constants
        text = self.begun_report()
        text.row("density", f"{found.density:.0f} kg/m³")
        for name, matrix in (("", found.relaxed_ion), (", atoms held", found.clamped_ion)):
            text.group(f"elastic constants{name} (GPa), in the axes of relaxed.extxyz")
            rows = [[_NAMES[k], *(f"{x:.1f}" if abs(x) > 0.05 else "0" for x in row)] for k, row in enumerate(matrix)]
            text.columns(["", *_NAMES], rows, left=(0,))
        text.group("what follows")
        if not found.is_stable:
            text.row(
                "stability",
                f"UNSTABLE: the least eigenvalue is {found.eigenvalues[0]:.3g} GPa (shear counts twice)",
                doubt=True,
            )
        else:
            self._describe_stable(text)
        describe_end(text, self, folder)
        return text

    def _describe_stable(self, text: Report) -> None:
        found = self.constants
        upper, lower, mean = found.voigt, found.reuss, found.hill
        text.row(
            "stability",
            f"every strain costs energy: the least eigenvalue is {found.eigenvalues[0]:.1f} GPa (shear counts twice)",
        )
        text.row("bulk modulus", f"{mean.bulk:.1f} GPa (Reuss {lower.bulk:.1f}, Voigt {upper.bulk:.1f})")
        text.row("shear modulus", f"{mean.shear:.1f} GPa (Reuss {lower.shear:.1f}, Voigt {upper.shear:.1f})")
        text.row("Young, Poisson", f"{mean.young:.1f} GPa, {mean.poisson:.3f}")
        text.row("anisotropy", f"{found.universal_anisotropy:.3f}, 0 where all directions are alike")
        text.row("sound", f"{found.mean_velocity:.0f} m/s on average, as Debye's law takes it")
        text.row("Debye temperature", f"{found.debye_temperature:.0f} K, of sound")

    def write_into(self, folder: Path) -> None:
        """Write all files into an existing folder."""
        from ase.io import write

        from ..base.drawing import save_figure
        from ..phonons.elastic.pictures import draw_elastic

        save_figure(draw_elastic(self.constants, self.title), folder / "elastic")
        write(folder / "relaxed.extxyz", self.atoms, format="extxyz")
        write_summary(self.to_dict(), folder)


STUDY = ElasticStudy
