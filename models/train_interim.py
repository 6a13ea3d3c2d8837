"""Train the interim model: a small NequIP that imitates nequix-mp-1-pft on a handful of substances.

    python models/train_interim.py --weights FOLDER_WITH_NQX [--minutes 20] [--labels FILE.extxyz] [--output models]

Labels (energy, forces, stress) are made by the teacher itself; nothing else is needed. Seeds are fixed, but
training stops by the clock. The result is for examples and tests. Adam is written out: it spares a dependency.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.io import read, write

from ase_phonax import PhonaxCalculator, save_model
from ase_phonax.derivatives import cast, node_energies
from ase_phonax.exchange import Exchange
from ase_phonax.graph import build_graph, pad, size_class
from ase_phonax.networks import get_network, make_potential
from ase_phonax.networks.nequip import NequIPConfig
from ase_phonax.potential import Provenance

CRYSTALS = {
    "Si": bulk("Si", "diamond", 5.43),
    "C": bulk("C", "diamond", 3.567),
    "SiC": bulk("SiC", "zincblende", 4.36),
    "NaCl": bulk("NaCl", "rocksalt", 5.64),
    "MgO": bulk("MgO", "rocksalt", 4.21),
    "Al": bulk("Al", "fcc", 4.05),
}
MOLECULES = {name: molecule(name) for name in ("H2O", "CO2", "CH4", "H2")}
NUMBERS = (1, 6, 8, 11, 12, 13, 14, 17)
FRAMES = 60  # per crystal; molecules are small and get three times as many
BATCH = 4
HELD_OUT = 6  # of every substance, for the card


@dataclass(frozen=True)
class Frame:
    """One labelled structure, its graph padded to a size class."""

    substance: str
    n_atoms: int
    graph: object
    energy: float
    forces: np.ndarray
    stress: np.ndarray


def label(weights: Path, rng: np.random.Generator) -> list[tuple[str, Atoms, dict]]:
    """Displaced and strained structures with the teacher's energy, forces and stress."""
    teacher = PhonaxCalculator(weights / "nequix-mp-1-pft.nqx")
    labelled = []
    for name, unit in {**CRYSTALS, **MOLECULES}.items():
        periodic = name in CRYSTALS
        for frame in range(FRAMES if periodic else 3 * FRAMES):
            repeats = ((2, 2, 2) if len(unit) == 2 else (3, 2, 2)) if frame % 3 else (2, 2, 1)
            atoms = unit.repeat(repeats) if periodic else unit.copy()
            if periodic:
                strain = rng.normal(0, 0.015, (3, 3)) + rng.normal(0, 0.01) * np.eye(3)
                atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
            # Small displacements teach the curvature, large ones keep relaxations and MD on the ground.
            size = (0.01, 0.04, 0.1)[frame % 3] * (1.0 if periodic else 0.6)
            atoms.positions += rng.normal(0, size, atoms.positions.shape)
            atoms.calc = teacher
            found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": np.zeros(6)}
            if periodic:
                found["stress"] = atoms.get_stress()
            labelled.append((name, atoms, found))
        print(f"labelled {name}", flush=True)
    return labelled


def labelled_frames(weights: Path, cache: Path | None) -> list[tuple[str, Atoms, dict]]:
    """The labels, from the cache where there is one."""
    if cache is None or not cache.exists():
        labelled = label(weights, np.random.default_rng(0))
        if cache is None:
            return labelled
        for name, atoms, found in labelled:
            atoms.info["substance"] = name
            atoms.calc = SinglePointCalculator(atoms, **found)
        write(cache, [atoms for _, atoms, _ in labelled], format="extxyz")
    return [(atoms.info["substance"], atoms, dict(atoms.calc.results)) for atoms in read(cache, ":", format="extxyz")]


