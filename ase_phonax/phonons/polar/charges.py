"""Born charges and a dielectric tensor, read and checked against the crystal they are meant for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from phonopy.exception import BORNFileParseError
from phonopy.file_IO import parse_BORN
from phonopy.harmonic.dynamical_matrix import NacParams
from phonopy.physical_units import get_calculator_physical_units
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.symmetry import symmetrize_borns_and_epsilon

from ...base.errors import InputError, is_failure, why_unread
from ...base.input_files import require_file
from ...base.sharing import ignored_warnings
from ...structures.layers import VACUUM_GAP, empty_gaps, vacuum_axis
from ...structures.space_groups import SYMPREC
from ..supercell.constants import crystal_atoms

METHOD = "wang"
NAC_FACTOR = float(get_calculator_physical_units().nac_factor)  # e²/(4 pi eps0) [eV Å]
_NOTHING = 0.05  # e: charges below it are none, and what symmetry and sum rule change in them does no harm
_PHONOPY_WAVES = 300  # reciprocal vectors in phonopy's sum of dipoles, where none are asked for
TOLERATED = 0.1  # of the largest charge: violations of sum rule and symmetry above it are another crystal's
_KEYS = ("born", "dielectric", "factor", "method", "G_cutoff", "Lambda")
_ORDER = "one charge for each atom of the primitive cell, in its order and orientation"

Born = str | os.PathLike | dict


@dataclass(frozen=True)
class NonAnalyticCorrection:
    """Charges and dielectric tensor as they are used, and what had to be changed to use them.

    Attributes:
        method: phonopy's, "wang" or "gonze".
        charges: (n_atoms, 3, 3) Born charges of the primitive cell, field index first [e].
        dielectric: (3, 3) electronic dielectric tensor, relative.
        factor: e²/(4 pi eps0) [eV Å].
        sum_rule_violation: largest entry of the sum of the charges given [e]; spread over all atoms.
        charges_changed_by: largest change of an entry by space group and sum rule [e].
        dielectric_changed_by: largest change of an entry by the point group.
        params: all of it as phonopy's `nac_params`.
    """

    method: str
    charges: NDArray[np.float64]
    dielectric: NDArray[np.float64]
    factor: float
    sum_rule_violation: float
    charges_changed_by: float
    dielectric_changed_by: float
    params: NacParams


def read_correction(
    born: Born,
    primitive: PhonopyAtoms | Atoms,
    symprec: float = SYMPREC,
    method: str | None = None,
    layer: bool = False,
) -> NonAnalyticCorrection:
    """Charges and dielectric tensor, checked against the crystal and made to fit its symmetry.

    The symmetry is phonopy's: charges averaged over the space group and shifted by a common tensor to
    sum to zero, the dielectric tensor averaged over the point group.

    Args:
        born: file in phonopy's BORN format (charges of the independent atoms), or a dictionary with "born"
            (n_atoms, 3, 3) [e] and "dielectric" (3, 3), and whatever else phonopy's `nac_params` may have.
        primitive: the primitive cell they belong to.
        symprec: distance below which positions count as equal [Å].
        method: as in `set_nac`.
        layer: a layer is meant, and the dielectric tensor is that of its cell, vacuum included.

    Raises:
        InputError: not such a file; shapes or values that cannot be charges and a dielectric tensor; a
            factor of other units; charges that violate sum rule or symmetry by more than a tenth of the
            largest of them; or a layer where none is meant, or the other way round.
    """
    cell = primitive if isinstance(primitive, PhonopyAtoms) else _phonopy_atoms(primitive)
    crystal = crystal_atoms(cell)
    refuse_boxes(crystal)
    is_layer = vacuum_axis(crystal) is not None
    if is_layer and not layer:
        raise InputError(
            "Born charges are given for a layer",
            "fields of a layer reach into the vacuum: its LO and TO modes meet at Γ, and the correction for crystals"
            " would split them by an amount that depends on the height of the cell",
            "use a PolarLayerCalculator, as `ase-phonax phonons --born` does",
        )
    if layer and not is_layer:
        raise InputError(
            "Born charges of a layer are given for a crystal without vacuum",
            "the fields of its dipoles are those of three dimensions",
            "use a PolarCalculator",
        )
    given = _given(born, cell, symprec)
    given["method"] = str(method or given.get("method", METHOD)).lower()
    charges, dielectric = _checked(given, len(cell))
    with ignored_warnings("Symmetry of Born effective charge is largely broken"):  # refused below
        fitted, fitted_dielectric = symmetrize_borns_and_epsilon(charges, dielectric, cell, symprec=symprec)
    total = float(np.abs(charges.sum(axis=0)).max())
    changed = float(np.abs(fitted - charges).max())
    largest = float(np.abs(charges).max())
    _check_size(total, changed, largest)
    params: NacParams = {
        "born": fitted,
        "dielectric": fitted_dielectric,
        "factor": abs(float(given.get("factor", NAC_FACTOR))),
        "method": given["method"],
    }
    factor = params["factor"]
    if (volume := float(np.linalg.det(cell.cell))) < 0:
        # phonopy divides by a volume that is negative in left-handed cells, and takes a root of it (docs/upstream.md).
        params |= {"factor": -factor, "G_cutoff": (3 * _PHONOPY_WAVES / (4 * np.pi * -volume)) ** (1 / 3)}
    if "G_cutoff" in given:
        params["G_cutoff"] = given["G_cutoff"]
    if "Lambda" in given:
        params["Lambda"] = given["Lambda"]
    return NonAnalyticCorrection(
        method=params["method"],
        charges=fitted,
        dielectric=fitted_dielectric,
        factor=factor,
        sum_rule_violation=total,
        charges_changed_by=changed,
        dielectric_changed_by=float(np.abs(fitted_dielectric - np.asarray(given["dielectric"], float)).max()),
        params=params,
    )


def charges_by_element(correction: NonAnalyticCorrection, symbols: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Smallest and largest isotropic charge (a third of the trace) of each element [e]."""
    traces = np.trace(correction.charges, axis1=1, axis2=2) / 3
    return {
        name: (float(min(values)), float(max(values)))
        for name in dict.fromkeys(symbols)
        for values in [[traces[i] for i, symbol in enumerate(symbols) if symbol == name]]
    }


