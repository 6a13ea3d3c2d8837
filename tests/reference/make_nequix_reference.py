"""Frozen numbers of the public `nequix` package on ten structures, written to nequix.json.

This runs in an environment of its own, never in the test suite:

    python -m venv nequix-env && . nequix-env/bin/activate
    pip install --no-deps nequix==0.4.5 e3nn-jax==0.21.0 jraph
    pip install jax equinox ase matscipy cloudpickle pyyaml tqdm attrs sympy
    python tests/reference/make_nequix_reference.py --weights FOLDER

(`--no-deps` because nequix asks for CUDA builds of jax.) FOLDER holds the `.nqx` files; it defaults to
`$PHONAX_DATA/weights`. Two processes of the same script do the work, as one cannot hold both precisions:

float32: the package's own calculator, `NequixCalculator(model_path=..., use_kernel=False)`.
float64: the package's own network on a graph built in float64, its parameters cast up, with
    `JAX_ENABLE_X64=1` set before anything is imported. The `.nqx` file must be read with x64 off, because
    the reader compares dtypes. One padding node is added: an unpadded graph has all its forces masked.

What a reader of the numbers has to know:

- Nothing in the float64 run is float32 but the stored parameters (`checks.float32_in_trace`, a walk through
  the whole traced program). Clebsch-Gordan coefficients are NumPy float64 built from exact fractions; one-hot
  features, Bessel frequencies and sqrt(2l+1) take JAX's default dtype. The header's `scale`, `shift` and
  `avg_n_neighbors` stay Python floats: float64 keeps all their digits, it does not round them to float32.
- Atomic energies are a float32 array in the weights; the header's copy differs by one float32 step (1e-6 eV) for
  28 of the 89 elements, carbon, titanium and copper among them. The array counts.
- The norm c of an activation (e3nn_jax `normalize_function`: x -> act(x)/c) is a mean over 1,000,001 normal
  quantiles computed in the default dtype *when the network is traced*, so it depends on x64: for silu 1.6e-6
  relative, far above float64 accuracy. `constants` has both values. The integral it stands for is a third
  number, 0.59646921. Only silu occurs in these networks (they have no odd scalars).
- `float64.silu_norm_of_float32` repeats energies and forces in float64 with the float32 value of c: the
  function that the float32 package evaluates, whose energies it meets several times more closely.
- A slab: the package passes a cell only if all three directions are periodic, and without a cell it **drops
  the integer shifts**, so its own numbers for partial periodicity are wrong (`package_is_wrong`): the energy
  is another system's, the forces are NaN (an atom's bond to its own image has length zero), here null. The float64
  numbers there come from the same network with the completed cell; they agree with the fully periodic slab
  in vacuum. Stress is given for three periodic directions only.
- Stress is dE/d(strain) over |det(cell)|, in ASE's order xx yy zz yz xz xy [eV/Å³], so a left-handed cell
  gives the same as its right-handed twin.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

MODELS = {
    "nequix-mp-1-pft": None,  # all structures
    "nequix-mp-1": ("silicon", "triclinic_oxide", "ethanol", "copper_slab"),
}


def structures():
    """name -> ase.Atoms, every one displaced from symmetry with its own fixed seed."""
    from ase import Atoms
    from ase.build import bulk, fcc111, molecule

    al = bulk("Al", "fcc", a=4.05)  # one atom, all cell vectors shorter than the cutoff
    al.set_cell(al.cell @ (np.eye(3) + [[0.02, 0.01, 0.0], [-0.03, 0.01, 0.02], [0.01, 0.0, -0.02]]), True)
    mgo = bulk("MgO", "rocksalt", a=4.21)
    mgo.set_cell(mgo.cell[[1, 0, 2]])  # negative determinant
    oxide = Atoms(
        "LiAlSiO4",
        scaled_positions=[
            (0.03, 0.07, 0.02), (0.48, 0.45, 0.11), (0.11, 0.46, 0.55),
            (0.25, 0.20, 0.28), (0.74, 0.66, 0.27), (0.35, 0.71, 0.73), (0.77, 0.22, 0.74),
        ],
        cell=[4.6, 5.1, 5.7, 81.0, 97.0, 108.0],
        pbc=True,
    )  # fmt: skip
    perovskite = Atoms(
        "CaTiO3",
        scaled_positions=[(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)],
        cell=[3.84] * 3,
        pbc=True,
    )
    water = molecule("H2O", cell=[5.2, 5.6, 6.1], pbc=True)
    water.positions += (4.9, -3.0, 13.0)  # outside the cell, and the box is smaller than the cutoff
    slab = fcc111("Cu", (1, 1, 3), a=3.61)  # pbc T T F, third cell vector zero
    plain = {
        "silicon": bulk("Si", "diamond", a=5.43),
        "rock_salt": bulk("NaCl", "rocksalt", a=5.64, cubic=True),
        "wurtzite": bulk("ZnO", "wurtzite", a=3.25, c=5.207, u=0.382),
        "triclinic_oxide": oxide,
        "aluminium_strained": al,
        "magnesia_left_handed": mgo,
        "perovskite": perovskite,
        "ethanol": molecule("CH3CH2OH"),
        "copper_slab": slab,
        "water_in_box": water,
    }
    for seed, atoms in enumerate(plain.values()):
        atoms.positions += 0.06 * np.random.default_rng(seed).standard_normal((len(atoms), 3))
    return plain


def graph(atoms, indices, cutoff):
    """The package's graph in float64: its own edges, uncast positions, one padding node."""
    import jraph
    from ase.geometry import complete_cell
    from nequix.data import dict_to_graphstuple, preprocess_graph

    fields = preprocess_graph(atoms, indices, cutoff, targets=False)
    fields["positions"] = atoms.positions
    fields["shifts"] = fields["shifts"].astype(np.float64)
    fields["cell"] = complete_cell(atoms.cell) if atoms.pbc.any() else None
    return jraph.pad_with_graphs(
        dict_to_graphstuple(fields), n_node=len(atoms) + 1, n_edge=int(fields["n_edge"][0]), n_graph=2
    )


