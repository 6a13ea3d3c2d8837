"""Labelled frames of ethanol, how they are divided, and where results are kept."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_phonax import frame_of_hessian
from ase_phonax.training.labels import Frame

HERE = Path(__file__).resolve().parent
EV_PER_HARTREE, ANGSTROM_PER_BOHR = 27.211386245988, 0.529177210903
# Subtracted from all energies: a constant of one molecule, and float32 would round the rest away.
ENERGY_OFFSET = -4208.0  # eV
N_TEST, N_VALID = 150, 50


def dft_frames() -> list[Frame]:
    """The 750 configurations of rMD17 with PBE/def2-SVP energies, forces and Hessians, shuffled once for all."""
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set, so there are no frames: set it to the folder that has data/")
    with np.load(Path(os.environ["PHONAX_DATA"]) / "data/ethanol_pbe_def2svp_efh_train.npz") as file:
        found = {key: file[key] for key in ("Z", "R", "E", "G", "H")}
    order = np.random.default_rng(0).permutation(len(found["R"]))
    return [
        frame_of_hessian(
            Atoms(found["Z"], found["R"][k]),
            found["H"][k].transpose(0, 2, 1, 3) * EV_PER_HARTREE / ANGSTROM_PER_BOHR**2,
            energy=found["E"][k] * EV_PER_HARTREE - ENERGY_OFFSET,
            forces=-found["G"][k] * EV_PER_HARTREE / ANGSTROM_PER_BOHR,
        )
        for k in order
    ]


def parts(frames: list[Frame]) -> tuple[list[Frame], list[Frame], list[Frame]]:
    """Test, validation and the pool that training sets are drawn from; always the same."""
    return frames[:N_TEST], frames[N_TEST : N_TEST + N_VALID], frames[N_TEST + N_VALID :]


def drawn(pool: list[Frame], n: int, seed: int) -> list[Frame]:
    """n random frames of the pool; those of a smaller n are among those of a larger one."""
    return [pool[k] for k in np.random.default_rng((1, seed)).permutation(len(pool))[:n]]


def without_hessian(frame: Frame) -> Frame:
    return replace(frame, second=None)


def central_frame() -> Frame:
    """The configuration of displaced.npz, labelled by the same program as the forces around it."""
    with np.load(HERE / "data/displaced.npz") as file:
        atoms = Atoms(file["numbers"], file["positions"])
        return frame_of_hessian(atoms, file["hessian"], energy=0.0, forces=file["forces"])


def read_rows(path: Path) -> list[dict]:
    """The finished rows of a results file, one JSON object a line."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def add_row(path: Path, row: dict) -> None:
    """A row more; at every moment a whole file lies there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(each) + "\n" for each in [*read_rows(path), row]]
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text("".join(lines))
    os.replace(unfinished, path)
