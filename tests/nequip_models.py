"""NequIP models of every option with random weights, as its own package makes them, and what it finds with them.

torch and nequip are imported by the functions that need them alone.
"""

from pathlib import Path

import numpy as np
from ase import Atoms

# Arguments of NequIPGNNModel that differ from the small model of `torch_model`.
MODELS = {
    "parity, elements, repulsion": {
        "per_type_energy_scales": {"Si": 1.3, "C": 0.8},
        "pair_potential": {
            "_target_": "nequip.nn.pair_potential.ZBL",
            "units": "metal",
            "chemical_species": ["Si", "C"],
        },
        "num_layers": 4,
        "num_features": [4, 2, 2],
    },
    "natural parities": {"parity": False, "type_embed_num_features": 3, "l_max": 3, "num_features": [4, 3, 2, 2]},
    "trained basis": {
        "bessel_trainable": True,
        "num_bessels": 5,
        "polynomial_cutoff_p": 4,
        "per_type_energy_scales": 1.7,
        "per_type_energy_scales_trainable": True,
        "radial_mlp_depth": 2,
        "num_layers": 2,
        "l_max": 1,
        "num_features": 3,
    },
    "one layer": {
        "num_layers": 1,
        "per_type_energy_shifts": None,
        "per_type_energy_scales": 0.9,
        "l_max": 1,
        "num_features": [4, 2],
    },
}


def torch_model(name: str, seed: int = 0):
    """A PyTorch model in double precision, and its checkpoint."""
    import nequip
    import nequip.model
    import torch
    from nequip.utils.global_state import set_global_state

    set_global_state()
    settings = {
        "seed": seed,
        "model_dtype": "float64",
        "r_max": 3.6,
        "type_names": ["Si", "C"],
        "num_layers": 3,
        "l_max": 2,
        "num_features": [4, 3, 2],
        "radial_mlp_width": 6,
        "avg_num_neighbors": 7.0,
        "per_type_energy_scales": 1.2,
        "per_type_energy_shifts": {"Si": -1.0, "C": -2.0},
    } | MODELS[name]
    model = nequip.model.NequIPGNNModel(**settings)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.endswith("bessel_weights"):
                value.mul_(1 + 0.01 * torch.rand(value.shape))
    state = {f"model.sole_model.{key}": value for key, value in model.state_dict().items()}
    versions = {"nequip": nequip.__version__}
    given = {"_target_": "nequip.model.NequIPGNNModel", **settings}
    return model, {"state_dict": state, "hyper_parameters": {"model": given, "info_dict": {"versions": versions}}}


def torch_results(model, atoms: Atoms) -> dict[str, np.ndarray]:
    """Energies of the atoms, forces and, of a crystal, stress."""
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
    from nequip.integrations.ase import NequIPCalculator

    transforms = [ChemicalSpeciesToAtomTypeMapper(["Si", "C"]), NeighborListTransform(r_max=3.6)]
    calc = NequIPCalculator(model.eval(), "cpu", transforms=transforms)
    atoms = atoms.copy()
    atoms.calc = calc
    found = {"energies": atoms.get_potential_energies(), "forces": atoms.get_forces()}
    return found | ({"stress": atoms.get_stress()} if atoms.pbc.all() else {})


def save(checkpoint: dict, path: Path) -> Path:
    """As nequip-train writes it."""
    import torch

    torch.save(checkpoint, path)
    return path