def refuse_boxes(crystal: Atoms) -> None:
    """Refuse what is empty along two or three cell vectors: a chain, or a molecule in a box.

    Raises:
        InputError: it is.
    """
    empty = int(np.count_nonzero(empty_gaps(crystal) > VACUUM_GAP))
    if empty > 1:
        raise InputError(
            f"{'a chain' if empty == 2 else 'a molecule'} in a box, empty along {empty} vectors, was given charges",
            "the fields of its dipoles are neither those of a crystal nor of a layer, and would depend on the box",
            "compute it without charges",
        )


def _given(born: Born, cell: PhonopyAtoms, symprec: float) -> dict[str, Any]:
    """phonopy's `nac_params` of whatever was given, not checked yet."""
    born = getattr(born, "born", born)  # of predicted charges
    if isinstance(born, dict):
        return dict(born)
    if not isinstance(born, str | os.PathLike):
        raise InputError(
            f"the Born charges are {born!r}"[:200],
            "they are read from a file, or taken as they are",
            "give the name of a BORN file, a dictionary with born and dielectric, or what predict_charges returns",
        )
    return _read_file(Path(born), cell, symprec)


def _numbers(values: Any, what: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the {what} are no array of numbers: {why_unread(error)}", "the correction needs two tensors", _ORDER
        ) from error


def _read_file(path: Path, primitive: PhonopyAtoms, symprec: float) -> dict[str, Any]:
    """phonopy's `nac_params` from a BORN file, or an error that says what is wrong with it."""
    require_file(path, "the BORN file", "it holds the Born charges", may_be_empty=True)  # said below
    try:
        first = path.read_text(encoding="utf-8").splitlines()[:1]
        if first and len(first[0].split()) == 9 and not first[0].lstrip().startswith("#"):
            raise BORNFileParseError("its first line holds a tensor, so that the line of the factor is missing")
        return dict(parse_BORN(primitive, symprec=symprec, filename=path))
    except OSError as error:
        raise InputError(
            f"the BORN file {path} cannot be read: {error.strerror}", "it holds the Born charges", "check the path"
        ) from error
    except BaseException as error:  # its parser raises whatever it meets
        if not is_failure(error):
            raise
        symbols = " ".join(primitive.symbols)
        raise InputError(
            f"{path} is no BORN file of this crystal ({len(primitive)} atoms: {symbols}): {why_unread(error)}",
            "charges on the wrong atoms give frequencies that look reasonable and are wrong",
            "its lines are: the factor (or any word), nine numbers of the dielectric tensor, then nine numbers for each"
            " symmetry-independent atom of the primitive cell, in its order",
        ) from error


