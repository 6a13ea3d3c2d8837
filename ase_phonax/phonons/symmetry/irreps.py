"""Symmetry of phonon modes: irreducible representations, infrared and Raman activity.

Degenerate sets come from phonopy's `SymmetryAdaptedModes`: from how the little group of q acts, not from
how near two frequencies are. With a tolerance the acoustic modes at Gamma would merge into one set
without a name (A2u + Eu in a tetragonal crystal), noise would split others, and accidental
degeneracies would join strangers. What the symmetry is not obeyed by is measured instead:
`QpointIrreps.splitting_thz`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.phonon.symmetry_adapted_modes import SymmetryAdaptedModes

from ...base.errors import InputError, UnstableWarning
from ...base.files import write_whole
from ...derivatives.conventions import frequencies_thz
from ..supercell.constants import interpolated_dynamical_matrices
from ..supercell.door import checked, dynamical_matrix
from .character_tables import CharacterTable, find_table, name_representation, translations_about_best_origin
from .star_members import StarMember, star_members
from .translations import translation_weights

NOISE_THZ = 0.01  # what symmetry does not explain beyond this, or beyond thrice the measured noise, is warned of


@dataclass(frozen=True)
class ModeSet:
    """Modes that symmetry, with time reversal, keeps degenerate.

    Attributes:
        frequency_thz: imaginary as negative [THz].
        modes: counted from 1 in ascending frequency, as in phonopy's files.
        label: Mulliken symbol; None where there is none (`QpointIrreps.note` says why).
        infrared: transforms like a vector; None away from Gamma.
        raman: transforms like a symmetric tensor; None away from Gamma.
        acoustic: a translation of the whole crystal, and then neither infrared nor Raman active.
    """

    frequency_thz: float
    modes: tuple[int, ...]
    label: str | None
    infrared: bool | None
    raman: bool | None
    acoustic: bool

    @property
    def degeneracy(self) -> int:
        """How many modes."""
        return len(self.modes)

    @property
    def activity(self) -> str:
        """In words: "IR + Raman", "IR", "Raman", "silent", "acoustic"; "" away from Gamma."""
        if self.acoustic or self.infrared is None:
            return "acoustic" if self.acoustic else ""
        return " + ".join(["IR"] * self.infrared + ["Raman"] * bool(self.raman)) or "silent"


@dataclass(frozen=True)
class QpointIrreps:
    """Irreducible representations of all modes at one wave vector.

    Attributes:
        qpoint: (3,) reduced coordinates of the primitive cell.
        point_group: of the crystal, international symbol.
        little_cogroup: of q, international symbol; labels belong to it.
        rotations: (n_operations, 3, 3) of the little co-group in the setting of the character table, or
            of the primitive cell where no table fits.
        transformation: (3, 3) P of that setting, R_table = P R P^-1 for R in the primitive cell's basis.
        rotation_symbols: name of each rotation in the character table; None where no table fits.
        characters: (n_sets, n_operations) of the co-group: those of the little group times exp(2 pi i q.t).
        sets: ascending in frequency.
        splitting_thz: largest change of a frequency when the dynamical matrix is made to obey the little
            group: numerical noise, or a structure or supercell less symmetric than found [THz].
        note: why labels are missing; None where none is.
    """

    qpoint: NDArray[np.float64]
    point_group: str
    little_cogroup: str
    rotations: NDArray[np.int64]
    transformation: NDArray[np.float64]
    rotation_symbols: tuple[str, ...] | None
    characters: NDArray[np.complex128]
    sets: tuple[ModeSet, ...]
    splitting_thz: float
    note: str | None


def find_irreps(phonopy: Phonopy, qpoint: ArrayLike = (0, 0, 0), *, noise_thz: float = 0.0) -> QpointIrreps:
    """Irreducible representations of the modes at q, and their optical activities at Gamma.

    Activities follow from characters alone: a set is infrared active if its representation occurs in that
    of a vector, Raman active if in the symmetric square, (chi(g)^2 + chi(g^2)) / 2. At other q the labels
    are those of the little co-group, whose characters are chi(S) exp(2 pi i q.t) with t about the standard
    origin of the space group; another origin or other axes may exchange them. None exist where the
    co-group has projective representations only (screws and glides at the zone boundary).
    phonopy's `is_little_cogroup` is not used: it leaves out exp(2 pi i G.x) where q R^-1 = q + G, and its
    characters at a zone boundary are then not those of representations.

    Args:
        phonopy: with force constants.
        qpoint: (3,) reduced coordinates of the primitive cell; a reciprocal lattice vector means Gamma.
        noise_thz: measured noise of frequencies [THz], such as the largest acoustic one at Gamma.

    Raises:
        InputError: q that is not three finite numbers; no force constants.
    """
    q = checked_qpoint(qpoint)
    at_gamma = bool(np.abs(q - np.rint(q)).max() < 1e-8)
    q = np.zeros(3) if at_gamma else q
    checked(phonopy)
    modes = SymmetryAdaptedModes(dynamical_matrix(phonopy), q, phonopy.primitive_symmetry)
    operations = [operation for operation in modes.operations if not operation.is_antiunitary]
    rotations = np.array([operation.rotation for operation in operations])
    translations = np.array([operation.translation for operation in operations])
    dataset = phonopy.primitive_symmetry.dataset
    table, member = _table_of_star(phonopy, q, rotations)
    cogroup = table.symbol
    moved, translations = member.moved(rotations, translations)
    # phonopy's substitute for a dataset, in an object without symmetry, has no origin.
    origin = getattr(dataset, "origin_shift", np.zeros(3))
    standard = np.asarray(dataset.transformation_matrix, dtype=float)
    translations, projective = translations_about_best_origin(standard, origin, member.qpoint, moved, translations)
    characters = modes.characters.conj() if member.reversed else modes.characters
    characters = characters * np.exp(2j * np.pi * translations @ member.qpoint)
    if not table.rows:
        note: str | None = f"phonopy has no character table for point group {cogroup} in this setting"
    elif projective:
        note = f"projective representations of {cogroup} (zone boundary, screw or glide): they have no Mulliken symbols"
    else:
        note = None
    labels = [None if note else name_representation(row, table.rows) for row in characters]
    if note is None and None in labels:
        note = "some modes have no symbol in the character table (a cell that is not primitive folds others here)"
    exact = np.sort(frequencies_thz(interpolated_dynamical_matrices(phonopy, q[None])[0]))
    result = QpointIrreps(
        qpoint=q,
        point_group=str(phonopy.primitive_symmetry.pointgroup_symbol),
        little_cogroup=cogroup,
        rotations=table.rotations,
        transformation=table.transformation @ member.rotation,
        rotation_symbols=table.rotation_symbols,
        characters=characters,
        sets=_mode_sets(modes, labels, rotations, phonopy.primitive.masses if at_gamma else None),
        splitting_thz=float(np.abs(exact - np.sort(modes.frequencies)).max()),
        note=note,
    )
    _warn_of_splitting(result, noise_thz)
    return result


def _table_of_star(
    phonopy: Phonopy, q: NDArray[np.float64], rotations: NDArray[np.int64]
) -> tuple[CharacterTable, StarMember]:
    """The character table at the first member of the star of q that has one, and the member."""
    symmetry = phonopy.primitive_symmetry
    operations, standard = symmetry.symmetry_operations, np.asarray(symmetry.dataset.transformation_matrix, float)
    members = star_members(
        q,
        operations["rotations"],
        operations["translations"],
        phonopy.primitive.cell,
        standard,
    )
    first = None
    for member in members:
        table = find_table(standard, member.moved(rotations, np.zeros((len(rotations), 3)))[0])
        first = first or (table, member)
        if table.rows:
            return table, member
    assert first is not None, "the identity leads to a member"
    return first


def checked_qpoint(qpoint: ArrayLike) -> NDArray[np.float64]:
    """A wave vector as (3,) floats.

    Raises:
        InputError: not three finite numbers.
    """
    q = np.asarray(qpoint, dtype=float)
    if q.shape != (3,) or not np.isfinite(q).all():
        raise InputError(
            f"the wave vector {np.asarray(qpoint).tolist()} is not three finite numbers",
            "modes belong to a point of the Brillouin zone",
            "give three numbers in reduced coordinates of the primitive cell, such as 0.5 0 0",
        )
    return q


def write_irreps(found: Sequence[QpointIrreps], path: Path | str) -> None:
    """Write irreps.yaml: a list `qpoints`, each entry with the fields of phonopy's irreps.yaml and ours.

    phonopy's are q-position, point_group, transformation_matrix, rotations (matrix, symbol) and
    normal_modes (band_indices from 1, frequency in THz, ir_label, characters as [modulus, phase in
    degrees]). Added are little_cogroup, splitting_thz, note, and for each set degeneracy, infrared,
    raman and acoustic; null means that the question has no answer there.
    """
    lines = ["# frequencies in THz, imaginary ones negative", "qpoints:"]
    for entry in found:
        lines += [
            f"- q-position: {json.dumps(entry.qpoint.tolist())}",
            f"  point_group: {json.dumps(entry.point_group)}",
            f"  little_cogroup: {json.dumps(entry.little_cogroup)}",
            f"  splitting_thz: {entry.splitting_thz:.3e}",
            f"  note: {json.dumps(entry.note)}",
            f"  transformation_matrix: {json.dumps(np.round(entry.transformation, 7).tolist())}",
            "  rotations:",
        ]
        symbols = entry.rotation_symbols or [None] * len(entry.rotations)
        for rotation, symbol in zip(entry.rotations.tolist(), symbols, strict=True):
            lines += [f"  - matrix: {json.dumps(rotation)}", f"    symbol: {json.dumps(symbol)}"]
        lines.append("  normal_modes:")
        for mode_set, characters in zip(entry.sets, entry.characters, strict=True):
            polar = np.column_stack((np.abs(characters), np.degrees(np.angle(characters)) % 360))
            lines += [
                f"  - band_indices: {json.dumps(mode_set.modes)}",
                f"    frequency: {mode_set.frequency_thz:.10f}",
                f"    degeneracy: {mode_set.degeneracy}",
                f"    ir_label: {json.dumps(mode_set.label)}",
                f"    infrared: {json.dumps(mode_set.infrared)}",
                f"    raman: {json.dumps(mode_set.raman)}",
                f"    acoustic: {json.dumps(mode_set.acoustic)}",
                # The phase of a character that vanishes is noise.
                f"    characters: {json.dumps(np.round(np.where(polar[:, :1] < 1e-6, 0, polar), 5).tolist())}",
            ]
    write_whole(path, "\n".join(lines) + "\n")


def _mode_sets(
    modes: SymmetryAdaptedModes,
    labels: list[str | None],
    rotations: NDArray[np.int64],
    masses: NDArray[np.float64] | None,
) -> tuple[ModeSet, ...]:
    """The sets; `masses` are given at Gamma, where there are acoustic modes and activities."""
    sets = []
    traces = np.trace(rotations, axis1=1, axis2=2)
    square_traces = np.trace(rotations @ rotations, axis1=1, axis2=2)
    for bands, characters, label in zip(modes.degenerate_sets, modes.characters, labels, strict=True):
        infrared = raman = None
        acoustic = False
        if masses is not None:
            weight = translation_weights(masses, modes.eigenvectors[:, bands]).mean()
            # Translations are exact modes of any potential: the weight is 1 or 0 but for noise.
            acoustic = bool(weight > 0.5)
            infrared = not acoustic and _occurs(characters, traces)
            raman = not acoustic and _occurs(characters, (traces**2 + square_traces) / 2)
        frequency = float(modes.frequencies[bands[0]])
        sets.append(ModeSet(frequency, tuple(band + 1 for band in bands), label, infrared, raman, acoustic))
    return tuple(sets)


def _occurs(characters: NDArray[np.complex128], representation: NDArray) -> bool:
    """Whether a representation shares an irreducible one with the set: (1/|G|) sum chi* chi_representation >= 1."""
    return bool(np.mean(characters.conj() * representation).real > 0.5)


def _warn_of_splitting(irreps: QpointIrreps, noise_thz: float) -> None:
    """Warn where frequencies differ from those that symmetry allows by more than noise [THz]."""
    if irreps.splitting_thz > max(NOISE_THZ, 3 * noise_thz):
        warnings.warn(
            f"At q = {irreps.qpoint.tolist()} frequencies differ by up to {irreps.splitting_thz:.2g} THz from those"
            f" that the symmetry {irreps.little_cogroup} allows: labels are those of the symmetric crystal, but"
            " structure or supercell are less symmetric.",
            UnstableWarning,
            stacklevel=3,
        )
