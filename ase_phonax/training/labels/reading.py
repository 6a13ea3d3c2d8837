"""Frames from files: whatever ASE reads, ASE's VibrationsData, phonopy's yaml files, and our own HDF5."""

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from ...base.errors import InputError, StructureError, why_unread
from ...base.input_files import check_nesting, require_file, shown
from ...structures.checks import check_elements, refuse_charge
from ...structures.files import check_contents, known_format
from ..targets import LABELS, TARGETS
from ..values import second_order_of_hessian
from .checks import check_frames
from .frames import Frame
from .near_misses import say_unread, say_unread_fields
from .store import read_store

# Targets that ASE's files may hold, by the name that keys may give another for.
_SOURCES = {target.source.key: target for target in TARGETS if target.source}
_FIELD = "electric_field"  # no label: where the molecule was when its labels were computed
_WEIGHTS = ("weight", *(f"{label}_weight" for label in LABELS))


def read_frames(
    files: str | os.PathLike | Sequence[str | os.PathLike], keys: Mapping[str, str] | None = None
) -> list[Frame]:
    """Labelled frames of one or several files, checked for units and signs.

    By ending: `.h5` and `.hdf5` are files of `save_frames`; `.json` is ASE's VibrationsData (or its JSON database);
    `.yaml` and `.yaml.xz` are phonopy's; everything else goes to ASE, all frames of it (extxyz, db, vasprun.xml,
    OUTCAR, ...). From ASE, energies are the free energy where it is stated, since forces belong to it; a Hessian is
    `info["hessian"]`, 9 n² numbers in eV/Å². `info["energy_weight"]` and its like for forces, stress and curvature,
    or `info["weight"]` for all, are weights. `info["electric_field"]`, three numbers in V/Å, is the uniform field in
    which a molecule has these labels; forces and second derivatives are then those in the field.

    Args:
        files: path or paths; a path may hold wildcards in its last part.
        keys: other names of labels, e.g. {"energy": "REF_energy"}; then only those are looked for. Without them,
            dipoles, polarizabilities and Born charges of periodic structures are left out with a warning. An electric
            field is read whatever is named, and "electric_field" may have another name, too.

    Raises:
        InputError: a file is missing, unreadable, has frames without labels, or labels whose size or sign
            contradict each other.
    """
    if isinstance(files, (str, os.PathLike)):
        files = [files]
    wrong = set(keys or ()) - {*_SOURCES, _FIELD}
    if wrong:
        raise InputError(
            f"keys names {', '.join(sorted(wrong))}",
            "there is no such label",
            f"keys can be given for {', '.join([*_SOURCES, _FIELD])}",
        )
    frames = [frame for file in files for path in _expand(Path(file)) for frame in _read(path, keys)]
    check_frames(frames)
    return frames


def _expand(path: Path) -> list[Path]:
    try:
        several = any(c in path.name for c in "*?[") and not path.exists() and sorted(path.parent.glob(path.name))
    except (OSError, ValueError, NotImplementedError):  # said below
        several = []
    for each in several or [path]:
        require_file(each, "the file of frames", "its frames would be missing")
    return several or [path]


def _read(path: Path, keys: Mapping[str, str] | None) -> list[Frame]:
    name = path.name.lower()
    if name.endswith(".db"):
        return _database(path, keys)
    for endings, reader in READERS.items():
        if name.endswith(endings):
            return reader(path)
    return _through_ase(path, keys)


def _through_phonopy(path: Path) -> list[Frame]:
    from .phonopy_labels import read_phonopy  # phonopy takes half a second to import

    return read_phonopy(path)


def _vibrations(path: Path) -> list[Frame]:
    from ase.io.jsonio import read_json

    try:
        check_nesting(path.read_text(encoding="utf-8"))
        vibrations = read_json(path)
        if not hasattr(vibrations, "get_hessian"):
            return _through_ase(path, None)
        atoms, indices, hessian = vibrations.get_atoms(), vibrations.get_indices(), vibrations.get_hessian()
    except InputError:
        raise
    except Exception as error:  # whatever JSON and ASE's decoder meet
        raise _unreadable(path, error) from error
    if len(indices) != len(atoms):
        raise InputError(
            f"{path}: the Hessian is of {len(indices)} of the {len(atoms)} atoms",
            "the response of the others is not known",
            "compute the Hessian of all atoms",
        )
    return [frame_of_hessian(atoms, hessian, origin=str(path))]


