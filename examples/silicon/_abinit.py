"""Inputs, runs and results of abinit for silicon: one Hamiltonian, whatever the cell.

The plane waves of a cell at a wave vector of the coarse grid are those of the primitive cell at the wave vectors
that fold onto it, and so are the points in space where exchange and correlation are summed, because both grids are
multiples of those of the primitive cell. An undistorted repeat therefore has the energy of its primitive cells
to rounding.
"""

import lzma
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

ECUT_HARTREE = 10.0
RISE_HARTREE = 0.5  # kinetic energy rises over this range below the cutoff: energies and stresses then agree
WAVE_VECTORS = 6  # along each axis of the primitive cell; 3 and 2 of its repeats fold onto these
GRID = 16  # points along each axis of the primitive cell, in space
# CODATA 2010, as in ASE's default set; those of abinit differ in the ninth digit.
EV, BOHR = 27.211386024367243, 0.5291772105638411

# Bands overlap in perturbed cells, so that fillings are smeared by a Gaussian. At equilibrium it is narrow beside the
# gap and leaves the bands filled, which the calculations there take as given.
FILLED, SMEARED = "occopt 1\n", "occopt 7\ntsmear 0.003\n"

COMMON = f"""ecut {ECUT_HARTREE}
ecutsm {RISE_HARTREE}
pseudos "Si.psp8"
boxcutmin 1.2
nshiftk 1
shiftk 0 0 0
ntypat 1
znucl 14
chkprim 0
prteig 0
prtebands 0
"""


@dataclass(frozen=True)
class Abinit:
    """Where the program is, and where its runs are kept."""

    program: str
    runs: Path
    pseudopotential: Path

    def run(self, name: str, text: str) -> str:
        """The main output of one calculation, from an earlier one of the same input where there is one.

        Args:
            name: folder of the calculation below `runs`.
            text: the input.

        Returns:
            The whole of abinit's main output.

        Raises:
            RuntimeError: abinit stopped, did not converge, or had too few bands.
        """
        folder = self.runs / name
        output = folder / "run.abo"
        finished = folder / "finished.abi"  # the input of the output that lies there
        if not (finished.exists() and finished.read_text() == text):
            finished.unlink(missing_ok=True)
            self._start(folder, text)
            temporary = folder / "finished.tmp"
            temporary.write_text(text)
            temporary.replace(finished)  # last, so that what was cut off is made again
        return output.read_text(errors="replace")

    def _start(self, folder: Path, text: str) -> None:
        """One calculation from the beginning."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("run.abo*"):  # abinit gives its output another name rather than write over one
            old.unlink()
        (folder / "Si.psp8").write_bytes(lzma.decompress(self.pseudopotential.read_bytes()))
        (folder / "run.abi").write_text(text)
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with open(folder / "log", "wb") as log:
            code = subprocess.run(
                [self.program, "run.abi"], cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=one_thread, check=False
            ).returncode
        said = (folder / "log").read_text(errors="replace")
        if code or "Calculation completed." not in said:
            raise RuntimeError(f"abinit stopped in {folder}: see the end of the log there")
        if re.search(r"was not enough SCF cycles|nstep=.*was not enough|not enough steps", said):
            raise RuntimeError(f"abinit did not converge in {folder}: raise nstep, or look at the log there")
        if SMEARED in text and "The minimal occupation factor is" in said.split("ITER STEP NUMBER")[-1]:
            raise RuntimeError(f"the highest band is not empty in {folder}: raise the number of empty bands")


def cell_input(atoms: Atoms, repeat: int, empty_bands: int = 0) -> str:
    """The lines of the input that say cell, atoms and grids.

    Args:
        atoms: of silicon.
        repeat: how many primitive cells along each axis.
        empty_bands: that the iteration carries along; it is slow where the first of them comes close to a filled one.
    """
    n_k, n_r = WAVE_VECTORS // repeat, GRID * repeat
    vectors, positions = (
        "\n".join(" ".join(f"{x:.14f}" for x in row) for row in rows / BOHR)
        for rows in (atoms.cell.array, atoms.positions)
    )
    return (
        f"{COMMON}ngkpt {n_k} {n_k} {n_k}\nngfft {n_r} {n_r} {n_r}\nnatom {len(atoms)}\ntypat {len(atoms)}*1\n"
        f"nband {2 * len(atoms) + empty_bands}\nacell 3*1.0\nrprim\n{vectors}\nxcart\n{positions}\n"
    )


def _last(output: str, name: str) -> np.ndarray:
    """The numbers after the last mention of a variable in the output."""
    found = re.findall(rf"^\s*-?\s*{name}\s+((?:-?\d\.\d+E[-+]\d+\s+)+)", output, re.MULTILINE)
    if not found:
        raise RuntimeError(f"abinit's output has no {name}: it was not run to the end")
    return np.array(found[-1].split(), float)


def ground_state(output: str, n_atoms: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces and stress of a finished calculation.

    Returns:
        energy [eV]; forces, (n_atoms, 3) [eV/Å], their mean already taken away by abinit; stress, (6,) [eV/Å³],
        ASE's order and sign, which are abinit's too.
    """
    return (
        float(_last(output, "etotal")[0]) * EV,
        _last(output, "fcart").reshape(n_atoms, 3) * EV / BOHR,
        _last(output, "strten") * EV / BOHR**3,
    )
