"""Unstable crystals: imaginary modes listed, and one of them followed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..crystal import with_plain_results
from ..options import Settings, coordinate, number, option
from ..section import Context, Section
from ..summary_units import Summary

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from phonopy import Phonopy

    from ...phonons.instabilities.frozen import FollowedMode, ModeScan
    from ...phonons.instabilities.imaginary import ImaginaryMode
    from ..report import Report
    from ..settings import PhononSettings

MODES_FILE, SCAN_FILE, RELAXED_FILE = "imaginary_modes.yaml", "follow_scan.extxyz", "follow_relaxed.extxyz"
MAX_ROWS = 12
_GROUP = "unstable crystals"


@dataclass(frozen=True)
class InstabilitySettings(Settings):
    """Which mode is followed, and in which steps."""

    follow: tuple[float, float, float, float] | None = option(
        None,
        coordinate,
        _GROUP,
        "displace the crystal along a mode, in the smallest supercell that its wave fits, and relax the lowest"
        " structure met, its symmetry kept: q in reduced coordinates of the primitive cell, then the mode, counted from"
        " 1 in ascending frequency. Of degenerate modes the first is the most symmetric direction (default: none)",
        metavar=("QA", "QB", "QC", "MODE"),
        n_values=4,
    )
    amplitudes: tuple[float, ...] | None = option(
        None,
        number,
        _GROUP,
        "largest displacement of an atom at each step along the mode followed (default: 0 to 0.6 in steps of 0.05, and"
        " the negative ones where they differ)",
        metavar="Å",
        n_values="+",
    )


def check(settings: PhononSettings, atoms: Atoms) -> None:
    """Refuse modes that do not exist and waves that fit no supercell.

    Raises:
        InputError: saying which number is wrong.
    """
    from ...base.errors import InputError
    from ...phonons.instabilities.frozen import check_mode, check_size, checked_amplitudes

    if settings.follow is None:
        if settings.amplitudes is not None:
            raise InputError(
                "`amplitudes` was given without `follow`",
                "they are steps along one mode",
                "add wave vector and mode, such as `follow=(0.5, 0.5, 0.5, 1)`",
            )
        return
    *qpoint, mode = settings.follow
    check_size(qpoint, atoms.cell[:], len(atoms))
    check_mode(cast("int", mode), 3 * len(atoms))  # which says what is wrong with one that is no whole number
    if settings.amplitudes is not None:
        checked_amplitudes(list(settings.amplitudes))


def compute(context: Context) -> InstabilityPart:
    """Look for imaginary modes, always; follow the one asked for."""
    from ...base.errors import RelaxationError
    from ...phonons.instabilities.frozen import relax_lowest, scan_mode
    from ...phonons.instabilities.imaginary import find_imaginary_modes
    from ...phonons.symmetry.irreps import find_irreps

    settings, phonopy, unit, exact = context.settings, context.phonopy, context.settings.unit, context.exact

    def labels(q: np.ndarray) -> dict[int, str | None]:
        sets = find_irreps(phonopy, q, noise_thz=context.noise_thz).sets
        return {mode: modes.label for modes in sets for mode in modes.modes}

    imaginary = tuple(find_imaginary_modes(phonopy, _path_points(phonopy), labels=labels))
    if settings.follow is None:
        return InstabilityPart(imaginary, unit, exact=exact)
    assert context.calc is not None
    *qpoint, mode = settings.follow
    scan = scan_mode(phonopy, context.calc, qpoint, int(mode), settings.amplitudes)
    # The stress of a cell that was not relaxed, or that holds a vacuum, is none of the mode's business.
    fixed = settings.fix_cell or settings.no_relax or context.is_layer
    tolerance = phonopy.primitive_symmetry.tolerance
    try:
        followed = relax_lowest(scan, context.calc, fix_cell=fixed, symprec=tolerance)
    except RelaxationError as error:
        return InstabilityPart(imaginary, unit, scan, None, fixed, error.what, exact)
    followed = replace(followed, relaxed=with_plain_results(followed.relaxed))
    return InstabilityPart(imaginary, unit, scan, followed, fixed, exact=exact)


@dataclass(frozen=True)
class InstabilityPart:
    """Imaginary modes, and the one that was followed.

    Attributes:
        imaginary: lowest first.
        unit: of printed frequencies.
        scan: of the mode followed; None where none was asked for.
        followed: None where the relaxation failed.
        cell_fixed: in that relaxation.
        failure: why it failed.
        exact: whether frequencies are those of exact D(q) at any wave vector.
    """

    imaginary: tuple[ImaginaryMode, ...]
    unit: str = "THz"
    scan: ModeScan | None = None
    followed: FollowedMode | None = None
    cell_fixed: bool = False
    failure: str | None = None
    exact: bool = False

    def files(self) -> tuple[str, ...]:
        """Names of the files that `write` writes."""
        there = (bool(self.imaginary), self.scan is not None, self.followed is not None)
        return tuple(name for name, yes in zip((MODES_FILE, SCAN_FILE, RELAXED_FILE), there, strict=True) if yes)

    def summary(self) -> Summary:
        """What the section adds to summary.json."""
        entries: Summary = {"imaginary": [_plain(mode) for mode in self.imaginary]}
        if self.scan is None:
            return entries
        pattern = self.scan.pattern
        entries["follow"] = {
            "qpoint": pattern.qpoint.tolist(),
            "mode": pattern.mode,
            "frequency_thz": pattern.frequency_thz,
            "degeneracy": pattern.degeneracy,
            "supercell_rows": pattern.supercell_matrix.tolist(),
            "amplitudes_angstrom": self.scan.amplitudes.tolist(),
            "energies_ev_per_cell": (self.scan.energies / pattern.n_cells).tolist(),
            "harmonic_curvature_ev_per_angstrom2_per_cell": pattern.curvature / pattern.n_cells,
            "lowest_amplitude_angstrom": float(self.scan.amplitudes[self.scan.lowest]),
            "space_group_of_pattern": self._space_group_of_pattern(),
            "cell_fixed": self.cell_fixed,
            "relaxation_failure": self.failure,
        }
        if self.followed is not None:
            group = self.followed.report.space_group_after
            entries["follow"] |= {
                "energy_gain_ev_per_cell": self.followed.energy_gain,
                "relaxed_space_group": None if group is None else str(group),
                "relaxation_steps": self.followed.report.n_steps,
                "relaxed_max_force": self.followed.report.max_force,
            }
        return entries

    def describe(self, text: Report) -> None:
        """A group of imaginary modes where there are any, and one of the mode followed."""
        from ..words import frequency, vector_in_words

        if self.imaginary:
            text.group(f"imaginary modes ({_unit_in_words(self.unit)}; degeneracy in parentheses)")
        for mode in self.imaginary[:MAX_ROWS]:
            numbers = (
                f"{mode.modes[0]}–{mode.modes[-1]} ({mode.degeneracy})" if mode.degeneracy > 1 else f"{mode.modes[0]}"
            )
            q = vector_in_words(mode.qpoint.tolist())
            words = [frequency(mode.frequency_thz, self.unit), mode.label or "", f"mode {numbers} at q = {q}"]
            interpolated = not mode.commensurate and not self.exact
            if interpolated:
                words.append("interpolated: q does not fit the supercell")
            text.row(_name(mode.where), "  ".join(word for word in words if word), doubt=interpolated)
        if len(self.imaginary) > MAX_ROWS:
            text.row("", f"and {len(self.imaginary) - MAX_ROWS} more, in {MODES_FILE}")
        if self.imaginary and self.scan is None:
            first = self.imaginary[0]
            q = ", ".join(f"{round(float(x), 4) + 0.0:g}" for x in first.qpoint)
            text.row("where it leads", f"`follow=({q}, {first.modes[0]})`")
        if self.scan is not None:
            self._describe_scan(text, self.scan)

    def write(self, folder: Path) -> None:
        """Write the files that `files` names."""
        from ase.io import write

        if self.imaginary:
            lines = ["# Frequencies in THz. Atom j of cell R moves along e_j exp[2 pi i q.(R + f_j)] / sqrt(m_j);"]
            lines += ["# eigenvectors[mode][atom][xyz] = [real, imaginary].", "imaginary_modes:"]
            for mode in self.imaginary:
                parts = [[[[z.real, z.imag] for z in atom] for atom in vector] for vector in mode.eigenvectors]
                lines.append(f"- {json.dumps({**_plain(mode), 'eigenvectors': parts})}")
            (folder / MODES_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        if self.scan is not None:
            frames = []
            for structure, amplitude, energy in zip(
                self.scan.structures, self.scan.amplitudes, self.scan.energies, strict=True
            ):
                frame = structure.copy()
                frame.calc = structure.calc
                frame.info = {"amplitude": float(amplitude), "energy_difference": float(energy)}
                frames.append(frame)
            write(folder / SCAN_FILE, frames, format="extxyz")
        if self.followed is not None:
            write(folder / RELAXED_FILE, self.followed.relaxed, format="extxyz")

    def _space_group_of_pattern(self) -> str:
        from ...structures.space_groups import get_space_group

        assert self.scan is not None, "asked for only where a mode was followed"
        return str(get_space_group(self.scan.pattern.displaced(0.1), 1e-3))

    def _describe_scan(self, text: Report, scan: ModeScan) -> None:
        from ..words import frequency, matrix_in_words, vector_in_words

        pattern = scan.pattern
        text.group(f"along mode {pattern.mode} at q = {vector_in_words(pattern.qpoint.tolist())}")
        kind = "imaginary" if pattern.frequency_thz < 0 else "NOT imaginary: the crystal is stable against it"
        text.row("frequency", f"{frequency(pattern.frequency_thz, self.unit)} {_unit_in_words(self.unit)}, {kind}")
        rows = matrix_in_words(pattern.supercell_matrix.tolist())
        text.row("supercell", f"{rows}, {len(pattern.undistorted)} atoms, the smallest that the wave fits")
        text.row("symmetry", f"{self._space_group_of_pattern()} while displaced")
        pairs = zip(scan.amplitudes, 1000 * scan.energies / pattern.n_cells, strict=True)
        text.row("meV per cell", ",  ".join(f"{energy:.1f} at {amplitude:g} Å" for amplitude, energy in pairs))
        if self.followed is None:
            text.row("relaxation", f"FAILED: {self.failure}")
            return
        report = self.followed.report
        cell = "cell fixed" if self.cell_fixed else f"volume {100 * report.volume_change:+.2f} %"
        gain = 1000 * self.followed.energy_gain
        text.row("relaxed", f"{report.space_group_after}, {gain:+.2f} meV per cell, {report.n_steps} steps, {cell}")


def _path_points(phonopy: Phonopy) -> list[tuple[str, np.ndarray]] | None:
    """Names and wave vectors of the ends of the segments that bands were drawn along; None without bands."""
    from ...phonons.bands.paths import plain_label

    bands = phonopy.band_structure
    if bands is None or not bands.labels:
        return None
    labels, points = iter(bands.labels), []
    start = next(labels)
    for qpoints, continues in zip(bands.qpoints, bands.path_connections, strict=True):
        end = next(labels)
        points += [(plain_label(start), qpoints[0]), (plain_label(end), qpoints[-1])]
        start = end if continues else next(labels, "")
    return points


def _plain(mode: ImaginaryMode) -> Summary:
    return {
        "qpoint": mode.qpoint.tolist(),
        "where": mode.where,
        "modes": list(mode.modes),
        "degeneracy": mode.degeneracy,
        "frequency_thz": mode.frequency_thz,
        "label": mode.label,
        "commensurate": mode.commensurate,
    }


def _name(where: str) -> str:
    return f"at {where}" if where else "elsewhere"


def _unit_in_words(unit: str) -> str:
    from ...base.units import FREQUENCY_UNITS

    return FREQUENCY_UNITS[unit][1]


SECTION = Section(check, compute, own_files=(MODES_FILE, SCAN_FILE, RELAXED_FILE), needs_exact=True)