def frames_of(labelled, cutoff: float) -> list[Frame]:
    """Graphs of the labelled structures, padded so that few sizes are compiled."""
    frames = []
    for name, atoms, found in labelled:
        graph = build_graph(atoms, cutoff, NUMBERS)
        graph = pad(graph, 20, max(128, size_class(len(graph.senders) + 1)))
        forces = np.zeros((20, 3))
        forces[: len(atoms)] = found["forces"]
        stress = found["stress"][[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
        frames.append(Frame(name, len(atoms), cast(graph, np.float32), found["energy"], forces, stress))
    return frames


def reference_energies(labelled) -> np.ndarray:
    """Least-squares energy per element [eV]: the network learns what remains."""
    counts = np.array([[np.count_nonzero(atoms.numbers == z) for z in NUMBERS] for _, atoms, _ in labelled])
    energies = np.array([found["energy"] for _, _, found in labelled])
    return np.linalg.lstsq(counts.astype(float), energies, rcond=1e-6)[0]


def errors(function, cutoff, parameters, graph, energy, forces, stress, n_atoms):
    """Energy per atom, force and stress errors of one padded graph, stress times volume per atom."""

    def total(positions, strain):
        return jnp.sum(node_energies(function, cutoff, parameters, graph, positions, (strain + strain.T) / 2))

    positions = graph.nodes["positions"]
    value, (slope, virial) = jax.value_and_grad(total, (0, 1))(positions, jnp.zeros((3, 3), positions.dtype))
    periodic = jnp.any(stress != 0)
    volume = jnp.abs(jnp.linalg.det(graph.globals["cell"][0]))
    real = (jnp.arange(positions.shape[0]) < n_atoms)[:, None]
    return (
        (value - energy) / n_atoms,
        (slope + forces) * real,
        jnp.where(periodic, virial - stress * volume, 0.0) / n_atoms,
    )


def train(config: NequIPConfig, training: list[Frame], parameters, minutes: float):
    """Adam with a cosine schedule; returns the running average of the parameters and the number of steps."""
    network = get_network("nequip", config)
    rng = np.random.default_rng(1)

    def loss(parameters, batch):
        def one(graph, energy, forces, stress, n_atoms):
            e, f, s = errors(network.node_energies, config.cutoff, parameters, graph, energy, forces, stress, n_atoms)
            scale = jnp.sqrt(jnp.sum(forces**2) / (3 * n_atoms)) + 0.05
            return 100 * e**2 + jnp.sum(f**2) / (3 * n_atoms) / scale**2 + 5 * jnp.mean(s**2)

        return jnp.mean(jax.vmap(one)(*batch))

    @jax.jit
    def step(parameters, first, second, average, k, rate, batch):
        value, slope = jax.value_and_grad(loss)(parameters, batch)
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(slope)))
        slope = jax.tree.map(lambda g: g * jnp.minimum(1.0, 5.0 / norm), slope)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slope)
        second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g**2, second, slope)
        parameters = jax.tree.map(
            lambda p, m, v: p - rate * (m / (1 - 0.9**k)) / (jnp.sqrt(v / (1 - 0.99**k)) + 1e-8),
            parameters,
            first,
            second,
        )
        average = jax.tree.map(lambda a, p: 0.995 * a + 0.005 * p, average, parameters)
        return parameters, first, second, average, value

    by_size: dict[int, list[Frame]] = {}
    for frame in training:
        by_size.setdefault(len(frame.graph.senders), []).append(frame)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state, average = (parameters, zeros, zeros), parameters
    start, k, epoch = time.time(), 0, 0
    while (progress := (time.time() - start) / (60 * minutes)) < 1:
        order = [(size, i) for size, group in by_size.items() for i in range(0, len(group), BATCH)]
        rng.shuffle(order)
        shuffled = {size: rng.permutation(len(group)) for size, group in by_size.items()}
        losses = []
        for size, i in order:
            chosen = [by_size[size][j] for j in np.resize(shuffled[size][i : i + BATCH], BATCH)]
            batch = (
                jax.tree.map(lambda *x: np.stack(x), *[f.graph for f in chosen]),
                *(
                    np.stack([getattr(f, key) for f in chosen]).astype(np.float32)
                    for key in ("energy", "forces", "stress", "n_atoms")
                ),
            )
            k += 1
            rate = 4e-3 * 0.5 * (1 + np.cos(np.pi * min(progress, 1.0))) + 1e-5
            *state, average, value = step(*state, average, k, rate, batch)
            losses.append(float(value))
        epoch += 1
        if epoch % 5 == 1:
            print(f"epoch {epoch:4d} step {k:6d} loss {np.mean(losses):.4f} ({time.time() - start:.0f} s)", flush=True)
    return jax.tree.map(np.asarray, average), k


