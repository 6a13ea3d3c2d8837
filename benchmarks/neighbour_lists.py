"""vesin against matscipy as the neighbour list: import time, call time, and agreement with a plain NumPy list.

python benchmarks/neighbour_lists.py        (needs vesin and matscipy; about half a minute)
"""

import contextlib
import os
import subprocess
import sys
import time

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell, molecule
from ase.geometry import complete_cell

CUTOFF = 6.0


def matscipy_list(atoms, cutoff=CUTOFF, cell=None):
    from matscipy.neighbours import neighbour_list

    cell = atoms.cell.array if cell is None else cell
    return neighbour_list("ijSD", positions=atoms.positions, cell=cell, pbc=atoms.pbc, cutoff=cutoff)


def vesin_list(atoms, cutoff=CUTOFF, cell=None, sort=False, n_threads=1, algorithm="auto"):
    from vesin import NeighborList

    cell = atoms.cell.array if cell is None else cell
    build = NeighborList(cutoff=cutoff, full_list=True, sorted=sort, n_threads=n_threads, algorithm=algorithm)
    return build.compute(points=atoms.positions, box=cell, periodic=atoms.pbc, quantities="ijSD")


LISTS = {
    "matscipy": matscipy_list,
    "vesin": vesin_list,
    "vesin, sorted": lambda *a, **k: vesin_list(*a, **k, sort=True),
    "vesin, 2 threads": lambda *a, **k: vesin_list(*a, **k, n_threads=2),
}


def plain_list(atoms, cutoff=CUTOFF):
    """Every pair and shift within the cutoff: enough images in all periodic directions, one by one."""
    cell, pos = complete_cell(atoms.cell), atoms.positions
    height = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)  # between opposite faces of the cell
    spread = np.ptp(pos @ np.linalg.inv(cell), axis=0)  # atoms outside the cell need further images
    reach = np.where(atoms.pbc, np.ceil(cutoff / height + spread), 0).astype(int)
    found = set()
    for shift in np.ndindex(*(2 * reach + 1)):
        shift = np.array(shift) - reach
        distance = np.linalg.norm(pos[None] - pos[:, None] + shift @ cell, axis=-1)
        inside = distance < cutoff
        if not shift.any():
            np.fill_diagonal(inside, False)
        found |= {(int(i), int(j), *map(int, shift)) for i, j in np.argwhere(inside)}
    return found


def cases():
    """name -> (atoms, cell handed over): the shapes that a neighbour list gets wrong."""
    rng = np.random.default_rng(0)
    left = bulk("MgO", "rocksalt", a=4.21)
    left.set_cell(left.cell[[1, 0, 2]])
    outside = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    outside.positions += 20 * rng.standard_normal((8, 3)).round() @ outside.cell / 5.64
    skewed = Atoms("SiO2", positions=3 * rng.random((3, 3)), cell=[[3, 0, 0], [14, 3.1, 0], [-9, 11, 3.3]], pbc=True)
    slab = Atoms("C2", positions=[[0, 0, 0], [1.23, 0.71, 0.1]], cell=[[2.46, 0, 0], [1.23, 2.13, 0], [0, 0, 0]])
    slab.pbc = (True, True, False)
    vacuum = slab.copy()
    vacuum.set_cell([[2.46, 0, 0], [1.23, 2.13, 0], [0.2, 0.1, 4.0]])
    vacuum.positions[1, 2] = 4.7  # above the top of a cell that does not repeat there
    wire = Atoms("C3", positions=rng.random((3, 3)) * 3, cell=[[0, 0, 0], [0, 0, 0], [0, 0, 2.5]], pbc=(0, 0, 1))
    ethanol = molecule("CH3CH2OH")
    lone = Atoms("Ar", positions=[[0, 0, 0]])
    plain = {
        "left-handed cell": left,
        "partial pbc T T F": vacuum,
        "pbc False, zero cell": ethanol,
        "lone atom, zero cell": lone,
        "atoms far outside the cell": outside,
        "one atom, small cell": bulk("Al", "fcc", a=4.05),
        "very skewed triclinic": skewed,
        "T T F, zero third vector": slab,
        "F F T, two zero vectors": wire,
    }
    given = {name: (atoms, atoms.cell.array) for name, atoms in plain.items()}
    completed = {n + ", completed": (a, complete_cell(a.cell)) for n, a in plain.items() if "zero" in n}
    return given | completed


def verdict(build, atoms, cell):
    """Whether `build` finds the plain list, each pair once, with vectors r_j - r_i + S cell."""
    try:
        i, j, shift, vector = build(atoms, cell=cell)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:34]}"
    found = [(int(a), int(b), *map(int, s)) for a, b, s in zip(i, j, shift, strict=True)]
    expected = plain_list(atoms)
    if set(found) != expected or len(found) != len(expected):
        return f"WRONG: {len(found)} for {len(expected)}"
    wanted = atoms.positions[j] - atoms.positions[i] + shift @ complete_cell(atoms.cell)
    return "same" + ("" if np.all(np.diff(i.astype(int)) >= 0) else ", i unsorted" * (len(i) > 0)) + (
        "" if np.allclose(vector, wanted, atol=1e-10) else ", VECTORS DIFFER"
    )
