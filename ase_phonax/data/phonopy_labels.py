"""Labels from phonopy: force constants as exact sums at the wave vectors that fit their supercell, and forces."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy
from phonopy.physical_units import get_calculator_physical_units

from ..errors import InputError
from ..force_constants import commensurate_qpoints, interpolated_dynamical_matrices
from .frames import Frame, SecondOrder


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
    _check_units(phonopy, origin)
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


def _check_units(phonopy: Phonopy, origin: str) -> None:
    """phonopy keeps the units of the program that made the forces; nothing of it may be taken for eV and Å."""
    units = get_calculator_physical_units(phonopy.calculator)
    if (units.length_unit, units.force_constants_unit) != ("angstrom", "eV/angstrom^2"):
        raise InputError(
            f"{origin or 'the phonopy object'} comes from {phonopy.calculator} and is in {units.length_unit} and "
            f"{units.force_constants_unit}",
            "cell, displacements and force constants would be taken for Å and eV/Å²",
            "convert cell and forces to Å and eV/Å, and write the yaml file without a calculator",
        )


def _lattice_phase(dynamical: np.ndarray, qpoints: np.ndarray, primitive: Any) -> np.ndarray:
    """Undo masses and the positions in the phase (`force_constants.phonopy_dynamical_matrices`)."""
    phase = np.repeat(np.exp(2j * np.pi * qpoints @ primitive.scaled_positions.T), 3, axis=1)
    root = np.repeat(np.sqrt(primitive.masses), 3)
    return phase[:, :, None] * dynamical * phase.conj()[:, None, :] * np.outer(root, root)


def read_phonopy(path: Path) -> list[Frame]:
    """The crystal of a phonopy yaml file (may be compressed with xz), and its displaced supercells.

    FORCE_SETS or FORCE_CONSTANTS beside the file are used where the file itself holds neither. Supercells with
    forces become frames of their own: they hold what the harmonic constants do not.

    Raises:
        InputError: not a file phonopy reads, or one without second derivatives.
    """
    beside = {
        "force_sets_filename": path.parent / "FORCE_SETS",
        "force_constants_filename": path.parent / "FORCE_CONSTANTS",
    }
    options: dict[str, Any] = {key: str(file) for key, file in beside.items() if file.is_file()}
    try:
        found = _load(path)
        if not _has_labels(found) and options:
            key = sorted(options)[0]
            found = _load(path, **{key: options[key]})
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"{path}: phonopy does not read it ({error})",
            "its force constants cannot be used",
            "give the phonopy.yaml, phonopy_disp.yaml or phonopy_params.yaml of a finished calculation",
        ) from error
    # Constants fitted to random displacements are a model of their own; the forces themselves are the labels there.
    random = found.force_constants is None and "forces" in (found.dataset or {})
    _check_units(found, str(path))
    return [*([] if random else [frame_of_phonopy(found, str(path))]), *displaced_frames(found, str(path))]


def _load(path: Path, **options: Any) -> Phonopy:
    import phonopy

    with warnings.catch_warnings():
        # A file that states no primitive cell gets the standard one; that is what is wanted here.
        warnings.filterwarnings("ignore", "primitive_matrix defaulted")
        # Its own search for constants would look in the working directory, where something else may lie.
        return phonopy.load(str(path), produce_fc=False, is_nac=False, log_level=0, **options)


def _has_labels(phonopy: Phonopy) -> bool:
    if phonopy.force_constants is not None:
        return True
    dataset: Any = phonopy.dataset or {}
    return "forces" in dataset or any("forces" in d for d in dataset.get("first_atoms", []))


def displaced_frames(phonopy: Phonopy, origin: str = "") -> list[Frame]:
    """The supercells with displaced atoms whose forces (and energies) the object holds."""
    dataset: Any = phonopy.dataset or {}
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
