"""Results as other programs read them: ASE's own objects, and animations for the phonon website.

phonopy's files need no translation: `phonopy phonopy_params.yaml --no-fc-symmetry` and Euphonic's
`ForceConstants.from_phonopy` read what `ase-phonax phonons` writes, and give its frequencies.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ase.dft.kpoints import BandPath
from ase.spectrum.band_structure import BandStructure as AseBandStructure
from ase.thermochemistry import CrystalThermo
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.phonon.band_structure import BandStructure
from phonopy.phonon.dos import TotalDos

from ..base.errors import InputError, UnstableWarning
from ..base.files import write_whole
from ..base.units import CM1_PER_THZ, MEV_PER_THZ
from ..structures.formulas import crystal_formula
from ..structures.lattices import cell_heights
from ..structures.layers import vacuum_axis
from .bands.paths import joints, plain_label
from .supercell.constants import crystal_atoms
from .supercell.door import checked, dynamical_matrix

EV_PER_THZ = MEV_PER_THZ / 1000
POINTS = 31  # of a segment at most, in an animation: each holds every mode as a list of numbers
SHOWN_LENGTH = 10.0  # [Å] edge of the piece of crystal that an animation begins with
_GREEK = {"Γ": "G", "Σ": "Sigma", "Δ": "Delta", "Λ": "Lambda"}
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def to_ase_bands(bands: BandStructure, cell: NDArray[np.float64]) -> AseBandStructure:
    """A band structure as ASE has it: energies in eV, the reference at zero, imaginary modes negative.

    This is what `ase.phonons` returns, and what `ase band-structure` draws from the file that its `write`
    makes. A point where two segments meet is kept once, unless frequencies differ there (LO and TO modes of
    a polar crystal at Gamma).

    Args:
        bands: phonopy's.
        cell: (3, 3) of the primitive cell, rows [Å].

    Returns:
        energies (1, n_qpoints, n_bands) on a BandPath whose special points have ASE's kind of names: "G" for
        Γ, "W2" for W₂, "Sigma0" for Σ₀, "Gp" for seekpath's G; none where a path without names was given.
    """
    continues = list(bands.path_connections)
    qpoints = [np.asarray(piece, dtype=float) for piece in bands.qpoints]
    frequencies = [np.asarray(piece) for piece in bands.frequencies]
    for i, continued in enumerate(continues[:-1]):
        if continued and np.abs(frequencies[i][-1] - frequencies[i + 1][0]).max() < 1e-6:
            qpoints[i + 1], frequencies[i + 1] = qpoints[i + 1][1:], frequencies[i + 1][1:]
    path, points = _ase_names(bands)
    band_path = BandPath(cell, kpts=np.concatenate(qpoints), special_points=points, path=path)
    return AseBandStructure(band_path, energies=EV_PER_THZ * np.concatenate(frequencies)[None], reference=0.0)


def to_crystal_thermo(
    total_dos: TotalDos, n_atoms: int, *, potential_energy: float = 0.0, formula_units: int | None = None
) -> CrystalThermo:
    """ASE's thermochemistry of a crystal from a density of states.

    The density is normalised to three modes per atom first, and then its part at or below zero is left out.
    ASE gives internal energy, entropy and Helmholtz energy in eV.

    Args:
        total_dos: phonopy's, in THz.
        n_atoms: in the primitive cell it belongs to.
        potential_energy: of that cell [eV].
        formula_units: in that cell; results are then per formula unit.

    Raises:
        InputError: a density without modes, or a number of formula units below one.
    """
    if formula_units is not None and not formula_units >= 1:
        raise InputError(
            f"there are {formula_units} formula units", "results are divided by them", "give a positive integer"
        )
    frequencies, density = np.asarray(total_dos.frequency_points), np.asarray(total_dos.dos)
    modes = float(np.trapezoid(density, frequencies))
    if not modes > 0:
        raise InputError(
            "the density of states holds no modes",
            "thermochemistry is a sum over them",
            "check the range of frequencies it was computed for",
        )
    positive = frequencies > 0
    share = 1.0 - float(np.trapezoid(density[positive], frequencies[positive])) / modes
    if share > 1e-3:
        warnings.warn(
            f"{100 * share:.2g} % of the density of states lies at or below zero frequency and is left out of the"
            " thermochemistry: the numbers are incomplete.",
            UnstableWarning,
            stacklevel=2,
        )
    return CrystalThermo(
        phonon_DOS=density[positive] * 3 * n_atoms / modes / EV_PER_THZ,
        phonon_energies=frequencies[positive] * EV_PER_THZ,
        potentialenergy=potential_energy,
        formula_units=formula_units,
    )


def phonon_website(phonopy: Phonopy, bands: BandStructure, name: str, points: int = POINTS) -> dict[str, Any]:
    """Bands and modes for animation, in the format of henriquemiranda/phononwebsite.

    The format is that of its reader (src/phononjson.js, `getFromInternalJson`): frequencies in 1/cm, and
    for each mode the displacements of the atoms of one cell, e_j exp(2 pi i q.f_j) / sqrt(m_j), of which the
    page multiplies those of cell R by exp(2 pi i q.R). Bands are connected by their eigenvectors within
    a segment.

    Args:
        phonopy: with force constants.
        bands: which segments; computed anew at fewer points, so that it need not have eigenvectors.
        name: shown as the title.
        points: at most so many of each segment, its ends among them.

    Returns:
        built-in types only.

    Raises:
        InputError: no force constants.
    """
    matrix = dynamical_matrix(checked(phonopy))
    picked = [_thinned(np.asarray(piece, dtype=float), points) for piece in bands.qpoints]
    connected = BandStructure(picked, matrix, with_eigenvectors=True, is_band_connection=True)
    assert connected.eigenvectors is not None, "they were asked for"
    primitive = phonopy.primitive
    symbols = list(primitive.symbols)
    ends = np.cumsum([len(piece) for piece in picked])
    starts = ends - [len(piece) for piece in picked]
    distances, labels = np.concatenate(connected.distances), _website_labels(bands, starts.tolist(), ends.tolist())
    vectors = np.concatenate(
        [_displacements(q, e, phonopy) for q, e in zip(picked, connected.eigenvectors, strict=True)], axis=0
    )
    return {
        "name": name,
        "natoms": len(primitive),
        "lattice": primitive.cell.tolist(),
        "atom_types": symbols,
        "atom_numbers": [int(number) for number in primitive.numbers],
        "formula": crystal_formula(crystal_atoms(primitive), reduced=False),
        "repetitions": _repetitions(phonopy),
        "atom_pos_car": primitive.positions.tolist(),
        "atom_pos_red": primitive.scaled_positions.tolist(),
        "highsym_qpts": labels,
        "qpoints": np.round(np.concatenate(picked), 9).tolist(),
        "distances": np.round(distances, 9).tolist(),
        "eigenvalues": np.round(CM1_PER_THZ * np.concatenate(connected.frequencies), 4).tolist(),
        "vectors": np.round(np.stack((vectors.real, vectors.imag), axis=-1), 5).tolist(),
        "line_breaks": [[int(start), int(end)] for start, end in zip(starts, ends, strict=True)],
    }


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write `phonon_website`'s result to a file, for "Choose files" on the page."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    write_whole(path, text + "\n")


def _ase_names(bands: BandStructure) -> tuple[str, dict[str, NDArray[np.float64]]]:
    """Path string and special points; empty where a point has no name, or one name stands for two points."""
    labels, continues = list(bands.labels or []), list(bands.path_connections)
    if not labels or not all(labels):
        return "", {}
    names = iter([_ase_name(label) for label in labels])
    points: dict[str, NDArray[np.float64]] = {}
    text = [next(names)]
    here = text[0]
    for i, (piece, continued) in enumerate(zip(bands.qpoints, continues, strict=True)):
        there = next(names)
        for label, q in ((here, np.asarray(piece[0])), (there, np.asarray(piece[-1]))):
            if np.abs(points.setdefault(label, q) - q).max() > 1e-6:
                return "", {}
        text.append(there)
        here = there
        if not continued and i < len(continues) - 1:
            here = next(names)
            text += [",", here]
    return "".join(text), points


def _ase_name(label: str) -> str:
    """ "$\\mathrm{W}_{2}$" -> "W2": a capital, then small letters and digits, is all that ASE can parse."""
    plain = plain_label(label).translate(_SUBSCRIPTS)
    if plain[0] == "G":
        return "Gp" + plain[1:]  # ASE's "G" is Gamma, seekpath's are points of some centred lattices
    return _GREEK.get(plain[0], plain[0].upper()) + plain[1:].lower()


def _website_labels(bands: BandStructure, starts: list[int], ends: list[int]) -> list[list[Any]]:
    """[index of a q-point, name] where segments begin and end; both names where the path jumps."""
    labels = list(bands.labels or [""] * int((2 - np.array(bands.path_connections)).sum()))
    places = joints(labels, list(bands.path_connections))
    indices = [*starts, ends[-1] - 1]
    return [[index, "|".join(map(plain_label, names))] for index, names in zip(indices, places, strict=True)]


def _thinned(qpoints: NDArray[np.float64], points: int) -> NDArray[np.float64]:
    """A segment reduced to so many points at most, as evenly as they lie, with both ends."""
    chosen = np.rint(np.linspace(0, len(qpoints) - 1, min(points, len(qpoints)))).astype(int)
    return qpoints[np.unique(chosen)]


def _displacements(
    qpoints: NDArray[np.float64], eigenvectors: NDArray[np.complex128], phonopy: Phonopy
) -> NDArray[np.complex128]:
    """Displacements (n_q, n_bands, n_atoms, 3) of the atoms of the home cell, each mode of norm 1."""
    primitive = phonopy.primitive
    n = len(primitive)
    modes = np.asarray(eigenvectors).transpose(0, 2, 1).reshape(len(qpoints), 3 * n, n, 3)
    phases = np.exp(2j * np.pi * qpoints @ primitive.scaled_positions.T)
    moved = modes * phases[:, None, :, None] / np.sqrt(primitive.masses)[:, None]
    return moved / np.linalg.norm(moved, axis=(2, 3), keepdims=True)


def _repetitions(phonopy: Phonopy) -> list[int]:
    """How many cells along each vector an animation begins with; one across a layer."""
    atoms = crystal_atoms(phonopy.primitive)
    repeats = [min(4, math.ceil(SHOWN_LENGTH / height)) for height in cell_heights(atoms.cell[:])]
    axis = vacuum_axis(atoms)
    if axis is not None:
        repeats[axis] = 1
    return repeats
