"""What a page shows of a study, in built-in types: its table; of phonons structure, bands, densities and motions."""

from __future__ import annotations

import base64
from contextlib import nullcontext
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..phonons.bands.paths import joint_names
from ..phonons.supercell.patches import exact_matrices
from ..studies.report import Columns

if TYPE_CHECKING:
    from ase import Atoms

    from ..calculator import PhonaxCalculator
    from ..studies.phonon_results import PhononStudy
    from ..studies.report import Report
    from ..studies.study import Study

_SHOWN_ATOMS = 160  # drawn; the cell is repeated up to three times along each vector
_MOTION_BYTES = 1_000_000  # of eigenvectors: modes at as many points of the path as fit
_QUANTA = 32767  # of 16-bit integers, for components relative to the largest


def page_data(study: Study, calc: PhonaxCalculator | None = None) -> dict[str, Any]:
    """All that a page of a study needs.

    Args:
        calc: that of the study; where bands are exact, motions are known with it alone.
    """
    report = study.report()
    found: dict[str, Any] = {
        "title": report.title,
        "groups": _groups(report),
        "summary": study.to_dict(),
    }
    atoms = getattr(study, "atoms", None)
    if atoms is not None:
        found["structure"] = structure(atoms)
    if hasattr(study, "sampling"):
        found |= _of_phonons(study, calc)
    return found


def structure(atoms: Atoms) -> dict[str, Any]:
    """A crystal as it is drawn: primitive atoms, cell, and how often the cell is repeated."""
    periodic = [int(x) for x in atoms.pbc]
    repeats = [1, 1, 1]
    for times in (2, 3):
        if len(atoms) * np.prod([times if own else 1 for own in periodic]) <= _SHOWN_ATOMS:
            repeats = [times if own else 1 for own in periodic]
    return {
        "symbols": atoms.get_chemical_symbols(),
        "positions": np.round(atoms.positions, 6).tolist(),
        "periodic": [bool(x) for x in atoms.pbc],
        "cell": np.round(atoms.cell.array, 6).tolist(),
        "repeats": repeats,
    }


def _groups(report: Report) -> list[dict[str, Any]]:
    """The table, in the same groups and rows."""
    groups = []
    for group in report.groups:
        rows: list[dict[str, Any]] = []
        for row in group.rows:
            if isinstance(row, Columns):
                rows.append({"head": list(row.head), "rows": [list(own) for own in row.rows]})
            else:
                rows.append({"label": row.label, "text": row.text, "doubt": row.doubt})
        groups.append({"name": group.name, "rows": rows})
    return groups


def _of_phonons(study: Any, calc: PhonaxCalculator | None) -> dict[str, Any]:
    results: PhononStudy = study
    sampling, phonopy = results.sampling, results.phonopy
    bands = sampling.bands
    distances = [np.asarray(own) for own in bands.distances]
    frequencies = [np.asarray(own) for own in bands.frequencies]
    names = joint_names(list(bands.labels or []), list(bands.path_connections))
    density = sampling.total_dos
    primitive = phonopy.primitive
    return {
        # Modes belong to the cell that phonopy calls primitive.
        "structure": structure(_as_atoms(primitive, results.crystal.repeated)),
        **curves(distances, frequencies, names, np.asarray(density.frequency_points), np.asarray(density.dos)),
        "motions": _motions(results, calc),
    }


def curves(
    distances: list[NDArray[np.float64]],
    frequencies: list[NDArray[np.float64]],
    names: list[str],
    points: NDArray[np.float64],
    density: NDArray[np.float64],
) -> dict[str, Any]:
    """Bands and density of states as they are drawn.

    Args:
        distances: (points,) along the path, of each segment [1/Å].
        frequencies: (points, bands) of each segment [THz].
        names: (segments + 1) of their ends.
        points: (n,) frequencies of the density [THz].
        density: (n,) total [states/THz/primitive cell].
    """
    ends = [float(distances[0][0]), *(float(own[-1]) for own in distances)]
    return {
        "bands": {
            "distances": [_short(own) for own in distances],
            "frequencies": [_short(own.T) for own in frequencies],  # (segments, bands, points)
            "ticks": np.round(ends, 5).tolist(),
            "labels": names,
        },
        "density": {"frequencies": _short(points), "values": _short(density)},
    }


def _motions(results: PhononStudy, calc: PhonaxCalculator | None) -> dict[str, Any] | None:
    """Displacements of all modes at some points of the path: its special ones first, others as evenly as fit.

    None where bands are exact and nobody knows their matrices: modes of the supercell would be other ones.
    """
    phonopy, bands = results.phonopy, results.sampling.bands
    exact = results.sampling.bands_exact
    if exact and calc is None:
        return None
    segments = [np.asarray(own) for own in bands.qpoints]
    qpoints, n = np.concatenate(segments), len(phonopy.primitive)
    most = max(2, _MOTION_BYTES // (4 * (3 * n) ** 2))
    ends = np.cumsum([len(own) for own in segments]).tolist()
    special = [0]
    for begin, end in zip([0, *ends[:-1]], ends, strict=True):
        # Where the path goes on, the end of one segment is the beginning of the next.
        special += [k for k in (begin, end - 1) if np.abs(qpoints[k] - qpoints[special[-1]]).max() > 1e-8]
    ended = set(ends) - set(special)
    others = [k for k in range(len(qpoints)) if k not in special and k not in ended]
    extra = min(max(0, most - len(special)), len(others))
    spread: Any = np.unique(np.linspace(0, len(others) - 1, extra).astype(int)) if extra else []
    chosen = sorted([*special[:most], *(others[k] for k in spread)])
    aside = copy(phonopy)
    with (
        exact_matrices(aside, results.calculator(calc), qpoints, None) if exact and calc is not None else nullcontext()
    ):
        # Once more as they were drawn, with LO and TO modes at Gamma by the direction of the path.
        found = aside.run_band_structure(segments, with_eigenvectors=True, path_connections=bands.path_connections)
    vectors = np.concatenate([np.asarray(own) for own in found.eigenvectors or []])[chosen]
    moves = vectors.swapaxes(1, 2) / np.sqrt(np.repeat(phonopy.primitive.masses, 3))  # (points, bands, 3n)
    both = np.stack([moves.real, moves.imag], -1)
    scaled = both / np.abs(both).max(axis=(2, 3), keepdims=True) * _QUANTA
    return {
        "points": chosen,
        "qpoints": np.round(qpoints[chosen], 6).tolist(),
        "displacements": base64.b64encode(
            scaled.round().astype("<i2").tobytes()
        ).decode(),  # (points, bands, 3n, re im)
    }


def _as_atoms(cell: Any, periodic: tuple[bool, bool, bool]) -> Atoms:
    from ase import Atoms

    return Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=periodic)


def _short(values: NDArray[np.float64]) -> Any:
    """Five digits: what a screen can show."""
    return np.round(values, 5).tolist()
