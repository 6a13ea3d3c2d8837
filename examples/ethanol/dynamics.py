"""Do potentials trained with Hessians run longer, truer molecular dynamics? With the models of `train.py curves`.

    PHONAX_DATA=... python examples/ethanol/dynamics.py              Langevin dynamics at three temperatures
    PHONAX_DATA=... python examples/ethanol/dynamics.py --constant   drift of the energy, without thermostat

Every potential runs from the same test frames with the same random numbers, all trajectories at once. A trajectory ends
when the molecule is broken (`Molecule.is_whole`). A potential and temperature is a line in dynamics.jsonl or
drift.jsonl under --output; a second start goes on from there.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import jax
import jax.numpy as jnp
import numpy as np
from _labels import add_row, dft_frames, parts, read_rows
from ase import Atoms, units

from ase_phonax import load_model
from ase_phonax.derivatives.compiled.exchange import Exchange

STEP = 0.5 * units.fs
FRICTION = 0.01 / units.fs
THERMALISED = 1  # ps that no average counts
PER_RECORD, RECORDS = 40, 50  # steps between records, and records of one compiled run: 20 fs, 1 ps
BONDED = 1.3  # times the sum of covalent radii
BREAKS = (0.5, 1.5)  # parts of a bond's mean length in the DFT frames
TOUCHES = 0.5  # part of the shortest distance of two atoms in the DFT frames
BINS = np.linspace(0.8, 5.3, 226)  # Å, of distances of all pairs of atoms


@dataclass(frozen=True)
class Molecule:
    """What all trajectories share: atoms, the pairs among them, and when they count as broken.

    Attributes:
        masses: (n,) [amu].
        pairs: (2, n (n - 1) / 2) atoms of each pair.
        bonded: (n_pairs,) whether it is a bond.
        shortest, longest: (n_pairs,) distances outside of which the molecule is broken [Å].
    """

    numbers: np.ndarray
    masses: np.ndarray
    pairs: np.ndarray
    bonded: np.ndarray
    shortest: np.ndarray
    longest: np.ndarray

    @classmethod
    def of(cls, frames: list[Atoms]) -> "Molecule":
        from ase.data import covalent_radii

        first = frames[0]
        pairs = np.array(np.triu_indices(len(first), 1))
        lengths = distances(np.array([f.positions for f in frames]), pairs)
        radii = covalent_radii[first.numbers]
        bonded = lengths.mean(0) < BONDED * (radii[pairs[0]] + radii[pairs[1]])
        mean = lengths.mean(0)
        return cls(
            first.numbers,
            first.get_masses(),
            pairs,
            bonded,
            np.where(bonded, BREAKS[0] * mean, TOUCHES * lengths.min(0)),
            np.where(bonded, BREAKS[1] * mean, np.inf),
        )

    def is_whole(self, x):
        """(trajectories,) no bond broken, no atoms within each other; False also for NaN."""
        found = distances(x, self.pairs)
        return ((found > self.shortest) & (found < self.longest)).all(1)


def distances(x, pairs: np.ndarray):
    """(trajectories, n_pairs) [Å]."""
    return (((x[:, pairs[0]] - x[:, pairs[1]]) ** 2).sum(-1)) ** 0.5


def make_energy(potential, molecule: Molecule, n: int):
    """(parameters, positions (n, atoms, 3)) -> (sum of the energies, each), gradient. One graph, every pair an edge."""
    n_atoms = len(molecule.numbers)
    receivers, senders = np.nonzero(~np.eye(n_atoms, dtype=bool))
    shift = n_atoms * np.arange(n)[:, None]
    exchange = Exchange(jnp.array((senders + shift).ravel()), jnp.array((receivers + shift).ravel()), n_atoms * n)
    species = jnp.tile(jnp.array(np.searchsorted(potential.numbers, molecule.numbers)), n)

    def energies(parameters, x):
        flat = x.reshape(-1, 3)
        vectors = exchange.gather(flat) - exchange.at_receivers(flat)
        found = potential.node_energies(parameters, vectors, species, exchange).reshape(n, n_atoms).sum(1)
        return found.sum(), found

    return jax.value_and_grad(energies, argnums=1, has_aux=True)


def make_run(slope, molecule: Molecule, friction: float):
    """Compiled RECORDS x PER_RECORD steps of BAOAB Langevin dynamics; velocity Verlet without friction."""
    masses = molecule.masses[:, None]
    keep = float(np.exp(-friction * STEP))

    def step(parameters, kt, carry, key):
        x, v, f, potential, alive, lived = carry
        noise = jax.random.normal(key, x.shape, x.dtype) * jnp.sqrt(kt * (1 - keep**2) / masses).astype(x.dtype)
        half = v + 0.5 * STEP * f / masses
        moved = x + 0.5 * STEP * half
        half = keep * half + noise
        moved = moved + 0.5 * STEP * half
        (_, energies), gradient = slope(parameters, moved)
        new = half - 0.5 * STEP * gradient / masses
        still = alive & molecule.is_whole(moved) & jnp.isfinite(energies)
        # A broken one stays as it was: its next steps would be NaN, and poison nothing but cost no less.
        one, each = still, still[:, None, None]
        carry = jnp.where(each, moved, x), jnp.where(each, new, v), jnp.where(each, -gradient, f)
        return (*carry, jnp.where(one, energies, potential), still, lived + one), None

    @jax.jit
    def run(parameters, kt, carry, key):
        def record(carry, key):
            carry, _ = jax.lax.scan(partial(step, parameters, kt), carry, jax.random.split(key, PER_RECORD))
            x, v, _, potential, alive, _ = carry
            kinetic = 0.5 * (masses * v**2).sum((1, 2))
            return carry, (distances(x, molecule.pairs), kinetic, potential, alive)

        return jax.lax.scan(record, carry, jax.random.split(key, RECORDS))

    return run


def start(slope, parameters, molecule: Molecule, frames: list[Atoms], temperature: float, dtype) -> tuple:
    """Positions of test frames, Maxwell's velocities without drift, forces."""
    rng = np.random.default_rng((2, int(temperature)))
    x = np.array([f.positions for f in frames])
    v = rng.normal(size=x.shape) * np.sqrt(units.kB * temperature / molecule.masses[:, None])
    v -= (molecule.masses[:, None] * v).sum(1, keepdims=True) / molecule.masses.sum()
    x, v = jnp.array(x, dtype), jnp.array(v, dtype)
    (_, energies), gradient = slope(parameters, x)
    n = len(frames)
    return x, v, -gradient, energies, jnp.ones(n, bool), jnp.zeros(n, int)