def _checked(given: dict[str, Any], n_atoms: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Charges (n_atoms, 3, 3) and dielectric tensor (3, 3) of `nac_params`, or an error."""
    unknown = set(given) - set(_KEYS)
    missing = {"born", "dielectric"} - set(given)
    if unknown or missing:
        what = f"have no {sorted(missing)[0]!r}" if missing else f"have the unknown entry {sorted(unknown)[0]!r}"
        raise InputError(f"the nac_params {what}", "the correction needs two tensors", f"entries: {', '.join(_KEYS)}")
    if given["method"] not in ("wang", "gonze"):
        raise InputError(f"the method {given['method']!r} is unknown", "phonopy has two", 'use "wang" or "gonze"')
    charges, dielectric = _numbers(given["born"], "Born charges"), _numbers(given["dielectric"], "dielectric tensor")
    if charges.shape != (n_atoms, 3, 3) or not np.isfinite(charges).all():
        finite = np.isfinite(charges).all()
        raise InputError(
            f"the Born charges have {f'shape {charges.shape}' if finite else 'entries that are not finite'}",
            "phonopy would fail later, or give wrong frequencies",
            f"give ({n_atoms}, 3, 3): {_ORDER}",
        )
    if dielectric.shape != (3, 3) or not np.isfinite(dielectric).all():
        finite = np.isfinite(dielectric).all()
        raise InputError(
            f"the dielectric tensor has {f'shape {dielectric.shape}' if finite else 'entries that are not finite'}",
            "it screens the fields of the dipoles",
            "give (3, 3), relative to vacuum",
        )
    asymmetry = float(np.abs(dielectric - dielectric.T).max())
    lowest = float(np.linalg.eigvalsh((dielectric + dielectric.T) / 2).min())
    if asymmetry > 1e-3 * np.abs(dielectric).max() or lowest < 1 - 1e-6:
        raise InputError(
            f"the dielectric tensor {dielectric.tolist()} is not symmetric, or below 1 along an axis",
            "electrons screen fields: below 1 they would amplify them, and below 0 the crystal would gain energy from"
            " its own fields",
            "give the electronic (high-frequency) tensor relative to vacuum; check that the lines were not exchanged",
        )
    factor = given.get("factor", NAC_FACTOR)
    if not (isinstance(factor, int | float) and abs(abs(factor) / NAC_FACTOR - 1) < 1e-3):
        raise InputError(
            f"the factor of the correction is {factor!r}",
            f"with constants in eV/Å² it is e²/(4 pi eps0) = {NAC_FACTOR:.5f} eV Å; other programs' units have others",
            "leave it out, or write 14.39965; charges [e] and dielectric tensor need no conversion",
        )
    return charges, (dielectric + dielectric.T) / 2


def _check_size(total: float, changed: float, largest: float) -> None:
    """Refuse charges [e] whose sum, or whose change by symmetry, is large beside the largest entry."""
    largest = max(largest, _NOTHING)
    if total > TOLERATED * largest:
        raise InputError(
            f"the Born charges sum to {total:.3g} e, where the largest entry is {largest:.3g} e",
            "the charges of a crystal sum to zero; spreading so much over its atoms would make up new ones",
            f"check that they belong to this crystal: {_ORDER}",
        )
    if changed > TOLERATED * largest:
        raise InputError(
            f"the symmetry of the crystal changes the Born charges by up to {changed:.3g} e, of {largest:.3g} e",
            "they belong to another order of the atoms, another orientation or another structure",
            f"check them: {_ORDER}",
        )


def _phonopy_atoms(atoms: Atoms) -> PhonopyAtoms:
    """Atoms as phonopy has them, where they lie."""
    return PhonopyAtoms(
        numbers=atoms.numbers, cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions(wrap=False)
    )
