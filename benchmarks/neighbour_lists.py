"""vesin against matscipy as the neighbour list: import time, call time, and agreement with a plain NumPy list.

python benchmarks/neighbour_lists.py        (needs vesin and matscipy; about a minute)

matscipy inverts the cell, so zero vectors are completed for it first; vesin takes the cell as it is.
"""

import subprocess
import sys
import time

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.geometry import complete_cell

CUTOFF = 6.0


def matscipy_list(atoms):
    from matscipy.neighbours import neighbour_list

    cell = complete_cell(atoms.cell)
    return neighbour_list("ijSD", positions=atoms.positions, cell=cell, pbc=atoms.pbc, cutoff=CUTOFF)


def vesin_list(atoms, **options):
    from vesin import NeighborList

    build = NeighborList(cutoff=CUTOFF, full_list=True, **options)
    return build.compute(points=atoms.positions, box=atoms.cell.array, periodic=atoms.pbc, quantities="ijSD")


def vesin_sorted(atoms):
    return vesin_list(atoms, sorted=True, n_threads=1)


LISTS = {"matscipy": matscipy_list, "vesin": vesin_list, "vesin, sorted, one thread": vesin_sorted}


def plain_list(atoms):
    """The set of (i, j, S) within the cutoff: every image that can matter, one by one."""
    cell, pos = complete_cell(atoms.cell), atoms.positions
    inverse = np.linalg.inv(cell)
    images = CUTOFF * np.linalg.norm(inverse, axis=0) + np.ptp(pos @ inverse, axis=0)  # atoms may lie outside
    reach = np.where(atoms.pbc, np.ceil(images), 0).astype(int)
    found = set()
    for shift in np.ndindex(*(2 * reach + 1)):
        shift = np.array(shift) - reach
        inside = np.linalg.norm(pos[None] - pos[:, None] + shift @ cell, axis=-1) < CUTOFF
        if not shift.any():
            np.fill_diagonal(inside, False)
        found |= {(i, j, *shift.tolist()) for i, j in np.argwhere(inside).tolist()}
    return found


def cases():
    """name -> atoms: the shapes that a neighbour list gets wrong, and input that it should refuse."""
    rng = np.random.default_rng(0)
    left = bulk("MgO", "rocksalt", a=4.21)
    left.set_cell(left.cell[[1, 0, 2]])
    outside = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    outside.positions += rng.integers(-30, 30, (8, 3)) @ outside.cell
    skewed = Atoms("SiO2", positions=3 * rng.random((3, 3)), cell=[[3, 0, 0], [14, 3.1, 0], [-9, 11, 3.3]], pbc=True)
    slab = Atoms("C2", positions=[[0, 0, 0], [1.2, 0.7, 4.7]], cell=[[2.5, 0, 0], [1.2, 2.1, 0], [0.2, 0.1, 4.0]])
    slab.pbc = (True, True, False)  # the second atom is above the cell's top
    flat = slab.copy()
    flat.cell[2] = 0.0
    nan_position, nan_cell = bulk("Si"), bulk("Si")
    nan_position.positions[0, 0] = nan_cell.cell[0, 0] = np.nan
    return {
        "left-handed cell": left,
        "atoms far outside the cell": outside,
        "one atom, small cell": bulk("Al", a=4.05),
        "very skewed triclinic": skewed,
        "partial pbc T T F": slab,
        "T T F, zero third vector": flat,
        "F F T, two zero vectors": Atoms("C3", positions=rng.random((3, 3)), cell=[0, 0, 2.5], pbc=(0, 0, 1)),
        "pbc False, zero cell": molecule("CH3CH2OH"),
        "pbc False, 1e6 Å apart": Atoms("H2", positions=[[0, 0, 0], [0, 0, 1e6]]),
        "T T T, zero third vector": Atoms("Si", cell=[3, 3, 0], pbc=True),
        "NaN position": nan_position,
        "NaN in the cell": nan_cell,
    }


def verdict(build, atoms):
    """Whether `build` finds the plain list, each pair once, with vectors r_j - r_i + S cell."""
    try:
        i, j, shift, vector = build(atoms)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if not np.isfinite([*atoms.positions, *atoms.cell.array]).all() or (atoms.pbc & ~atoms.cell.any(1)).any():
        return f"{len(i)} pairs, no complaint"
    found = list(zip(i.tolist(), j.tolist(), *shift.T.tolist(), strict=True))
    if set(found) != plain_list(atoms) or len(found) != len(set(found)):
        return f"WRONG: {len(found)} pairs for {len(plain_list(atoms))}"
    wanted = atoms.positions[j] - atoms.positions[i] + shift @ complete_cell(atoms.cell)
    same = "same" if np.allclose(vector, wanted, atol=1e-10) else "VECTORS DIFFER"
    return same if found == sorted(found, key=lambda pair: pair[0]) else f"{same}, i unsorted"


def own_process(*command):
    """Standard output of a Python process, or the signal that ended it."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode >= 0 else f"PROCESS KILLED by signal {-done.returncode}"


def milliseconds(call, atoms):
    times = []
    while sum(times) < 0.3:
        start = time.perf_counter()
        call(atoms)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def main():
    if len(sys.argv) == 3:
        return print(verdict(LISTS[sys.argv[1]], cases()[sys.argv[2]]))
    print("import, ms in a fresh process, median of 5, NumPy and ASE already there")
    for name in ("matscipy.neighbours", "vesin"):
        code = f"import ase, time; t = time.perf_counter(); import {name}; print(1e3 * (time.perf_counter() - t))"
        print(f"  {name:30} {np.median([float(own_process('-c', code)) for _ in range(5)]):8.1f}")

    silicon = bulk("Si", cubic=True)
    sizes = {"Al 1": bulk("Al", a=4.05), "Si 2": bulk("Si"), "Si 64": silicon * 2, "Si 1000": silicon * 5}
    print(f"\none call, ms, best; cutoff {CUTOFF} Å{'':5}" + "".join(f"{name:>10}" for name in sizes))
    for name, build in LISTS.items():
        print(f"  {name:30} " + "".join(f"{milliseconds(build, atoms):10.3f}" for atoms in sizes.values()))
        print("    dtypes of i, j, S, D:", *(x.dtype for x in build(silicon)))

    print(f"\nagainst the plain list, each in its own process\n{'':32}" + "".join(f"{name:42}" for name in LISTS))
    for name in cases():
        print(f"  {name:30}" + "".join(f"{own_process(__file__, build, name)[:40]:42}" for build in LISTS))
    assert "jax" not in sys.modules


if __name__ == "__main__":
    main()
