"""Labels from phonopy: force constants as exact sums at the wave vectors that fit their supercell, and forces."""

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy
from phonopy.file_IO import check_force_constants_indices, parse_FORCE_CONSTANTS, parse_FORCE_SETS
from phonopy.interface.phonopy_yaml import PhonopyYaml
from phonopy.structure.atoms import PhonopyAtoms

from ...base import hdf5
from ...base.errors import InputError, is_failure, why_unread
from ...phonons.supercell.constants import commensurate_qpoints, interpolated_dynamical_matrices
from ...phonons.supercell.door import require_our_units
from ..values import SecondOrder
from .frames import Frame

# Displacements and forces of supercells, in one of phonopy's two forms.
Dataset = Any
_UNIT = "eV/angstrom^2"  # of force constants, as phonopy writes it


def frame_of_phonopy(phonopy: Phonopy, origin: str = "") -> Frame:
    """The primitive cell with sum_R Phi(R) exp(2 pi i q.R) at every q (one of each pair +-q) that fits the supercell.

    At those q the constants of the supercell are exact whatever their true range; in between, they would be
    an interpolation, and are not used. Non-analytic terms are left out: the label is what displacements in
    the supercell give.

    Args:
        phonopy: with force constants, or with displacements and forces.

    Raises:
        InputError: neither is there.
    """
    if phonopy.force_constants is None:
        if not _has_labels(phonopy):
            raise InputError(
                f"{origin or 'the phonopy object'} has neither force constants nor forces",
                "there are no second derivatives to learn from",
                "put FORCE_SETS or FORCE_CONSTANTS beside the yaml file, or use the yaml of `phonopy --save`",
            )
        phonopy.produce_force_constants()
    require_our_units(phonopy, origin or "the phonopy object")
    primitive = phonopy.primitive
    qpoints, _ = commensurate_qpoints(primitive.cell, phonopy.supercell.cell)
    without = phonopy.nac_params
    phonopy.nac_params = None
    try:
        weighted = interpolated_dynamical_matrices(phonopy, qpoints)
    finally:
        phonopy.nac_params = without
    atoms = Atoms(
        numbers=primitive.numbers,
        positions=primitive.positions,
        cell=primitive.cell,
        masses=primitive.masses,
        pbc=True,
    )
    return Frame(atoms, second=SecondOrder(qpoints, _lattice_phase(weighted, qpoints, primitive)), origin=origin)


def _lattice_phase(dynamical: np.ndarray, qpoints: np.ndarray, primitive: PhonopyAtoms) -> np.ndarray:
    """Undo masses and the positions in the phase (`conventions.phonopy_dynamical_matrices`)."""
    phase = np.repeat(np.exp(2j * np.pi * qpoints @ primitive.scaled_positions.T), 3, axis=1)
    root = np.repeat(np.sqrt(primitive.masses), 3)
    return phase[:, :, None] * dynamical * phase.conj()[:, None, :] * np.outer(root, root)


def read_phonopy(path: Path) -> list[Frame]:
    """The crystal of a phonopy yaml file (may be compressed with xz), and its displaced supercells.

    FORCE_SETS, FORCE_CONSTANTS or force_constants.hdf5 beside the file are used where the file itself holds
    neither constants nor forces. Supercells with forces become frames of their own: they hold what the harmonic
    constants do not.

    Raises:
        InputError: not a file phonopy reads, or one without second derivatives, or in units of another program.
    """
    try:
        phonopy = _load(path)
        require_our_units(phonopy, str(path))
        if not _has_labels(phonopy):
            _add_labels(phonopy, path)
        # Constants fitted to random displacements are a model of their own; the forces are the labels there.
        random = phonopy.force_constants is None and "forces" in (phonopy.dataset or {})
        crystal = [] if random else [frame_of_phonopy(phonopy, str(path))]
        return [*crystal, *displaced_frames(phonopy, str(path))]
    except InputError:
        raise
    except BaseException as error:  # YAML, lzma, NumPy and phonopy raise whatever they meet
        if not is_failure(error):
            raise
        raise InputError(
            f"{path}: phonopy does not read it: {why_unread(error)}",
            "its force constants cannot be used",
            "give the phonopy.yaml, phonopy_disp.yaml or phonopy_params.yaml of a finished calculation",
        ) from error


