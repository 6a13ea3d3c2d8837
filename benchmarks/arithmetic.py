"""How much of the machine's arithmetic the constants use: operations of the plain network over our time.

    python benchmarks/arithmetic.py --model nequix-mp-1-pft.nqx

Operations are what XLA counts for one Hessian-vector product of the network as a plain function on the primitive
cell, times the columns (wave vectors times displacements) computed here. A complex column needs two such products;
it is counted once where all its phases are real. Saved operations count as done. The machine's rate is that of its own
float32 matrix product.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from force_constants import crystals, phonopy_of

from ase_phonax import PhonaxCalculator
from ase_phonax.derivatives.arrays import lattice_matrices
from ase_phonax.derivatives.compiled import responses
from ase_phonax.derivatives.compiled.graphs import build_graph, pad


def machine_rate() -> float:
    """Operations per second of a large product."""
    a = np.random.default_rng(0).random((3000, 3000), dtype=np.float32)
    a @ a
    start = time.perf_counter()
    for _ in range(4):
        a @ a
    return 4 * 2 * len(a) ** 3 / (time.perf_counter() - start)


def operations(calc: PhonaxCalculator, atoms) -> float:
    """Of one Hessian-vector product of the plain network, by XLA's count."""
    potential = calc.potential
    graph = responses.cast(pad(build_graph(atoms, potential.cutoff, potential.numbers)), np.dtype("float32"))
    parameters = responses.cast(potential.parameters, np.dtype("float32"))

    def energy(positions):
        return jnp.sum(responses.node_energies(potential.node_energies, potential.cutoff, parameters, graph, positions))

    def product(positions, direction):
        return jax.jvp(jax.grad(energy), (positions,), (direction,))[1]

    x = graph.nodes["positions"]
    cost = jax.jit(product).lower(x, x).compile().cost_analysis()
    return (cost[0] if isinstance(cost, list) else cost)["flops"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--only", nargs="+", default=["Si", "NaCl", "TiO2", "Al2O3"])
    options = parser.parse_args()
    rate, columns = machine_rate(), []
    inner = lattice_matrices.lattice_matrices

    def counted(expansion, qpoints, displacements=None, progress=None):
        copies = 2 - (np.abs(2 * qpoints - np.rint(2 * qpoints)).max(axis=1) < 1e-9)
        columns.append(sum(int(c) * u.shape[1] for c, u in zip(copies, displacements, strict=True)))
        return inner(expansion, qpoints, displacements, progress)

    lattice_matrices.lattice_matrices = counted
    print(f"float32 matrix product: {rate / 1e9:.0f} GFLOP/s")
    print(f"{'crystal':10}{'products':>9}{'GFLOP each':>12}{'s':>8}{'GFLOP/s':>9}{'of the machine':>16}")
    for name in options.only:
        atoms, calc = crystals()[name], PhonaxCalculator(options.model, dtype="float32")
        phonopy, times = phonopy_of(atoms), []
        for _ in range(4):
            calc._forget()
            start = time.perf_counter()
            calc.get_force_constants(phonopy)
            times.append(time.perf_counter() - start)
        each = operations(calc, atoms)
        speed = each * columns[-1] / min(times)
        row = f"{name:10}{columns[-1]:>9}{each / 1e9:>12.2f}{min(times):>8.3f}{speed / 1e9:>9.0f}{speed / rate:>15.0%}"
        print(row, flush=True)


if __name__ == "__main__":
    main()
