"""The lattice thermal conductivity of a crystal: what `ase-phonax conductivity` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import StructureError
from . import charges
from .conductivity_files import FIRST_FILES, YAML, kappa_file, write_files
from .conductivity_settings import ConductivitySettings
from .crystal import find_crystal, find_supercell, refuse_enormous, relaxed, with_plain_results
from .crystal_study import CrystalStudy
from .output import write_summary
from .report import Report
from .study import Run, describe_end, run_study
from .summary_units import Summary
from .supercell_error import compared_with, describe_supercell_error, supercell_error
from .words import matrix_in_words

if TYPE_CHECKING:
    from ase import Atoms
    from phono3py import Phono3py

    from ..calculator import PhonaxCalculator
    from ..phonons.anharmonic import ThermalConductivity, ThirdOrderChoice
    from .crystal import Crystal
    from .watch import Watch

_PICTURES = ("conductivity.png", "conductivity.pdf")
_NOTHING_ALIKE = 0.9  # of the constants of a supercell that its comparison lacks
_METHODS = {"rta": "relaxation times", "lbte": "linearised equation of transport", "wigner": "Wigner's transport"}


def conductivity_study(
    atoms: Atoms, calc: PhonaxCalculator, settings: ConductivitySettings | None = None, watch: Watch | None = None
) -> ConductivityStudy:
    """All that `ase-phonax conductivity` computes, in one call.

    The crystal is relaxed, the supercells of second- and third-order constants are chosen by their errors, the mesh by
    convergence; constants are exact ones, or by displacements, and phono3py solves for the conductivity.

    Args:
        atoms: a crystal; not changed.
        calc: a `PhonaxCalculator`; or any other ASE calculator, by displacements.
        settings: those of `ase-phonax conductivity`; the defaults unless given.
        watch: is told of sections and progress.

    Raises:
        InputError: phono3py is not installed.
        StructureError: what is no crystal, or unstable.
        RelaxationError: the crystal does not come to rest.
    """
    from ..phonons.finite_differences import crystal_calculator

    settings = ConductivitySettings.checked(settings)
    return run_study(prepare, compute, atoms, crystal_calculator(calc), settings, watch)


def prepare(
    atoms: Atoms, settings: ConductivitySettings, cutoff: Callable[[], float], name: str = "the structure"
) -> Crystal:
    """The crystal, primitive unless told otherwise.

    Raises:
        InputError: phono3py is not installed.
        StructureError: not a crystal, or a layer with vacuum.
    """
    from ..phonons.anharmonic.conductivity import checked_conductivity_mesh
    from ..phonons.anharmonic.objects import phono3py_class, refuse_mixed_masses
    from ..structures.space_groups import get_operations
    from ..structures.supercells import as_supercell_matrix

    phono3py_class()
    why_filled = "conductivities are per area of a cross-section, and that of the cell is mostly vacuum"
    crystal = find_crystal(atoms, settings, cutoff, name, why_filled)
    refuse_mixed_masses(crystal.atoms.get_chemical_symbols(), crystal.atoms.get_masses())
    if settings.mesh is not None:
        rotations = get_operations(crystal.atoms, settings.symprec)[0]
        checked_conductivity_mesh(settings.mesh, len(crystal.atoms), rotations)
    if settings.third_supercell is not None:
        refuse_enormous(len(crystal.atoms), as_supercell_matrix(list(settings.third_supercell)), "third_tolerance")
    charges.usable(settings, crystal.atoms)
    return crystal


def compute(crystal: Crystal, run: Run[ConductivitySettings]) -> ConductivityStudy:
    """What is asked of a crystal that was prepared."""
    from ..phonons.anharmonic import choose_third_order_supercell, get_thermal_conductivity
    from ..phonons.anharmonic.choice import stated_third_order_supercell
    from ..phonons.anharmonic.objects import phono3py_with
    from ..structures.supercells import as_supercell_matrix

    settings, watch = run.settings, run.watch
    with watch.section("relaxation"):
        atoms, relaxation = relaxed(crystal, run)
    calc, because = charges.with_charges(run.calc, atoms, settings)
    run = replace(run, calc=calc)
    with watch.section("supercell"):
        second, _ = find_supercell(crystal, atoms, run)
        supercell = _supercell_of_modes(atoms, run, second)
    with watch.section("third_order"), watch.progress("third-order constants") as progress:
        tolerance = settings.third_tolerance
        if settings.third_supercell is None:
            choice = choose_third_order_supercell(atoms, calc, tolerance, settings.third_max_atoms, progress, run.keep)
        else:
            stated = as_supercell_matrix(list(settings.third_supercell))
            choice = stated_third_order_supercell(atoms, calc, stated, tolerance, progress, run.keep)
        phono3py = phono3py_with(choice.constants, atoms, calc, choice.matrix, second, symprec=settings.symprec)
    with watch.section("conductivity"), watch.progress("conductivity") as progress:
        found = get_thermal_conductivity(
            phono3py,
            settings.mesh,
            settings.temperatures_k,
            method=settings.method,
            isotopes=not settings.no_isotopes,
            boundary_um=settings.boundary,
            tolerance=settings.mesh_tolerance,
            progress=lambda what: progress.under(f"conductivity, {what}"),
            keep=run.keep,
        )
    return ConductivityStudy(
        **run.facts(),
        crystal=crystal,
        atoms=with_plain_results(atoms),
        relaxation=relaxation,
        supercell=supercell,
        charges_because=_charges_in_words(because, phono3py.nac_params is not None),
        choice=choice,
        phono3py=phono3py,
        conductivity=found,
    )


def _charges_in_words(because: str, there: bool) -> str:
    if there and because == charges.GIVEN:
        return because
    return f"predicted ({because})" if there else f"none ({because})"


def _supercell_of_modes(atoms: Atoms, run: Run[ConductivitySettings], matrix: np.ndarray) -> Summary:
    """The error of the supercell of second order.

    Raises:
        StructureError: imaginary modes, before third-order constants are computed for nothing.
    """
    from ..phonons.anharmonic.solution import no_heat_without_modes
    from ..phonons.calculators import knows_matrices
    from ..phonons.sampling.meshes import IMAGINARY_THRESHOLD_THZ, get_mesh
    from ..phonons.sampling.stability import exact_minimum, get_frequency_range
    from ..phonons.supercell.objects import get_phonopy

    phonopy = get_phonopy(atoms, run.calc, matrix, symprec=run.settings.symprec)
    get_mesh(phonopy, 30.0)
    found = get_frequency_range(phonopy)
    if not found.imaginary:
        return supercell_error(run.calc, phonopy, run.settings.tolerance)
    if not knows_matrices(run.calc):
        raise no_heat_without_modes(found.minimum_thz, "in the supercell of second order")
    lowest, _ = exact_minimum(phonopy, run.calc)
    if lowest < -IMAGINARY_THRESHOLD_THZ:
        raise no_heat_without_modes(lowest, "by exact D(q)")
    raise StructureError(
        f"interpolated modes are imaginary, down to {found.minimum_thz:.2f} THz, where exact ones are real",
        "phono3py interpolates, and would meet modes that the crystal does not have",
        "take a larger supercell of second order (`supercell`), or a smaller `tolerance`",
    )


@dataclass(frozen=True)
class ConductivityStudy(CrystalStudy):
    """Results of `conductivity_study`.

    Attributes:
        settings: what was asked for.
        supercell: error of that of second order, by names.
        charges_because: which charges harmonic phonons know, and why.
        choice: of the supercell of third order, with its error; also of one that was stated.
        phono3py: with constants of both orders.
        conductivity: what phono3py found.
    """

    OWN_FILES = ("summary.json", "relaxed.extxyz", YAML, *_PICTURES, *FIRST_FILES, "kappa-m*.hdf5")

    settings: ConductivitySettings
    supercell: Summary
    charges_because: str
    choice: ThirdOrderChoice
    phono3py: Phono3py
    conductivity: ThermalConductivity

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        kappa = kappa_file(self.conductivity.mesh)
        return ("summary.json", "relaxed.extxyz", YAML, *_PICTURES, *FIRST_FILES, kappa)

    def to_dict(self) -> Summary:
        """The contents of summary.json: built-in types only."""
        found, choice = self.conductivity, self.choice
        summary: Summary = {
            "charges": self.charges_because,
            "supercell_matrix": self.phono3py.phonon_supercell_matrix.tolist(),
            **self.supercell,
            "third_order_supercell_matrix": self.phono3py.supercell_matrix.tolist(),
            "n_atoms_third_order": len(self.phono3py.supercell),
            "third_order_error": choice.error if np.isfinite(choice.error) else None,
            "third_order_error_against": compared_with(choice.against, "exact derivatives"),
            "third_order_noise": choice.noise,
            "third_order_tolerance": choice.tolerance,
            "third_order_reached_tolerance": choice.reached,
            "third_order_tried": [{"n_atoms": n, "third_order_error": error} for _, n, error in choice.tried],
            "method": found.method,
            "isotopes": found.isotopes,
            "boundary_um": found.boundary_um,
            "mesh": list(found.mesh),
            "mesh_settled": found.settled,
            "n_qpoints_resumed": found.n_kept,
            "conductivity_convergence": [
                {"mesh": list(step.numbers), "kappa_W_mK": step.kappa} for step in found.convergence
            ],
            "kappa_300K_W_mK": found.at(300.0).tolist(),
            "temperatures_K": found.temperatures.tolist(),
            "kappa_W_mK": found.kappa.tolist(),
        }
        if found.coherence is not None:
            summary["kappa_coherence_W_mK"] = found.coherence.tolist()
        return self.summary_with(summary)

    def report(self, folder: Path | None = None) -> Report:
        """The results as a table for people."""
        from ..phonons.elastic.moduli import VOIGT

        found = self.conductivity
        text = self.begun_report()
        text.row("Born charges", self.charges_because)
        phono3py = self.phono3py
        for name, matrix, cell in (
            ("second order", phono3py.phonon_supercell_matrix, phono3py.phonon_supercell),
            ("third order", phono3py.supercell_matrix, phono3py.supercell),
        ):
            text.row(name, f"{matrix_in_words(matrix.tolist())}, {len(cell)} atoms")
        describe_supercell_error(text, self.supercell, float(found.frequencies.max()), "second-order error")
        text.row("third-order error", self._choice_in_words(), doubt=not self.choice.reached)
        if (noise := self.choice.noise) is not None:
            words = f"{100 * noise:.2g} % RMS is what steps twice as long change"
            text.row("third-order noise", words, doubt=noise > self.choice.tolerance)
        text.group(f"thermal conductivity of the lattice (W/m/K), {_METHODS[found.method]}")
        isotopes = "natural isotopes scatter" if found.isotopes else "isotopes do not scatter"
        edge = "" if found.boundary_um is None else f", boundaries at {found.boundary_um:g} µm"
        as_stated = "" if found.convergence else ", as asked: whether it has settled is not known"
        text.row("mesh", f"{'x'.join(map(str, found.mesh))}{as_stated}; {isotopes}{edge}")
        if found.n_kept:
            text.row("resumed", f"{found.n_kept} wave vectors are those of a run that was interrupted")
        if found.convergence:
            steps = ", ".join(f"{'x'.join(map(str, s.numbers))} {s.kappa:.4g}" for s in found.convergence)
            text.row("its series", f"{steps} at 300 K", doubt=not found.settled)
        rows = [
            [f"{t:g}", *(f"{own[i, j]:.4g}" for i, j in VOIGT)]
            for t, own in zip(found.temperatures, np.where(abs(found.kappa) < 1e-6, 0, found.kappa), strict=True)
        ]
        text.columns(["K", "xx", "yy", "zz", "yz", "xz", "xy"], rows)
        if found.coherence is not None:
            k = int(np.abs(found.temperatures - 300.0).argmin())
            words = ", ".join(f"{found.coherence[k][i, i]:.3g}" for i in range(3))
            text.row("between bands", f"{words} of xx, yy, zz at 300 K")
        describe_end(text, self, folder)
        return text

    def _choice_in_words(self) -> str:
        choice = self.choice
        if not np.isfinite(choice.error):
            return "not known: there is no smaller supercell to compare with"
        if choice.against and choice.error > _NOTHING_ALIKE:
            return f"not known: a supercell of {choice.against} atoms, the next smaller one, has none of these"
        others = [f"{100 * error:.2g} % with {n}" for _, n, error in choice.tried if n < choice.n_atoms]
        tried = f" ({', '.join(others[-2:])})" if others else ""
        against = f", against {compared_with(choice.against)}" if choice.against else ""
        words = f"{100 * choice.error:.2g} % RMS between its wave vectors{against}{tried}"
        if choice.reached:
            return words
        why = "the largest allowed" if self.settings.third_supercell is None else "as asked"
        more = " (`third_max_atoms`)" if self.settings.third_supercell is None else ""
        return f"{words}: {why}, it misses the {100 * choice.tolerance:g} % wanted{more}"

    def write_into(self, folder: Path) -> None:
        """Write all files into an existing folder."""
        from ase.io import write

        from ..base.drawing import save_figure
        from ..phonons.anharmonic.pictures import draw_conductivity

        save_figure(draw_conductivity(self.conductivity, self.title), folder / "conductivity")
        write(folder / "relaxed.extxyz", self.atoms, format="extxyz")
        write_files(folder, self.phono3py, self.conductivity)
        write_summary(self.to_dict(), folder)


STUDY = ConductivityStudy
