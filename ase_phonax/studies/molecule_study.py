"""A molecule: relaxed, its normal modes with symmetry, its spectra and gas, and what lies beside a saddle point."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import InputError, UnstableWarning
from . import molecule_spectra
from .crystal import with_plain_results
from .molecule_report import molecule_report
from .molecule_settings import MoleculeSettings
from .output import write_summary
from .study import Run, Study, run_study
from .summary_units import Summary, units_of

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from numpy.typing import NDArray

    from ..calculator import PhonaxCalculator
    from ..molecules.intensities import Intensities
    from ..molecules.normal_modes import NormalModes
    from ..molecules.spectra import Spectrum
    from ..molecules.stationary import Side
    from ..molecules.thermochemistry import GasProperties
    from ..structures.relaxation import Callback, RelaxationReport
    from .report import Report
    from .watch import Watch

_ALWAYS = ("summary.json", "vibrations.json", "relaxed.extxyz", "modes.molden")
_STICKS = ("sticks.png", "sticks.pdf")
_RESULTS = ("energy", "forces")  # of a structure in a file


def molecule_study(
    atoms: Atoms, calc: PhonaxCalculator, settings: MoleculeSettings | None = None, watch: Watch | None = None
) -> MoleculeStudy:
    """All that `ase-phonax molecule` computes, in one call.

    The molecule is relaxed until forces are rounding; its Hessian gives normal modes, their irreducible
    representations, infrared and Raman activity, and the thermochemistry of an ideal gas of it. Of models that give a
    dipole or a polarizability there are intensities and spectra as well.

    Args:
        atoms: one molecule, without periodicity; not changed. Its masses and held atoms (`FixAtoms`) count.
        calc: a `PhonaxCalculator`, which several studies may share, in threads as well; or any other ASE calculator,
            by displacements or its own `get_hessian`.
        settings: those of `ase-phonax molecule`; the defaults unless given.
        watch: is told of sections and progress.

    Returns:
        Results as data: `to_dict()` is what summary.json holds, `modes` and `gas` are the objects, `report()` the
        table and `write(folder)` all files. It can be sent from one process to another; the calculator stays behind.

    Raises:
        InputError: settings that make no sense together, or for this molecule.
        StructureError: no molecule, or elements that the model does not know.
        RelaxationError: the molecule does not come to rest, or comes apart.
    """
    from ..phonons.finite_differences import DisplacementCalculator

    asked: Any = calc if hasattr(calc, "get_vibrations") else DisplacementCalculator(calc)
    return run_study(prepare, compute, atoms, asked, MoleculeSettings.checked(settings), watch)


def prepare(
    atoms: Atoms, settings: MoleculeSettings, cutoff: Callable[[], float], name: str = "the structure"
) -> Atoms:
    """The molecule without its box, if it is to be without; atoms and modes that it cannot have are refused.

    Raises:
        InputError: an atom that is not there, or the number of a mode beyond three for each atom.
    """
    from ..structures.checks import check_atoms_given

    check_atoms_given(atoms)
    molecule = atoms.copy()
    if settings.no_cell:
        molecule.set_cell(None)
        molecule.pbc = False
    if settings.atoms is not None and settings.atoms[-1] > len(molecule):
        raise InputError(
            f"`atoms` names atom {settings.atoms[-1]} of {len(molecule)}",
            "there is none to move",
            f"give numbers from 1 to {len(molecule)}",
        )
    n_coordinates = 3 * len(settings.atoms or molecule)
    for mode in (*(settings.animate or ()), *([] if settings.follow is None else [settings.follow])):
        if mode > n_coordinates:
            raise InputError(
                f"there is no mode {mode}",
                f"atoms that move in {n_coordinates} directions have no more vibrations than that",
                f"give numbers up to {n_coordinates}, less those that move or turn the whole molecule",
            )
    return molecule


def compute(molecule: Atoms, run: Run[MoleculeSettings]) -> MoleculeStudy:
    """What is asked of a molecule that was prepared."""
    from ..molecules.mode_files import check_mode
    from ..molecules.stationary import stationary_modes

    settings, calc, watch = run.settings, run.calc, run.watch
    _check(molecule, calc)
    measured = molecule_spectra.measured_spectra(settings, calc)
    with watch.section("modes"), watch.progress("relaxation") as relaxing:
        modes, relaxation = stationary_modes(
            molecule,
            calc,
            relaxed=not settings.no_relax,
            callback=lambda step, force, stress: relaxing(step, 0),
            progress=relaxing.under("Hessian"),
            indices=None if settings.atoms is None else [atom - 1 for atom in settings.atoms],
            tolerance=settings.tolerance,
        )
    for mode in settings.animate or ():
        check_mode(modes, mode)
    sides = None
    if settings.follow is not None:
        with watch.section("following"), watch.progress("following") as following:
            sides = _sides(modes, calc, settings.follow, lambda step, force, stress: following(step, 0))
    intensities = molecule_spectra.intensities_of(modes, calc, watch)
    relaxed = modes.atoms
    relaxed.calc = calc
    gas = _gas(modes, relaxation.energy, settings)
    return MoleculeStudy(
        **run.facts(),
        atoms=with_plain_results(relaxed, _RESULTS),
        modes=modes,
        relaxation=relaxation,
        gas=gas,
        sides=sides,
        intensities=intensities,
        measured=measured,
    )


def _check(molecule: Atoms, calc: PhonaxCalculator) -> None:
    """Refuse what is no single molecule, and warn of an odd number of electrons, before anything is relaxed."""
    from ..molecules.calculators import reach_of
    from ..molecules.normal_modes import check_molecule, refuse_field

    refuse_field(calc)
    check_molecule(molecule, reach_of(calc))
    n_electrons = int(molecule.numbers.sum())
    if n_electrons % 2:
        warnings.warn(
            f"{n_electrons} electrons, an odd number: a radical, or an ion whose charge is not in the file. The model "
            "knows neither spin nor charge; few were trained on such molecules.",
            UnstableWarning,
            stacklevel=2,
        )


def _sides(modes: NormalModes, calc: PhonaxCalculator, mode: int, callback: Callback) -> tuple[Side, Side]:
    """Where the molecule comes to rest on both sides of a saddle point, along one of its imaginary modes."""
    from ..molecules.stationary import follow_imaginary

    plus, minus = follow_imaginary(modes, calc, mode, callback=callback)
    return (
        replace(plus, atoms=with_plain_results(plus.atoms, _RESULTS)),
        replace(minus, atoms=with_plain_results(minus.atoms, _RESULTS)),
    )


def _gas(modes: NormalModes, energy: float, settings: MoleculeSettings) -> GasProperties | None:
    """An ideal gas of the molecule; None where only some of its atoms move, and it has no point group."""
    from ..molecules.thermochemistry import gas_properties

    if modes.point_group is None:
        return None
    return gas_properties(modes, energy, settings.temperature, settings.pressure, settings.spin)


@dataclass(frozen=True)
class MoleculeStudy(Study):
    """Results of `molecule_study`.

    Attributes:
        atoms: the molecule that the modes belong to, with its energy and forces.
        modes: wavenumbers, displacements, point group, sets, and ASE's `VibrationsData`.
        relaxation: what the relaxation did.
        gas: an ideal gas of it; None where only some atoms move.
        sides: where it comes to rest on both sides of a saddle point; None unless that was asked for.
        intensities: infrared and Raman; None where the model gives neither dipole nor polarizability.
        measured: spectra that are drawn beneath.
    """

    OWN_FILES = (*_ALWAYS, *_STICKS, *molecule_spectra.OWN_FILES, "mode_*.extxyz", "follow_*.extxyz")

    settings: MoleculeSettings
    atoms: Atoms
    modes: NormalModes
    relaxation: RelaxationReport
    gas: GasProperties | None
    sides: tuple[Side, Side] | None
    intensities: Intensities | None
    measured: tuple[Spectrum, ...]

    @property
    def infrared_intensities(self) -> NDArray[np.float64] | None:
        """(n_modes,) [km/mol], degenerate modes alike; None where the model gives no dipole."""
        return None if self.intensities is None else self.intensities.infrared

    @property
    def raman_activities(self) -> NDArray[np.float64] | None:
        """(n_modes,) [Å⁴/amu], degenerate modes alike; None where the model gives no polarizability."""
        return None if self.intensities is None else self.intensities.raman

    @property
    def depolarization_ratios(self) -> NDArray[np.float64] | None:
        """(n_modes,) in linearly polarized light, NaN of modes that scatter nothing; None without a polarizability."""
        return None if self.intensities is None else self.intensities.depolarization

    @cached_property
    def spectra(self) -> tuple[Spectrum, ...]:
        """Infrared and Raman spectrum with the line shape of the settings, those of them that the model gives."""
        if self.intensities is None:
            return ()
        return molecule_spectra.broadened(self.intensities, self.settings, self.settings.temperature)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        names = {*_ALWAYS, *self._animations().values(), *self._followed()}
        names.update(molecule_spectra.spectrum_files(self.intensities))
        return tuple(sorted(names | set(_STICKS if self.modes.sets else ())))

    def to_dict(self) -> Summary:
        """The contents of summary.json: built-in types only, units under "units"."""
        from .. import __version__
        from ..molecules.point_groups import find_point_group

        modes, relaxation = self.modes, self.relaxation
        summary: Summary = {
            "version": __version__,
            **self.model,
            "formula": modes.atoms.get_chemical_formula(),
            "n_atoms": len(modes.atoms),
            "relaxed": not self.settings.no_relax,
            "energy": relaxation.energy,
            "max_force": relaxation.max_force,
            "unrelaxed_max_force": relaxation.initial_max_force,
            "held_force": relaxation.held_force,
            "relaxation_steps": relaxation.n_steps,
            "wavenumbers_cm1": modes.wavenumbers.tolist(),
            "imaginary_modes": len(modes.imaginary),
            "imaginary": modes.imaginary,
            "whole_body_motions": len(modes.whole_body_cm1),
            "whole_body_cm1": modes.whole_body_cm1.tolist(),
            "warnings": self.notes,
            "provenance": self.provenance,
            **_symmetry_summary(modes, self.intensities),
            **self._spectra_summary(),
        }
        if self.gas is not None:
            summary["ideal_gas"] = asdict(self.gas)
        if self.sides is not None:
            summary["followed"] = [
                {"energy_from_saddle": side.energy, "point_group": find_point_group(side.atoms).symbol}
                for side in self.sides
            ]
        summary["timings_s"] = self.timings_s
        return summary | {"units": units_of(summary)}

    def report(self, folder: Path | None = None) -> Report:
        """The results as a table for people."""
        return molecule_report(self.to_dict(), self.files, folder)

    def write_into(self, folder: Path) -> None:
        """Write all files into an existing folder."""
        from ase.io import write
        from ase.io.jsonio import write_json

        from ..base.drawing import save_figure
        from ..molecules import mode_files
        from ..molecules.pictures import draw_sticks

        write(folder / "relaxed.extxyz", self.atoms, format="extxyz")
        write_json(folder / "vibrations.json", self.modes.vibrations)
        mode_files.write_molden(self.modes, folder / "modes.molden")
        if self.modes.sets:
            save_figure(draw_sticks(self.modes), folder / "sticks")
        for mode, name in self._animations().items():
            mode_files.write_mode(self.modes, mode, folder / name)
        for name, side in self._followed().items():
            write(folder / name, side.atoms, format="extxyz")
        summary = self.to_dict()
        if molecule_spectra.spectrum_files(self.intensities):
            model = self.model["model"]
            molecule_spectra.write_spectra(self.spectra, self.measured, self.modes, model, summary["spectra"], folder)
        write_summary(summary, folder)

    def _spectra_summary(self) -> Summary:
        """Intensities, and how lines are drawn; nothing where the model gives none."""
        if self.intensities is None:
            return {}
        return {
            **molecule_spectra.intensities_summary(self.intensities),
            "spectra": molecule_spectra.spectra_summary(
                self.intensities, self.settings, self.settings.temperature, self.measured
            ),
        }

    def _animations(self) -> dict[int, str]:
        """Names of the files of animations, by mode."""
        return {mode: f"mode_{mode}.extxyz" for mode in self.settings.animate or ()}

    def _followed(self) -> dict[str, Side]:
        """Sides of the saddle point, by the names of their files."""
        names = (f"follow_{self.settings.follow}_{way}.extxyz" for way in ("plus", "minus"))
        return dict(zip(names, self.sides or (), strict=False))


def _symmetry_summary(modes: NormalModes, intensities: Intensities | None) -> Summary:
    """What the point group says; nothing where only some atoms move."""
    group = modes.point_group
    if group is None:
        return {}
    sums: Sequence[Summary] = [{} for _ in modes.sets]
    if intensities is not None:
        sums = molecule_spectra.sets_summary(intensities, [s.modes for s in modes.sets])
    return {
        "point_group": group.symbol,
        "symmetry_deviation": group.deviation,
        "symmetry_tolerance": group.tolerance,
        "other_point_groups": [{"tolerance": t, "point_group": s} for t, s in group.neighbours],
        "representation": modes.representation,
        "sets": [
            {
                "modes": s.modes,
                "wavenumbers_cm1": s.wavenumbers,
                "label": s.label,
                "infrared": s.infrared,
                "raman": s.raman,
                "purity": s.purity,
                **sums_of_set,
            }
            for s, sums_of_set in zip(modes.sets, sums, strict=True)
        ],
    }


STUDY = MoleculeStudy