def strained(data, direction, strain, amount):
    """The graph with positions moved along `direction` and everything strained, by `amount`."""
    deform = np.eye(3) + amount * strain
    positions = (data.nodes["positions"] + amount * direction) @ deform
    cell = data.globals["cell"]
    return data._replace(
        nodes={**data.nodes, "positions": positions},
        globals={**data.globals, "cell": None if cell is None else cell @ deform},
    )


def narrow_dtypes(jaxpr):
    """Names of the floating dtypes other than float64 in a traced program, inner programs included."""
    import jax

    found = set()
    for eqn in jaxpr.eqns:
        found |= {str(v.aval.dtype) for v in (*eqn.invars, *eqn.outvars) if hasattr(v.aval, "dtype")}
        for leaf in jax.tree.leaves(eqn.params, is_leaf=lambda x: hasattr(x, "jaxpr") or hasattr(x, "eqns")):
            inner = getattr(leaf, "jaxpr", leaf)
            found |= narrow_dtypes(inner) if hasattr(inner, "eqns") else set()
    return {name for name in found if "float" in name and name != "float64"}


def checks(run, model, data, seed):
    """Slopes of the energy against forces and stress, and what is narrower than float64 in the program."""
    import equinox as eqx

    _, forces, stress = run(model, data)
    rng = np.random.default_rng(100 + seed)
    direction = rng.standard_normal(forces.shape)
    strain = rng.standard_normal((3, 3))
    strain = (strain + strain.T) / 2

    def slope(direction, strain, h):
        e = [float(run(model, strained(data, direction, strain, k * h))[0][0]) for k in (-2, -1, 1, 2)]
        return (e[0] - 8 * e[1] + 8 * e[2] - e[3]) / (12 * h)

    zero = np.zeros_like
    report = {
        "float32_in_trace": sorted(narrow_dtypes(eqx.filter_make_jaxpr(model)(data)[0].jaxpr)),
        "slope_minus_force_ev_a": abs(slope(direction, zero(strain), 3e-4) + np.vdot(direction, forces)),
        # a step of 1e-6 Å is below what float32 can resolve: smooth here means float64 throughout
        "slope_of_tiny_step_ev_a": abs(slope(direction, zero(strain), 1e-6) + np.vdot(direction, forces)),
    }
    if stress is not None:
        virial = np.vdot(strain, stress[0]) * abs(np.linalg.det(data.globals["cell"][0]))
        report["slope_minus_virial_ev"] = abs(slope(zero(direction), strain, 3e-4) - virial)
    return {key: value if isinstance(value, list) else float(value) for key, value in report.items()}


def silu_norm():
    """c of e3nn_jax's normalised silu, computed in the dtype JAX now defaults to."""
    import e3nn_jax
    import jax

    closure = e3nn_jax.normalize_function(jax.nn.silu).__closure__
    return next(cell.cell_contents for cell in closure if isinstance(cell.cell_contents, float))


def in_float32(path, todo):
    """Results of the package's calculator."""
    from nequix.calculator import NequixCalculator

    results = {}
    for name, atoms in todo.items():
        calculator = NequixCalculator(model_path=str(path), use_kernel=False)
        calculator.calculate(atoms)
        out = calculator.results
        results[name] = {
            "energy": float(out["energy"]),
            "forces": out["forces"].tolist() if np.isfinite(out["forces"]).all() else None,
            "stress": None if out["stress"] is None else out["stress"].tolist(),
        }
        if atoms.pbc.any() and not atoms.pbc.all():
            results[name]["package_is_wrong"] = "integer shifts dropped: no cell is passed for partial pbc"
    return results