def held_out_errors(config, parameters, frames: list[Frame]) -> dict[str, dict[str, float]]:
    """Mean absolute errors per substance on frames never trained on."""
    function = get_network("nequip", config).node_energies
    evaluate = jax.jit(lambda *inputs: errors(function, config.cutoff, *inputs))
    table: dict[str, list] = {}
    for f in frames:
        e, df, _ = evaluate(
            parameters, f.graph, f.energy, f.forces.astype(np.float32), f.stress.astype(np.float32), f.n_atoms
        )
        table.setdefault(f.substance, []).append((abs(float(e)), float(np.abs(df[: f.n_atoms]).mean())))
    mean = {name: np.mean(rows, axis=0) for name, rows in table.items()}
    return {
        name: {"energy_meV_per_atom": round(1e3 * e, 2), "force_meV_per_A": round(1e3 * f, 1)}
        for name, (e, f) in mean.items()
    }


def main() -> None:
    """Label, train, save the model and its card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="folder with nequix-mp-1-pft.nqx")
    parser.add_argument("--minutes", type=float, default=20, help="training time after labelling")
    parser.add_argument("--labels", type=Path, help="extxyz file that keeps the labels between runs")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()

    labelled = labelled_frames(options.weights, options.labels)
    counts: dict[str, int] = {}
    training, testing = [], []
    config = NequIPConfig(
        n_species=len(NUMBERS),
        cutoff=4.4,
        hidden_irreps="32x0e + 16x1o + 8x2e",
        n_layers=2,
        l_max=2,
        n_basis=8,
        radial_sizes=(48,),
        embedding=16,
        average_neighbors=25.0,
        scale=1.0,
    )
    for item, frame in zip(labelled, frames_of(labelled, config.cutoff), strict=True):
        counts[item[0]] = counts.get(item[0], 0) + 1
        (testing if counts[item[0]] <= HELD_OUT else training).append(frame)
    network = get_network("nequip", config)
    exchange = Exchange(jnp.zeros(1, int), jnp.zeros(1, int), 1)
    parameters = jax.jit(network.init)(jax.random.PRNGKey(0), jnp.ones((1, 3)), jnp.zeros(1, int), exchange)
    parameters = jax.tree.map(np.asarray, parameters)
    parameters["~"]["atom_energies"] = reference_energies(labelled).astype(np.float32)
    parameters, steps = train(config, training, parameters, options.minutes)
    measured = held_out_errors(config, parameters, testing)

    elements = [chemical_symbols[z] for z in NUMBERS]
    provenance = Provenance(
        level_of_theory="imitates nequix-mp-1-pft (PBE / PBE+U, Materials Project settings)",
        training_set=f"{len(training)} displaced and strained frames labelled by the teacher: {', '.join(counts)}",
        licence="MIT",
        citation="teacher: Koker, Kotak, Smidt, arXiv:2508.16067; Koker et al., arXiv:2601.07742",
        source="models/train_interim.py",
    )
    potential = make_potential("nequip", config, parameters, NUMBERS, "interim", provenance)
    save_model(potential, options.output / "interim.h5", overwrite=True)
    card = {
        "name": "interim",
        "elements": elements,
        "level_of_theory": provenance.level_of_theory,
        "n_parameters": potential.n_parameters,
        "training_set": provenance.training_set,
        "licence": provenance.licence,
        "summary": "small, for examples and tests on the substances it was trained on; not for research",
        "steps": steps,
        "held_out_mean_absolute_errors_against_teacher": measured,
    }
    (options.output / "interim.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