# A kind of file is one reader and one line here; everything else goes to ASE.
READERS: dict[tuple[str, ...], Callable[[Path], list[Frame]]] = {
    (".h5", ".hdf5"): read_store,
    (".yaml", ".yml", ".yaml.xz"): _through_phonopy,
    (".json",): _vibrations,
}


def frame_of_hessian(
    atoms: Atoms,
    hessian: np.ndarray,
    *,
    energy: float | None = None,
    forces: ArrayLike | None = None,
    origin: str = "",
    field: ArrayLike | None = None,
) -> Frame:
    """A frame with its Hessian.

    Args:
        atoms: a molecule, or a cell whose images all move together.
        hessian: (n, 3, n, 3) or (3n, 3n), positive at a minimum [eV/Å²].
        energy: [eV]; forces: (n, 3) [eV/Å].
        field: (3,) uniform electric field in which a molecule has them [V/Å].

    Raises:
        InputError: another shape; a crystal in a field.
    """
    second = second_order_of_hessian(hessian, len(atoms), origin)
    forces = None if forces is None else np.asarray(forces, float)
    given = None if field is None else np.asarray(field)
    return Frame(_bare(atoms), energy, forces, second=second, origin=origin, field=given)


def _bare(atoms: Atoms) -> Atoms:
    return Atoms(
        numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc, masses=atoms.get_masses()
    )


def _through_ase(path: Path, keys: Mapping[str, str] | None) -> list[Frame]:
    from ase.io import read

    # "vasprun.xml-001" ends in nothing that ASE knows.
    known = "vasp-xml" if path.name.startswith("vasprun") and ".xml" in path.name else None
    try:
        # ASE's reader of xyz files ends at a blank line, without a word of what follows.
        known = known or known_format(path)
        check_contents(path, known)
        images = read(path, index=":", format=known)
    except InputError:
        raise
    except Exception as error:  # its parsers raise whatever they meet
        raise _unreadable(path, error) from error
    return _frames_of(list(images), keys, path)


def _database(path: Path, keys: Mapping[str, str] | None) -> list[Frame]:
    """Rows of an ASE database; `ase.io.read` would leave out their key-value pairs and data."""
    from ase.db import connect

    images = []
    try:
        with connect(path, serial=True) as rows:
            for row in rows.select():
                atoms = row.toatoms()
                atoms.info.update({**row.key_value_pairs, **row.data})
                images.append(atoms)
    except Exception as error:  # SQLite and JSON raise whatever they meet
        raise _unreadable(path, error) from error
    return _frames_of(images, keys, path)


def _frames_of(images: Sequence[Atoms], keys: Mapping[str, str] | None, path: Path) -> list[Frame]:
    for label, key in (keys or {}).items():
        if not any(key in _named(atoms) for atoms in images):
            there = sorted({name for atoms in images for name in _named(atoms)} - {"numbers", "positions"})
            raise InputError(
                f"{path}: no frame has {key!r}, which keys names for {label}",
                "the label would be missing from all of them",
                f"correct the key; the frames hold {', '.join(there) or 'none'}",
            )
    frames = [frame_of_atoms(atoms, keys, f"{path}:{k}") for k, atoms in enumerate(images)]
    named = [_named(atoms) for atoms in images]
    if not _of_labels(keys):
        say_unread(named, frames, path)
    say_unread_fields(named, frames, path)
    return frames