def _load(path: Path) -> Phonopy:
    """What the file holds and nothing else: `phonopy.load` would also search the working directory."""
    file = PhonopyYaml()
    file.read(path)
    if file.unitcell is None:
        raise ValueError("it holds no unit cell")
    result = Phonopy(
        file.unitcell,
        supercell_matrix=np.eye(3, dtype=int) if file.supercell_matrix is None else file.supercell_matrix,
        primitive_matrix="auto" if file.primitive_matrix is None else file.primitive_matrix,
        calculator=file.calculator,
        log_level=0,
    )
    if file.dataset is not None:
        result.dataset = file.dataset
    if file.force_constants is not None:
        result.force_constants = file.force_constants
    return result


def _add_labels(phonopy: Phonopy, path: Path) -> None:
    """Forces or constants from the files beside the yaml file."""
    sets, text, binary = (path.parent / n for n in ("FORCE_SETS", "FORCE_CONSTANTS", "force_constants.hdf5"))
    if sets.is_file():
        dataset = parse_FORCE_SETS(sets, natom=len(phonopy.supercell))
        if not _same_displacements(phonopy.dataset, dataset):
            raise InputError(
                f"{sets} has other displacements than {path}",
                "forces would be joined to the wrong structures",
                "make FORCE_SETS again from the calculations of this file",
            )
        phonopy.dataset = dataset
    elif text.is_file():
        phonopy.force_constants = parse_FORCE_CONSTANTS(text, p2s_map=phonopy.primitive.p2s_map)
    elif binary.is_file():
        phonopy.force_constants = _binary_constants(binary, phonopy.primitive.p2s_map)


def _binary_constants(path: Path, p2s_map: np.ndarray) -> np.ndarray:
    """Constants of a force_constants.hdf5, as phonopy reads them, in eV/Å²."""
    arrays = hdf5.read(path, needs_seal=False).arrays
    name = "fc2" if "fc2" in arrays else "force_constants"
    if "p2s_map" in arrays:
        check_force_constants_indices(arrays[name].shape[:2], arrays["p2s_map"], p2s_map, path)
    unit = arrays.get("physical_unit", [_UNIT])[0]
    if unit != _UNIT:
        raise InputError(
            f"{path} is in {unit}",
            f"its force constants would be taken for {_UNIT}",
            "convert them, or write FORCE_SETS",
        )
    return arrays[name]


def _same_displacements(known: Dataset | None, read: Dataset) -> bool:
    """Whether two data sets move the same atoms alike; unknown counts as the same."""
    if not known or ("first_atoms" in known) != ("first_atoms" in read):
        return not known
    if "first_atoms" not in known:
        return np.allclose(known["displacements"], read["displacements"], rtol=0, atol=1e-5)
    pairs = [[(d["number"], *d["displacement"]) for d in data["first_atoms"]] for data in (known, read)]
    return len(pairs[0]) == len(pairs[1]) and np.allclose(pairs[0], pairs[1], rtol=0, atol=1e-5)


def _has_labels(phonopy: Phonopy) -> bool:
    if phonopy.force_constants is not None:
        return True
    dataset: Dataset = phonopy.dataset or {}
    return "forces" in dataset or any("forces" in d for d in dataset.get("first_atoms", []))


def displaced_frames(phonopy: Phonopy, origin: str = "") -> list[Frame]:
    """The supercells with displaced atoms whose forces (and energies) the object holds."""
    dataset: Dataset = phonopy.dataset or {}
    base = phonopy.supercell
    if "forces" in dataset:
        shifts, forces = np.asarray(dataset["displacements"]), np.asarray(dataset["forces"])
        energies = dataset.get("supercell_energies")
    else:
        first = [d for d in dataset.get("first_atoms", []) if "forces" in d]
        shifts = np.zeros((len(first), len(base), 3))
        for k, d in enumerate(first):
            shifts[k, d["number"]] = d["displacement"]
        forces = np.array([d["forces"] for d in first])
        energies = [d["supercell_energy"] for d in first] if first and "supercell_energy" in first[0] else None
    result = []
    for k, (shift, force) in enumerate(zip(shifts, forces, strict=True)):
        atoms = Atoms(
            numbers=base.numbers, positions=base.positions + shift, cell=base.cell, masses=base.masses, pbc=True
        )
        energy = None if energies is None else float(energies[k])
        result.append(Frame(atoms, energy, np.asarray(force, float), origin=f"{origin}, displacement {k}"))
    return result
