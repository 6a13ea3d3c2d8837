"""What a page shows of a study, in built-in types: its table; of phonons structure, bands, densities and motions."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..phonons.bands.paths import joints, plain_label
from ..phonons.supercell.door import dynamical_matrix
from ..studies.report import Columns

if TYPE_CHECKING:
    from ase import Atoms

    from ..studies.phonon_results import PhononStudy
    from ..studies.report import Report
    from ..studies.study import Study

_SHOWN_ATOMS = 160  # drawn; the cell is repeated up to three times along each vector
_MOTION_BYTES = 1_000_000  # of eigenvectors: modes at as many points of the path as fit
_QUANTA = 32767  # of 16-bit integers, for components relative to the largest


def page_data(study: Study) -> dict[str, Any]:
    """All that a page of a study needs."""
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
        found |= _of_phonons(study)
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
        "positions": np.round(atoms.get_scaled_positions(wrap=False) @ atoms.cell.array, 6).tolist(),
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


def _of_phonons(study: Any) -> dict[str, Any]:
    results: PhononStudy = study
    sampling, phonopy = results.sampling, results.phonopy
    bands = sampling.bands
    distances = [np.asarray(own) for own in bands.distances]
    frequencies = [np.asarray(own) for own in bands.frequencies]
    qpoints = np.concatenate([np.asarray(own) for own in bands.qpoints])
    names = ["|".join(map(plain_label, own)) for own in joints(list(bands.labels or []), list(bands.path_connections))]
    ends = [float(distances[0][0]), *(float(own[-1]) for own in distances)]
    density = sampling.total_dos
    primitive = phonopy.primitive
    return {
        # Modes belong to the cell that phonopy calls primitive.
        "structure": structure(_as_atoms(primitive)),
        "bands": {
            "distances": [_short(own) for own in distances],
            "frequencies": [_short(own.T) for own in frequencies],  # (segments, bands, points)
            "ticks": ends,
            "labels": names,
            "exact": sampling.bands_exact,
        },
        "density": {
            "frequencies": _short(np.asarray(density.frequency_points)),
            "values": _short(np.asarray(density.dos)),
        },
        "motions": _motions(phonopy, qpoints, np.cumsum([0, *(len(own) for own in distances)])),
        "doubt": results.sampling.unstable,
    }


def _motions(phonopy: Any, qpoints: NDArray[np.float64], begins: NDArray[np.int64]) -> dict[str, Any]:
    """Displacements of all modes at some points of the path: its special ones first, others as evenly as fit."""
    n = len(phonopy.primitive)
    most = max(2, _MOTION_BYTES // (4 * (3 * n) ** 2))
    special = sorted({int(k) for k in begins[:-1]} | {int(k) - 1 for k in begins[1:]})
    others = [k for k in range(len(qpoints)) if k not in special]
    extra = max(0, most - len(special))
    chosen = special[:most] + [others[k] for k in np.unique(np.linspace(0, len(others) - 1, extra).astype(int))]
    chosen = sorted(chosen if others else special[:most])
    matrix = dynamical_matrix(phonopy)
    masses = np.sqrt(np.repeat(phonopy.primitive.masses, 3))
    packed = []
    for k in chosen:
        matrix.run(qpoints[k])
        _, vectors = np.linalg.eigh(np.asarray(matrix.dynamical_matrix))
        moves = (vectors / masses[:, None]).T  # (bands, 3n)
        largest = np.abs(np.stack([moves.real, moves.imag])).max(axis=(0, 2))
        scaled = moves / largest[:, None] * _QUANTA
        packed.append(np.stack([scaled.real, scaled.imag], -1).round().astype("<i2"))
    return {
        "points": chosen,
        "qpoints": np.round(qpoints[chosen], 6).tolist(),
        "displacements": base64.b64encode(np.array(packed).tobytes()).decode(),  # (points, bands, 3n, re im)
    }


def _as_atoms(cell: Any) -> Atoms:
    from ase import Atoms

    return Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)


def _short(values: NDArray[np.float64]) -> Any:
    """Five digits: what a screen can show."""
    return np.round(values, 5).tolist()
