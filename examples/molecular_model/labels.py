"""Frames of the molecular model, to learn from and to measure on, as the scripts that label left them."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms

from ase_phonax import Frame, frame_of_hessian

HERE = Path(__file__).resolve().parent
HESSIANS, FIELDS, BREADTH, DIPOLES = (HERE / f"data/{name}.npz" for name in ("pbe", "fields", "breadth", "dipoles"))
OF_FIELDS = ("dipole", "polarizability", "born_charges", "polarizability_gradient")
ETHANOL = 60  # frames with Hessians of the published set
EV_PER_HARTREE, ANGSTROM_PER_BOHR = 27.211386245988, 0.529177210903


class Labelled(NamedTuple):
    """One frame of a molecule; `split` is "train", "held out" or "tested"."""

    smiles: str
    split: str
    frame: Frame


def of_file(path: Path) -> Iterator[Labelled]:
    """Frames of one molecule, as `xtb.save` writes them."""
    splits = json.loads((HERE / "data/splits.json").read_text())
    with np.load(path) as file:
        own = dict(file)
    smiles = str(own["smiles"])
    for k in range(len(own.get("numbers", ()))):
        here = {name: values[k] for name, values in own.items() if values.ndim and len(values) == len(own["numbers"])}
        yield Labelled(smiles, splits[smiles], _frame(here, f"{path.name}@{k}"))


def of_pbe() -> list[Labelled]:
    """All by PBE/def2-SVP: with Hessians, in fields, and the many with energies, forces and dipoles, or these alone."""
    splits = json.loads((HERE / "data/splits.json").read_text())
    in_fields, found = dict(_stored(FIELDS)), []
    for name, own in _stored(HESSIANS):
        if "numbers" not in own:
            continue
        here = {key: own[key][0] for key in ("numbers", "positions", "energy", "forces", "hessian")}
        beside = in_fields.pop(name, {})
        if beside and np.array_equal(beside["positions"], here["positions"]):
            here |= {key: beside[key] for key in OF_FIELDS if key in beside}
        smiles = str(own["smiles"])
        found.append(Labelled(smiles, splits[smiles], _frame(here, f"pbe {name}")))
    breadth = dict(_stored(DIPOLES)) | dict(_stored(BREADTH))
    for name, own in (*in_fields.items(), *breadth.items()):
        found.append(Labelled(str(own["smiles"]), str(own["split"]), _frame(own, f"pbe {name}")))
    return found


def of_ethanol() -> list[Frame]:
    """Some of the published configurations at the same level, drawn once for all."""
    if "PHONAX_DATA" not in os.environ:
        print("PHONAX_DATA is not set: no frames of ethanol")
        return []
    folder = Path(os.environ["PHONAX_DATA"])
    folder = folder / "data" if (folder / "data").is_dir() else folder
    with np.load(folder / "ethanol_pbe_def2svp_efh_train.npz") as file:
        chosen = np.random.default_rng(0).permutation(len(file["R"]))[:ETHANOL]
        numbers, arrays = file["Z"], [file[key][chosen] for key in "RHEG"]
    return [
        frame_of_hessian(
            Atoms(numbers, r),
            h.transpose(0, 2, 1, 3) * EV_PER_HARTREE / ANGSTROM_PER_BOHR**2,
            energy=float(e) * EV_PER_HARTREE,
            forces=-g * EV_PER_HARTREE / ANGSTROM_PER_BOHR,
        )
        for r, h, e, g in zip(*arrays, strict=True)
    ]


def _stored(path: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Arrays of each molecule of a file whose arrays are called MOLECULE/NAME."""
    with np.load(path) as stored:
        arrays = dict(stored)
    named: dict[str, dict[str, np.ndarray]] = {}
    for key, values in arrays.items():
        molecule, _, name = key.partition("/")
        if name:
            named.setdefault(molecule, {})[name] = values
    yield from sorted(named.items())


def _frame(own: dict[str, np.ndarray], origin: str) -> Frame:
    """One frame of its arrays."""
    atoms = Atoms(own["numbers"], own["positions"])
    first = {"energy": float(own["energy"]), "forces": own["forces"]} if "energy" in own else {}
    first["origin"] = origin
    frame = frame_of_hessian(atoms, own["hessian"], **first) if "hessian" in own else Frame(atoms, **first)
    return replace(frame, **{name: own[name] for name in OF_FIELDS if name in own})
