"""Crystals to learn from and to judge by, and what a teacher says of those to learn from."""

import ast
import csv
import gzip
import json
import os
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from substituted import formula

from ase_phonax import DensityOfStates, Frame
from ase_phonax.models.spectra.densities import GRID_CM1, N_POINTS, UNKNOWN

HERE = Path(__file__).resolve().parent
PACKED = HERE / "data/teacher.npz"  # shares of the published crystals, and the crystals that nobody published
ROUNDED = 65535  # shares as whole numbers of 1/65535
KNOWN = 51  # points of the published densities, up to 1000 1/cm
COPIES, MOVED = 4, 0.03  # of each published crystal, its atoms moved at random [Å]
OTHERS = 2  # copies of each crystal that nobody published
FLOOR, SCALINGS = 0.05, 30  # of the sum of a site's density; turns of scaling (`matched`)
BINARY_ATOMS = 8  # of a binary crystal at most
ABOVE = 5e-3  # share of a teacher's modes above 1000 1/cm, below which there are none
UNSTABLE = 0.05  # share of imaginary modes above which such a crystal is left out

Labelled = tuple[str, int, Atoms, np.ndarray]


def crystals(quick: bool = False) -> list[Labelled]:
    """Part ("train", "valid" or "test"), number, structure and density (KNOWN,) with the maximum 1 of each crystal."""
    if quick:
        salts = [bulk("MgO", "rocksalt", a=a) for a in (4.1, 4.2, 4.3, 4.4)]
        density = np.exp(-((GRID_CM1[:KNOWN] - 400) ** 2) / 2 / 100**2)
        parts = ("train", "train", "valid", "test")
        return [(part, k, salt, density) for k, (part, salt) in enumerate(zip(parts, salts, strict=True))]
    folder = published_folder()
    csv.field_size_limit(10**9)
    with gzip.open(folder / "phdos_petretto_51pt.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    read = []
    for part in ("train", "valid", "test"):
        for k in map(int, (folder / f"idx_{part}.txt").read_text().split()):
            if k < len(rows):  # the last row is missing
                atoms = Atoms.fromdict(ast.literal_eval(rows[k]["structure"]))
                atoms.pbc = True
                density = np.maximum(ast.literal_eval(rows[k]["phdos"]), 0)
                read.append((part, k, atoms, density / density.max()))
    return read


def published_folder() -> Path:
    """Where the published densities lie."""
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: it is the folder that has data/phonon_dos")
    return Path(os.environ["PHONAX_DATA"]) / "data/phonon_dos"


def binaries(quick: bool = False) -> dict[str, Atoms]:
    """Number at the Materials Project -> binary crystal at rest by PBE, of formulas that were not published; mostly
    metals and alloys, which the published ones are not.
    """
    if quick:
        return {}
    published = {formula(atoms) for _, _, atoms, _ in crystals()}
    with gzip.open(published_folder().parent / "elastic_moduli_pbe.json.gz", "rt") as file:
        rows = json.load(file)
    read = {
        row["mp_id"]: Atoms(row["symbols"], scaled_positions=row["scaled_positions"], cell=row["cell"], pbc=True)
        for row in rows
        if len(row["symbols"]) <= BINARY_ATOMS
    }
    return {name: atoms for name, atoms in read.items() if formula(atoms) not in published}


def shares_of(density: DensityOfStates) -> np.ndarray:
    """(n, N_POINTS) shares of each atom's modes at each frequency."""
    return density.by_atom / density.by_atom.sum(axis=1, keepdims=True)


def taught(options: Namespace) -> dict[str, np.ndarray]:
    """Number of a crystal -> shares (n, N_POINTS) of its atoms by the teacher, as far as they are made."""
    shares = {k: own for k, own in _packed(options).items() if "/" not in k}
    for path in (options.output / "teacher").glob("*[0-9].npz"):
        with np.load(path) as own:
            if "unstable" not in own.files or own["unstable"] <= UNSTABLE:
                shares[path.stem] = own["shares"]
    return {k: _whole(own) for k, own in shares.items() if np.isfinite(own).all()}


def made(options: Namespace) -> list[Frame]:
    """Crystals that nobody published, with what the teacher says of them; the unstable ones are left out."""
    packed = _packed(options)
    names = sorted({k.split("/")[0] for k in packed if "/" in k})
    rows = {name: {k: packed[f"{name}/{k}"] for k in ("numbers", "positions", "cell", "shares")} for name in names}
    for path in sorted((options.output / "more").glob("*[0-9].npz")):
        with np.load(path) as own:
            if "shares" in own.files and own["unstable"] <= UNSTABLE and np.isfinite(own["shares"]).all():
                rows[path.stem] = {k: own[k] for k in ("numbers", "positions", "cell", "shares")}
    return [
        Frame(
            Atoms(row["numbers"], positions=row["positions"], cell=row["cell"], pbc=True),
            partial_densities=_whole(row["shares"]),
            origin=name,
        )
        for name, row in sorted(rows.items())
    ]


def pack(options: Namespace) -> None:
    """All of both into one small file."""
    arrays = {k: _rounded(own) for k, own in sorted(taught(options).items())}
    others = made(options)
    for frame in others:
        atoms, name = frame.atoms, frame.origin
        arrays |= {
            f"{name}/numbers": atoms.numbers.astype(np.uint8),
            f"{name}/positions": atoms.positions.astype(np.float32),
            f"{name}/cell": atoms.cell.array.astype(np.float32),
            f"{name}/shares": _rounded(frame.partial_densities),
        }
    part = PACKED.with_suffix(".part.npz")
    PACKED.parent.mkdir(exist_ok=True)
    np.savez_compressed(part, **arrays)
    part.replace(PACKED)
    print(f"{len(taught(options))} crystals, {len(others)} made of them, {PACKED.stat().st_size / 1e6:.2f} MB")


def frames(options: Namespace, parts: tuple[str, ...], seed: int | None = None) -> list[Frame]:
    """Crystals with their labels; with a seed COPIES of each, moved at random, and those that nobody published."""
    known, teacher = [], taught(options)
    for part, k, atoms, density in crystals(options.quick):
        if part not in parts:
            continue
        total = np.full(N_POINTS, UNKNOWN)
        total[:KNOWN] = density
        shares = None if seed is None else teacher.get(str(k))
        if shares is not None and shares[:, KNOWN:].sum(axis=1).mean() < ABOVE:
            total[KNOWN:] = 0
            shares = matched(shares, total)
        known.append(Frame(atoms, density_of_states=total, partial_densities=shares, origin=str(k)))
    if seed is None:
        return known
    elements = {z for frame in known for z in frame.atoms.numbers}
    others = made(options)
    for name, atoms in binaries(options.quick).items():
        if name in teacher:
            others.append(Frame(atoms, partial_densities=teacher[name], origin=name))
    others = [frame for frame in others if elements.issuperset(frame.atoms.numbers)]
    rng = np.random.default_rng(seed)
    return [_moved(frame, rng) for frame in known * COPIES + others * OTHERS]


def matched(shares: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Densities of sites by the teacher, changed as little as makes their mean that of DFT: rows and columns are scaled
    in turn (W. E. Deming and F. F. Stephan, Ann. Math. Stat. 11, 427 (1940)).
    """
    wanted = len(shares) * total / total.sum()
    # Where the teacher has nothing all sites alike take part, so that a peak in another place can move there.
    own = _whole(shares + FLOOR / shares.shape[1])
    for _ in range(SCALINGS):
        own = own * wanted / np.maximum(own.sum(axis=0), 1e-12)
        own = _whole(own)
    return own


def _moved(frame: Frame, rng: np.random.Generator) -> Frame:
    atoms = frame.atoms.copy()
    atoms.positions += rng.normal(0, MOVED, atoms.positions.shape)
    return replace(frame, atoms=atoms)


def _packed(options: Namespace) -> dict[str, np.ndarray]:
    if not PACKED.exists() or options.quick:
        return {}
    with np.load(PACKED) as packed:
        return {name: packed[name] for name in packed.files}


def _rounded(shares: np.ndarray) -> np.ndarray:
    return np.rint(ROUNDED * shares).astype(np.uint16)


def _whole(shares: np.ndarray) -> np.ndarray:
    return shares / shares.sum(axis=1, keepdims=True, dtype=float)
