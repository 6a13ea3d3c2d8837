"""MACE models of every option with random weights, as PyTorch makes them, and the structures they are compared on.

torch and mace-torch are imported by the functions that need them alone.
"""

import numpy as np
from ase import Atoms
from ase.build import bulk

PLAIN, RESIDUAL = "RealAgnosticInteractionBlock", "RealAgnosticResidualInteractionBlock"
DENSITY, DENSITY_RESIDUAL = "RealAgnosticDensityInteractionBlock", "RealAgnosticDensityResidualInteractionBlock"

# Options of mace.modules.models that differ from the small model of `torch_model`; irreps and functions by name.
# The frozen references hold the first eleven, which have every option between them.
MODELS = {
    "residual, two heads": {"heads": ["a", "b"]},
    "plain, correlation 2": {"interaction": PLAIN, "correlation": 2},
    "correlation 4": {"correlation": 4, "max_ell": 1},
    "three layers": {"num_interactions": 3, "correlation": [3, 2, 1], "hidden_irreps": "3x0e+3x1o+3x2e", "max_ell": 3},
    "one layer": {"num_interactions": 1, "hidden_irreps": "4x0e"},
    "as MACE-MP-0b2": {
        "first": DENSITY,
        "interaction": DENSITY_RESIDUAL,
        "distance_transform": "Agnesi",
        "pair_repulsion": True,
    },
    "soft distances, Gaussians": {"interaction": DENSITY, "distance_transform": "Soft", "radial_type": "gaussian"},
    "not scaled, repulsion": {"scaled": False, "first": PLAIN, "pair_repulsion": True, "atomic_numbers": [14, 6]},
    "envelope on weights": {"apply_cutoff": False, "interaction": DENSITY_RESIDUAL, "use_agnostic_product": True},
    "edge irreps, last readout": {
        "edge_irreps": "3x0e+2x1o",
        "use_edge_irreps_first": True,
        "use_last_readout_only": True,
        "gate": "tanh",
    },
    "odd irreps": {"hidden_irreps": "2x0e+2x0o+2x1o+2x1e", "max_ell": 1, "num_interactions": 3},
    "correlation 1": {"correlation": 1},
    "one layer of vectors": {"num_interactions": 1},
    "last layer kept whole": {"keep_last_layer_irreps": True},
    "no activation": {"gate": None},
}
FROZEN = list(MODELS)[:11]
HEAD = {"residual, two heads": "b"}


def structures() -> dict[str, Atoms]:
    """A molecule, a crystal and a slab of C and Si, without symmetry."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [0, 0, 0.2], [2, 0, 0.5]])
    molecule = Atoms("CSiCSi2C", positions=1.1 * corners + np.random.default_rng(8).uniform(-0.3, 0.3, (6, 3)))
    crystal = bulk("SiC", "zincblende", 4.4)
    crystal.rattle(0.1, seed=3)
    slab = Atoms("SiCC", positions=[[0, 0, 0], [1.5, 1.4, 0.3], [0.2, 1.1, 1.9]], cell=[3.1, 2.9, 9.0], pbc=[1, 1, 0])
    return {"molecule": molecule, "crystal": crystal, "slab": slab}


def torch_model(name: str, seed: int = 0, **others):
    """A PyTorch model in double precision; `others` are further options."""
    import mace.modules
    import torch
    from e3nn import o3

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(seed)
    options = {**MODELS[name], **others}
    scaled, kind = options.pop("scaled", True), options.pop("interaction", RESIDUAL)
    blocks = mace.modules.interaction_classes
    heads = options.get("heads")
    settings = {
        "r_max": 3.6,
        "num_bessel": 4,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "interaction_cls": blocks[kind],
        "interaction_cls_first": blocks[options.pop("first", kind)],
        "num_interactions": 2,
        "num_elements": 2,
        "hidden_irreps": "4x0e+4x1o",
        "MLP_irreps": "3x0e",
        "atomic_energies": np.array([[-1.5, -3.25], [0.75, -2.0]] if heads else [-1.5, -3.25]),
        "avg_num_neighbors": 5.5,
        "atomic_numbers": [6, 14],
        "correlation": 3,
        "gate": "silu",
        "radial_MLP": [8, 8],
        "use_reduced_cg": False,
    }
    settings.update(options)
    if scaled:
        settings["atomic_inter_scale"] = [0.8, 1.3] if heads else 0.8
        settings["atomic_inter_shift"] = [0.1, -0.2] if heads else 0.1
    for key in ("hidden_irreps", "MLP_irreps", "edge_irreps"):
        if key in settings:
            settings[key] = o3.Irreps(settings[key])
    gates = {"silu": torch.nn.functional.silu, "tanh": torch.tanh}
    settings["gate"] = gates.get(settings["gate"], settings["gate"])
    model = (mace.modules.ScaleShiftMACE if scaled else mace.modules.MACE)(**settings)
    torch.set_default_dtype(torch.float32)
    return model


def torch_results(model, atoms: Atoms, head: str | None) -> dict[str, np.ndarray]:
    """What mace.calculators finds: energies of the atoms, forces, stress, Hessian."""
    import torch
    from mace.calculators import MACECalculator

    torch.set_default_dtype(torch.float64)  # powers of integers come out in it
    calc = MACECalculator(models=[model], device="cpu", default_dtype="float64", **({"head": head} if head else {}))
    atoms = atoms.copy()
    atoms.calc = calc
    found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "energies": calc.results["energies"]}
    if atoms.pbc.all():
        found["stress"] = atoms.get_stress()
    n = 3 * len(atoms)
    found["hessian"] = np.asarray(calc.get_hessian(atoms)).reshape(n, n)
    torch.set_default_dtype(torch.float32)
    return found