def in_float64(path, todo, silu_norm_of_float32):
    """Results of the package's network with parameters, graph and arithmetic in float64."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    from ase.stress import full_3x3_to_voigt_6_stress
    from e3nn_jax._src import activation
    from nequix.data import atomic_numbers_to_indices
    from nequix.model import load_model

    with jax.enable_x64(False):
        model, config = load_model(path, kernel=False)
    model = jax.tree.map(lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x, model)
    indices = atomic_numbers_to_indices(config["atomic_numbers"])
    normalise = activation.normalize_function

    results = {}
    for seed, (name, atoms) in enumerate(todo.items()):
        data = graph(atoms, indices, config["cutoff"])
        run = eqx.filter_jit(lambda model, data: model(data))
        energy, forces, stress = run(model, data)
        voigt = full_3x3_to_voigt_6_stress(np.array(stress[0])) if atoms.pbc.all() else None
        assert energy.dtype == forces.dtype == jnp.float64
        report = checks(run, model, data, seed)

        activation.normalize_function = lambda act: lambda x: act(x) / silu_norm_of_float32
        energy_c, forces_c, _ = eqx.filter_jit(lambda model, data: model(data))(model, data)
        activation.normalize_function = normalise

        results[name] = {
            "energy": float(energy[0]),
            "forces": np.array(forces)[: len(atoms)].tolist(),
            "stress": None if voigt is None else voigt.tolist(),
            "silu_norm_of_float32": {
                "energy": float(energy_c[0]),
                "forces": np.array(forces_c)[: len(atoms)].tolist(),
            },
            "checks": report,
        }
    return results


def child(arguments):
    """One precision: constants and results of all models, to a file."""
    atoms = structures()
    results = {}
    for model, names in MODELS.items():
        path = Path(arguments.weights) / f"{model}.nqx"
        todo = {name: atoms[name] for name in names or atoms}
        if arguments.precision == "float32":
            results[model] = in_float32(path, todo)
        else:
            results[model] = in_float64(path, todo, arguments.silu_norm)
    Path(arguments.out).write_text(json.dumps({"silu_norm": silu_norm(), "results": results}))


def spawn(precision, weights, folder, *more):
    """Run this script for one precision in a process of its own; its answer."""
    out = Path(folder) / f"{precision}.json"
    command = [sys.executable, __file__, "--precision", precision, "--weights", weights, "--out", str(out)]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": str(int(precision == "float64"))}
    subprocess.run([*command, *more], env=env, check=True)
    return json.loads(out.read_text())


def lines(value, depth=0):
    """JSON text with one line per number array; floats as repr writes them."""
    if not isinstance(value, dict):
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    pad = " " * (depth + 1)
    inner = ",\n".join(f"{pad}{json.dumps(key)}: {lines(item, depth + 1)}" for key, item in value.items())
    return "{\n" + inner + "\n" + " " * depth + "}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default=os.path.join(os.environ.get("PHONAX_DATA", "."), "weights"))
    parser.add_argument("--out", default=str(Path(__file__).with_name("nequix.json")))
    parser.add_argument("--precision", choices=("float32", "float64"), help=argparse.SUPPRESS)
    parser.add_argument("--silu-norm", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.precision:
        return child(arguments)

    with tempfile.TemporaryDirectory() as folder:
        narrow = spawn("float32", arguments.weights, folder)
        wide = spawn("float64", arguments.weights, folder, "--silu-norm", repr(narrow["silu_norm"]))
    names = ("nequix", "jax", "jaxlib", "e3nn-jax", "equinox", "jraph", "matscipy", "ase", "numpy")
    report = {
        "about": "made by make_nequix_reference.py, which explains every field; eV, eV/Å, eV/Å³",
        "versions": {name: importlib.metadata.version(name) for name in names},
        "weights_sha256": {
            model: hashlib.sha256((Path(arguments.weights) / f"{model}.nqx").read_bytes()).hexdigest()
            for model in MODELS
        },
        "constants": {
            "silu_norm_float32": narrow["silu_norm"],
            "silu_norm_float64": wide["silu_norm"],
            "clebsch_gordan_dtype": "float64",
        },
        "structures": {
            name: {
                "numbers": atoms.numbers.tolist(),
                "positions": atoms.positions.tolist(),
                "cell": atoms.cell.tolist(),
                "pbc": atoms.pbc.tolist(),
            }
            for name, atoms in structures().items()
        },
        "results": {
            model: {
                name: {"float32": result, "float64": wide["results"][model][name]} for name, result in of_model.items()
            }
            for model, of_model in narrow["results"].items()
        },
    }
    part = Path(arguments.out + ".part")
    part.write_text(lines(report) + "\n", encoding="utf-8")
    os.replace(part, arguments.out)


if __name__ == "__main__":
    main()