def frame_of_atoms(atoms: Atoms, keys: Mapping[str, str] | None = None, origin: str = "") -> Frame:
    """The labels that ASE Atoms carry: results of its calculator, or `info` and `arrays` under `keys`.

    They are those in the electric field `info["electric_field"]` [V/Å], or of a `PhonaxCalculator` in a field.

    Raises:
        InputError: no label at all, or one of a wrong shape; a crystal or an ion in a field.
    """
    check_elements(atoms)
    labels = _labels(atoms, keys)
    if not labels:
        there = sorted([*atoms.info, *(set(atoms.arrays) - {"numbers", "positions"})])
        *most, last = (f"no {target.source.words}" for target in TARGETS if target.source)
        raise InputError(
            f"{origin or 'a frame'} has {', '.join(most)} and {last}",
            "there is nothing to learn from it",
            "name the keys of the labels, e.g. keys: {energy: REF_energy, forces: REF_forces}; it holds "
            + (", ".join(there) or "none"),
        )
    _check_weight_names(atoms, origin)
    given = {name: float(_as_numbers(name, atoms.info.get(name, 1.0), origin)) for name in _WEIGHTS}
    fields = {}
    for key, value in labels.items():
        target = _SOURCES[key]
        assert target.source is not None
        fields[target.attribute] = target.source.make(_as_numbers(key, value, origin), len(atoms), origin)
    weights = {label: given["weight"] * given[f"{label}_weight"] for label in LABELS}
    told = tuple((label, weight) for label, weight in weights.items() if weight != 1)
    return Frame(_bare(atoms), **fields, weights=told, origin=origin, field=_field(atoms, keys, origin))


def _field(atoms: Atoms, keys: Mapping[str, str] | None, origin: str) -> np.ndarray | None:
    """(3,) the field in which these atoms have their labels [V/Å]; None without one."""
    name = (keys or {}).get(_FIELD, _FIELD)
    field = _as_numbers(name, atoms.info[name], origin) if name in atoms.info else None
    if not _of_labels(keys) and atoms.calc is not None:
        from ...calculator import PhonaxCalculator  # with its models it takes long to import

        if isinstance(atoms.calc, PhonaxCalculator):
            own = atoms.calc.field
            if field is not None and not np.array_equal(field, np.zeros(3) if own is None else own):
                raise InputError(
                    f"{origin or 'a frame'} has info[{name!r}] {field.tolist()}, and a calculator with the field "
                    f"{None if own is None else own.tolist()}",
                    "its labels are those in one of these fields, and would be learned as those in the other",
                    f"remove info[{name!r}], or make the calculator with that field",
                )
            field = own
    if field is not None and field.any():
        try:
            refuse_charge(atoms)
        except StructureError as error:
            where = f"{origin or 'a frame'} in an electric field"
            raise InputError(f"{where}: {error.what}", error.why, error.remedy) from error
    return field


def _as_numbers(name: str, value: Any, origin: str) -> np.ndarray:
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{origin or 'a frame'}: {name} is {str(value)[:60]!r}",
            "it has to be numbers",
            "check how the file was written, and the keys of the labels",
        ) from error


def _named(atoms: Atoms) -> dict[str, Any]:
    """Everything a label may be called: ASE's readers move what they know from info and arrays to results."""
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    return {**atoms.info, **atoms.arrays, **results}


def _of_labels(keys: Mapping[str, str] | None) -> dict[str, str]:
    """Other names of labels; the field is none."""
    return {label: key for label, key in (keys or {}).items() if label != _FIELD}


def _labels(atoms: Atoms, keys: Mapping[str, str] | None) -> dict[str, Any]:
    here = _named(atoms)
    if of_labels := _of_labels(keys):
        return {label: here[key] for label, key in of_labels.items() if key in here}
    if "free_energy" in here:
        here["energy"] = here["free_energy"]
    # What cannot be their label is not read, unless `keys` says that it is one.
    molecule, crystal = not atoms.pbc.any(), atoms.pbc.all()
    possible = (label for label, t in _SOURCES.items() if molecule >= t.of_molecules and crystal >= t.of_crystals)
    return {label: here[label] for label in possible if label in here}


def _check_weight_names(atoms: Atoms, origin: str) -> None:
    keys = {f"{key}_weight" for key, target in _SOURCES.items() if key != target.name}
    for name in set(atoms.info) - set(_WEIGHTS):
        near = difflib.get_close_matches(str(name), _WEIGHTS, n=1, cutoff=0.85)
        if near or name in {"config_weight", *keys}:
            raise InputError(
                f"{origin or 'a frame'} has info[{name!r}]",
                "it looks like a weight, and would be ignored",
                f"rename it, for example to {near[0] if near else 'weight or curvature_weight'!r}; known are "
                + ", ".join(_WEIGHTS),
            )


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{shown(path)} cannot be read: {why_unread(error)}",
        "its frames would be missing",
        "check that the file is complete; formats are those of ase.io.read, save_frames, VibrationsData and phonopy",
    )
