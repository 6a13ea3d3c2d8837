"""SevenNet models of every option with random weights, as sevenn makes them, and what it finds with them.

torch and sevenn are imported by the functions that need them alone.
"""

from pathlib import Path

import numpy as np
from ase import Atoms

# Options of sevenn that differ from the small model of `torch_model`.
MODELS = {
    "rotations alone": {
        "is_parity": False,
        "lmax": 3,
        "irreps_manual": ["4x0e", "4x0e+3x1e+2x2e+2x3e", "4x0e+3x1e+2x2e+2x3e", "4x0e"],
        "self_connection_type": "linear",
        "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.0},
    },
    "parity, elements": {"conv_denominator": [3.0, 4.0, 5.0]},
    "odd scalars, trained": {
        "irreps_manual": [
            *("4x0e", "5x0e+3x1o+2x2e", "5x0e+3x1o+2x1e+2x2e"),
            *("5x0e+3x0o+3x1o+2x1e+2x2e", "5x0e+3x0o+3x1o+2x1e+2x2e", "5x0e"),
        ],
        "num_convolution_layer": 5,
        "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 5, "trainable_coeff": True},
        "cutoff_function": {"cutoff_function_name": "poly_cut", "poly_cut_p_value": 4},
    },
    "one layer, one scale": {
        "num_convolution_layer": 1,
        "shift": -0.5,
        "scale": 1.2,
        "weight_nn_hidden_neurons": [7],
        "lmax": 1,
        "is_parity": False,
    },
}


def torch_model(name: str, seed: int = 0):
    """A PyTorch model with parameters of single precision, as they come, and its checkpoint."""
    import sevenn
    import torch
    from sevenn import _const, _keys
    from sevenn.model_build import build_E3_equivariant_model

    torch.manual_seed(seed)
    config = {**_const.DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG, **_const.DEFAULT_DATA_CONFIG}
    config |= {
        "cutoff": 3.6,
        "channel": 4,
        "lmax": 2,
        "num_convolution_layer": 3,
        "weight_nn_hidden_neurons": [6, 5],
        "conv_denominator": 3.5,
        "shift": [-2.0, -1.0],
        "scale": [0.7, 1.5],
        _keys.NUM_SPECIES: 2,
        _keys.CHEMICAL_SPECIES: ["Si", "C"],
        _keys.TYPE_MAP: {14: 0, 6: 1},
        "version": sevenn.__version__,
    }
    config |= MODELS[name]
    model = build_E3_equivariant_model(config)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith("coeffs"):
                value.mul_(1 + 0.01 * torch.rand(len(value)))
    return model, {"config": config, "model_state_dict": model.state_dict(), "epoch": 1, "time": "", "hash": ""}


def torch_results(model, config: dict, atoms: Atoms) -> dict[str, np.ndarray]:
    """Energies of the atoms and forces in double precision.

    Parameters are single ones, couplings are exact, and lengths of edges are those of the atoms in double precision;
    sevenn itself rounds the last two.
    """
    import torch
    from e3nn.o3 import wigner_3j
    from sevenn import _keys
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.train.dataload import unlabeled_atoms_to_graph

    model = model.double()
    model.set_is_batch_data(False)
    for key, value in model.state_dict().items():
        if "_w3j_" in key:
            exact = wigner_3j(*map(int, key.split("_w3j_")[1].split("_")), dtype=torch.float64)
            value.copy_(exact * torch.sign((exact * value).sum()))
    embedding = model._modules["onehot_idx_to_onehot"]
    embedding.register_forward_hook(_in_double)
    numbers = unlabeled_atoms_to_graph(atoms, config["cutoff"], with_shift=True)
    shifts = np.asarray(numbers[_keys.CELL_SHIFT], float)
    graph = AtomGraphData.from_numpy_dict(numbers)
    kinds = config[_keys.TYPE_MAP]
    graph[_keys.NODE_FEATURE] = torch.tensor([kinds[int(z)] for z in atoms.numbers])
    receivers, senders = np.asarray(graph[_keys.EDGE_IDX])
    vectors = atoms.positions[senders] - atoms.positions[receivers] + shifts @ atoms.cell[:]
    graph[_keys.EDGE_VEC] = torch.tensor(vectors).requires_grad_(True)
    graph[_keys.CELL_VOLUME] = graph[_keys.CELL_VOLUME].double()
    out = model(graph)
    return {
        "energies": out[_keys.ATOMIC_ENERGY].detach().numpy().ravel(),
        "forces": out[_keys.PRED_FORCE].detach().numpy()[: len(atoms)],
    }


def _in_double(module, inputs, data):
    for key in (module.key_output, module.key_additional_output):
        if key is not None:
            data[key] = data[key].double()
    return data


def save(checkpoint: dict, path: Path) -> Path:
    """As sevenn writes it."""
    import torch

    torch.save(checkpoint, path)
    return path