class Simulations:
    """Trajectories of any potential of one network; compiled once."""

    def __init__(self, molecule: Molecule, frames: list[Atoms], constant: bool):
        self.molecule, self.frames, self.dtype = molecule, frames, "float64" if constant else "float32"
        self.frictions = (FRICTION, 0.0) if constant else (FRICTION,)
        self.compiled: dict = {}

    def parts(self, potential):
        key = potential.node_energies
        if key not in self.compiled:
            slope = make_energy(potential, self.molecule, len(self.frames))
            runs = [make_run(slope, self.molecule, friction) for friction in self.frictions]
            self.compiled[key] = jax.jit(slope), runs
        return self.compiled[key]

    def langevin(self, potential, temperature: float, picoseconds: int) -> dict:
        """When each trajectory ended, and how distances were distributed until then."""
        slope, (run,) = self.parts(potential)
        parameters = jax.tree.map(lambda p: jnp.array(p, self.dtype), potential.parameters)
        carry = start(slope, parameters, self.molecule, self.frames, temperature, self.dtype)
        kt, counts = jnp.array(units.kB * temperature, self.dtype), np.zeros((2, len(BINS) - 1), int)
        seen = 0
        for k in range(picoseconds):
            carry, (lengths, _, _, alive) = run(parameters, kt, carry, jax.random.PRNGKey(1000 * int(temperature) + k))
            if k >= THERMALISED:
                taken = np.asarray(lengths)[np.asarray(alive)]
                for row, which in enumerate((self.molecule.bonded, ~self.molecule.bonded)):
                    counts[row] += np.histogram(taken[:, which], BINS)[0]
                seen += len(taken)
            if not np.asarray(carry[4]).any():
                break
        lived = (np.asarray(carry[5]) * STEP / (1000 * units.fs)).round(4)
        return {
            "picoseconds": picoseconds,
            "lived": lived.tolist(),
            "whole": np.asarray(carry[4]).tolist(),
            "samples": seen,
            "bonds": counts[0].tolist(),
            "others": counts[1].tolist(),
        }

    def constant(self, potential, temperature: float, picoseconds: int) -> dict:
        """Drift of the total energy after a picosecond with thermostat."""
        slope, (warm, run) = self.parts(potential)
        parameters = jax.tree.map(lambda p: jnp.array(p, self.dtype), potential.parameters)
        carry = start(slope, parameters, self.molecule, self.frames, temperature, self.dtype)
        kt = jnp.array(units.kB * temperature, self.dtype)
        carry, _ = warm(parameters, kt, carry, jax.random.PRNGKey(int(temperature)))
        carry = (*carry[:5], 0 * carry[5])
        totals = []
        for _ in range(picoseconds):
            carry, (_, kinetic, energies, _) = run(parameters, kt, carry, jax.random.PRNGKey(0))
            totals.append(np.asarray(kinetic + energies))
        total, whole = np.concatenate(totals) / len(self.molecule.numbers), np.asarray(carry[4])
        times = (1 + np.arange(len(total))) * PER_RECORD * STEP / (1000 * units.fs)
        drift = np.polyfit(times, total, 1)[0]
        return {
            "picoseconds": picoseconds,
            "whole": whole.tolist(),
            "drift": np.where(whole, drift, 0).tolist(),  # eV/atom/ps, of those that stay whole
            "fluctuation": np.where(whole, total.std(0), 0).tolist(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/ethanol"), help="folder of models and results")
    parser.add_argument("--constant", action="store_true", help="constant energy")
    parser.add_argument("--frames", type=int, nargs="+", default=(20, 100), help="training sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=range(4), help="trainings")
    parser.add_argument("--temperatures", type=int, nargs="+", default=(500, 300, 800), help="K")
    parser.add_argument("--trajectories", type=int, default=8, help="of each potential and temperature")
    parser.add_argument("--picoseconds", type=int, default=20)
    options = parser.parse_args()
    results = options.output / ("drift.jsonl" if options.constant else "dynamics.jsonl")
    keys = ("frames", "hessians", "seed", "temperature")
    done = {tuple(row[key] for key in keys) for row in read_rows(results)}
    frames = dft_frames()
    molecule = Molecule.of([f.atoms for f in frames])
    starts = [f.atoms for f in parts(frames)[0][: options.trajectories]]
    simulations = Simulations(molecule, starts, options.constant)
    for temperature in options.temperatures:
        for n in options.frames:
            for seed in options.seeds:
                for hessians in (False, True):
                    case = (n, hessians, seed, temperature)
                    model = options.output / f"models/{n}-{'hessians' if hessians else 'forces'}-{seed}/model.h5"
                    if case in done or not model.exists():
                        continue
                    began = time.process_time()
                    with jax.enable_x64(options.constant):
                        simulate = simulations.constant if options.constant else simulations.langevin
                        found = simulate(load_model(model), temperature, options.picoseconds)
                    add_row(results, dict(zip(keys, case, strict=True)) | found)
                    print(
                        f"{n} frames {'with' if hessians else 'without'} Hessians, seed {seed}, {temperature} K: "
                        f"{sum(found['whole'])} of {len(starts)} whole after {options.picoseconds} ps, "
                        f"{time.process_time() - began:.0f} s",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
