"""Energies, forces and Hessians of molecules by PBE/def2-SVP, in eV and Å, each kept as soon as it is known.

Needs `pip install pyscf ase`. The Coulomb integrals are exact unless fitted ones are asked for, and the
self-consistency is tight.
Forces include the response of the integration grid, so that they are the derivative of the energy that is
computed and sum to zero exactly; the analytic Hessian has no such term, and its error falls with the grid alone.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyscf
from ase import Atoms
from pyscf import dft, gto, lib

EV_PER_HARTREE = 27.211386245988  # CODATA 2018
ANGSTROM_PER_BOHR = lib.param.BOHR  # PySCF reads positions with this one
FORCE_UNIT = EV_PER_HARTREE / ANGSTROM_PER_BOHR
HESSIAN_UNIT = EV_PER_HARTREE / ANGSTROM_PER_BOHR**2
CONVERGENCE = {"conv_tol": 1e-11, "conv_tol_grad": 1e-7, "cpscf_conv_tol": 1e-8}


def level_of_theory(grid_level: int, quick: bool = False) -> str:
    """Everything that fixes the numbers, as one JSON line; results of another line are refused."""
    settings = {"program": f"PySCF {pyscf.__version__}", "functional": "PBE", "basis": "def2-SVP"}
    settings |= {"density_fitting": quick, "grid_level": grid_level, "grid_response_in_forces": True}
    if quick:
        settings["grid_level_hessian"] = grid_level - 1
    return json.dumps(settings | CONVERGENCE)


def label(atoms: Atoms, grid_level: int, hessian: bool = False, quick: bool = False) -> dict[str, np.ndarray]:
    """Self-consistent energy and its derivatives.

    Args:
        atoms: neutral closed-shell molecule of n atoms [Å].
        grid_level: PySCF's size of the integration grid, 0 to 9.
        hessian: also the analytic second derivatives.
        quick: Coulomb integrals by density fitting, and the Hessian on the next smaller grid: 0.6 of the time. For
            ethanol, forces change by 2 meV/Å at most and the Hessian by 0.07 % (of its Frobenius norm).

    Returns:
        energy [eV]; forces (n, 3) [eV/Å]; with `hessian` also hessian (n, 3, n, 3) [eV/Å²], the derivative of
        minus the force on atom i along a by the position of atom j along b.

    Raises:
        RuntimeError: the self-consistent field did not converge.
    """
    molecule = gto.M(
        atom=list(zip(atoms.numbers.tolist(), atoms.positions, strict=True)), unit="Ang", basis="def2-svp", verbose=0
    )
    field = dft.RKS(molecule, xc="pbe")
    if quick:
        field = field.density_fit()
    field.grids.level = grid_level
    field.conv_tol, field.conv_tol_grad = CONVERGENCE["conv_tol"], CONVERGENCE["conv_tol_grad"]
    energy = field.kernel()
    if not field.converged:
        raise RuntimeError(f"no self-consistency for {atoms}: its forces would be wrong; look at the geometry")
    gradient = field.nuc_grad_method()
    gradient.grid_response = True
    result = {"energy": np.array(energy * EV_PER_HARTREE), "forces": -gradient.kernel() * FORCE_UNIT}
    if hessian:
        if quick:
            field.grids.level = grid_level - 1
            field.grids.build()
        second = field.Hessian()
        second.conv_tol = CONVERGENCE["cpscf_conv_tol"]
        result["hessian"] = second.kernel().transpose(0, 2, 1, 3) * HESSIAN_UNIT
    return result


def kept(path: Path, atoms: Atoms, level: str, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The result at `path`, computed and written there if it is not; one line of progress when it was computed.

    Raises:
        ValueError: the file is of another geometry or level of theory.
    """
    if path.exists():
        with np.load(path) as stored:
            found = dict(stored)
        if str(found["level"]) != level or not np.array_equal(found["positions"], atoms.positions):
            raise ValueError(f"{path} has another geometry or level of theory: mixed labels; delete it to compute anew")
        return found
    start = time.perf_counter()
    result = compute() | {"positions": atoms.positions.copy(), "level": np.array(level)}
    result["seconds"] = np.array(time.perf_counter() - start)
    write(path, result)
    largest = np.abs(result["forces"]).max()
    print(
        f"{path.stem}: {result['energy']:.6f} eV, largest force {largest:.3f} eV/Å, {result['seconds']:.0f} s",
        flush=True,
    )
    return result


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An npz file that is either complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    with open(unfinished, "wb") as file:
        np.savez_compressed(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
