"""Thermal expansion in all directions: what `ase-phonax expansion` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import volume_study
from .crystal import find_supercell, refuse_large_mesh, with_plain_results
from .crystal_study import CrystalStudy
from .expansion_settings import ExpansionSettings
from .model_facts import EXACT
from .output import write_summary
from .report import Report
from .settings import VolumeSettings
from .study import Run, describe_end, run_study
from .summary_units import Summary
from .supercell_error import describe_supercell_error, supercell_error
from .words import matrix_in_words, vector_in_words

if TYPE_CHECKING:
    from ase import Atoms
    from phonopy import Phonopy

    from ..calculator import PhonaxCalculator
    from ..phonons.volumes import AnisotropicExpansion
    from .crystal import Crystal
    from .watch import Watch

FILES = ("summary.json", "relaxed.extxyz", "cells.extxyz", "expansion.png", "expansion.pdf")
# Forces [eV/Å] and stresses [eV]: what heat does is compared with this; single precision has its noise, and
# calculators of others may have some of it.
_LIMITS = {"float64": (1e-5, 1e-6), "float32": (1e-3, 1e-4)}
_OF_OTHERS = (1e-4, 1e-5)


def expansion_study(
    atoms: Atoms, calc: PhonaxCalculator, settings: ExpansionSettings | None = None, watch: Watch | None = None
) -> ExpansionStudy:
    """All that `ase-phonax expansion` computes, in one call.

    Args:
        atoms: a crystal; not changed.
        calc: a `PhonaxCalculator`; or any other ASE calculator with stress, by displacements.
        settings: those of `ase-phonax expansion`; the defaults unless given.
        watch: is told of sections and progress.

    Raises:
        StructureError: what is no crystal, or unstable on the way.
        RelaxationError: the crystal does not come to rest.
    """
    from ..phonons.finite_differences import crystal_calculator

    return run_study(prepare, compute, atoms, crystal_calculator(calc), ExpansionSettings.checked(settings), watch)


def prepare(
    atoms: Atoms, settings: ExpansionSettings, cutoff: Callable[[], float], name: str = "the structure"
) -> Crystal:
    """The crystal, primitive unless told otherwise.

    Raises:
        StructureError: not a crystal, or a layer with vacuum.
    """
    same = VolumeSettings(
        keep_cell=settings.keep_cell,
        symprec=settings.symprec,
        supercell=settings.supercell,
        min_length=settings.min_length,
    )
    crystal = volume_study.prepare(atoms, same, cutoff, name)
    refuse_large_mesh(crystal, settings.mesh_length)
    return crystal


def compute(crystal: Crystal, run: Run[ExpansionSettings]) -> ExpansionStudy:
    """What is asked of a crystal that was prepared."""
    from ..phonons.supercell.objects import get_phonopy
    from ..phonons.volumes import get_anisotropic_expansion
    from ..structures.relaxation import relax

    settings, watch = run.settings, run.watch
    fmax, smax = _LIMITS.get(run.dtype, _OF_OTHERS)
    with watch.section("relaxation"), watch.progress("relaxation") as progress:
        atoms, report = relax(
            crystal.atoms,
            run.calc,
            symprec=settings.symprec,
            callback=lambda step, force, stress: progress(step, 0),
            fmax=fmax,
            smax=smax,
        )
    with watch.section("supercell"):
        matrix, _ = find_supercell(crystal, atoms, run)
        phonopy = get_phonopy(atoms, run.calc, matrix, symprec=settings.symprec)
        refuse_unstable(phonopy, run.calc)
        supercell = supercell_error(run.calc, phonopy, settings.tolerance)
    with watch.section("expansion"), watch.progress("strained crystals") as progress:
        found = get_anisotropic_expansion(
            atoms,
            run.calc,
            matrix,
            settings.max_temperature,
            mesh_length=settings.mesh_length,
            symprec=settings.symprec,
            progress=progress,
        )
    return ExpansionStudy(
        **run.facts(),
        crystal=crystal,
        atoms=with_plain_results(atoms),
        relaxation=report,
        matrix=matrix,
        supercell=supercell,
        expansion=found,
    )


def refuse_unstable(phonopy: Phonopy, calc: Any) -> None:
    """Refuse a crystal with imaginary modes, on a mesh or along its band path, before it is strained.

    Raises:
        StructureError: they are there, also by exact D(q) where these are known.
    """
    from ..base.errors import StructureError
    from ..phonons.bands.structure import get_band_structure
    from ..phonons.calculators import knows_matrices
    from ..phonons.sampling.meshes import IMAGINARY_THRESHOLD_THZ, get_mesh
    from ..phonons.sampling.stability import exact_minimum, get_frequency_range
    from ..phonons.volumes.points import STABILITY_MESH_LENGTH

    get_band_structure(phonopy)
    get_mesh(phonopy, STABILITY_MESH_LENGTH)
    found = get_frequency_range(phonopy)
    if not found.imaginary:
        return
    lowest, where = found.minimum_thz, found.minimum_qpoint
    if knows_matrices(calc):
        lowest, where = exact_minimum(phonopy, calc)
    if lowest < -IMAGINARY_THRESHOLD_THZ:
        raise StructureError(
            f"the crystal has imaginary modes, down to {lowest:.2f} THz at q = {vector_in_words(where.tolist())}",
            "it is no crystal at rest, and its free energy in the quasi-harmonic approximation does not exist",
            "look at its phonons (`ase-phonax phonons`), and follow the modes to a stable crystal",
        )


@dataclass(frozen=True)
class ExpansionStudy(CrystalStudy):
    """Results of `expansion_study`.

    Attributes:
        settings: what was asked for.
        matrix: (3, 3) supercell of force constants.
        supercell: its error for the crystal at rest, by names.
        expansion: cells and their change by temperature.
    """

    OWN_FILES = FILES

    settings: ExpansionSettings
    matrix: np.ndarray
    supercell: Summary
    expansion: AnisotropicExpansion

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        return FILES

    def to_dict(self) -> Summary:
        """The contents of summary.json: built-in types only."""
        found = self.expansion
        summary: Summary = {
            "supercell_matrix": self.matrix.tolist(),
            **self.supercell,
            "n_strains": found.n_evaluations,
            "temperatures_K": found.temperatures.tolist(),
            "lattice_lengths_angstrom": np.linalg.norm(found.cells, axis=2).tolist(),
            "volumes_angstrom3": found.volumes.tolist(),
            "expansion_tensors_per_k": found.expansion.tolist(),
            "free_energies_eV": found.free_energies.tolist(),
        }
        return self.summary_with(summary)

    def report(self, folder: Path | None = None) -> Report:
        """The results as a table for people."""
        from ..phonons.elastic.moduli import VOIGT

        found = self.expansion
        text = self.begun_report()
        n_atoms = len(self.atoms) * round(abs(np.linalg.det(self.matrix)))
        text.row("supercell", f"{matrix_in_words(self.matrix.tolist())}, {n_atoms} atoms, at every strain")
        describe_supercell_error(text, self.supercell, found.highest_thz)
        slopes = "exact slopes" if self.model["second_derivatives"] == EXACT else "slopes, by differences,"
        text.row("phonons", f"of {found.n_evaluations} strained crystals, with {slopes} of free energies")
        text.group("thermal expansion (1e-6/K) and the primitive cell")
        lengths = np.linalg.norm(found.cells, axis=2)
        rows = [
            [
                f"{found.temperatures[k]:.0f}",
                *(f"{round(1e6 * found.expansion[k][i, j], 2) + 0.0:.2f}" for i, j in VOIGT),
                *(f"{x:.5f}" for x in lengths[k]),
                f"{found.volumes[k]:.4f}",
            ]
            for k in self._shown()
        ]
        text.columns(["K", "xx", "yy", "zz", "yz", "xz", "xy", "a Å", "b Å", "c Å", "Å³"], rows)
        describe_end(text, self, folder)
        return text

    def _shown(self) -> list[int]:
        """Which temperatures the table has: round ones, 300 K and the last among them."""
        temperatures = self.expansion.temperatures
        apart = next(x for x in (1, 5, 10, 25, 50, 100, 250, 500, np.inf) if temperatures[-1] <= 12 * x)
        return [
            k for k, t in enumerate(temperatures) if t % apart == 0 or t in (300.0, temperatures[-1]) or apart == np.inf
        ]

    def write_into(self, folder: Path) -> None:
        """Write all files into an existing folder."""
        from ase.io import write

        from ..base.drawing import save_figure
        from ..phonons.volumes.pictures import draw_expansion

        save_figure(draw_expansion(self.expansion, self.title), folder / "expansion")
        write(folder / "relaxed.extxyz", self.atoms, format="extxyz")
        frames = []
        found = self.expansion
        for temperature, cell, places in zip(found.temperatures, found.cells, found.scaled_positions, strict=True):
            frame = self.atoms.copy()
            frame.calc = None
            frame.set_cell(cell)
            frame.set_scaled_positions(places)
            frame.info["temperature_K"] = float(temperature)
            frames.append(frame)
        write(folder / "cells.extxyz", frames, format="extxyz")
        write_summary(self.to_dict(), folder)


STUDY = ExpansionStudy
