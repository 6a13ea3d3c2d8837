"""A training of NequIP 0.6 with random weights, as its folder holds it, and what that package finds with it.

python tests/reference/make_nequip_training_reference.py        (in an environment with torch and nequip 0.6.2)
"""

import json
import sys
from pathlib import Path

import torch
import yaml
from nequip.data import AtomicData, AtomicDataDict
from nequip.model import model_from_config
from nequip.utils import Config

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[1]))

from tests.mace_models import structures  # noqa: E402

SETTINGS = {
    "model_builders": ["SimpleIrrepsConfig", "EnergyModel", "PerSpeciesRescale", "ForceOutput", "RescaleEnergyEtc"],
    "r_max": 3.6,
    "num_types": 2,
    "type_names": ["C", "Si"],
    "chemical_symbols": ["C", "Si"],
    "num_layers": 3,
    "l_max": 2,
    "parity": True,
    "num_features": 3,
    "num_basis": 5,
    "invariant_layers": 2,
    "invariant_neurons": 6,
    "avg_num_neighbors": 7.0,
    "per_species_rescale_scales": [1.3, 0.8],
    "per_species_rescale_shifts": [-1.0, -2.0],
    "per_species_rescale_scales_trainable": False,
    "per_species_rescale_shifts_trainable": False,
    "global_rescale_scale": 2.5,
    "global_rescale_shift": None,
    "model_dtype": "float64",
    "seed": 1,
    "dataset_seed": 1,
}


def main() -> None:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    model = model_from_config(Config.from_dict(dict(SETTINGS)), initialize=False)
    results = {}
    for key, atoms in structures().items():
        data = AtomicData.to_AtomicDataDict(AtomicData.from_ase(atoms, r_max=SETTINGS["r_max"]))
        kinds = [[SETTINGS["type_names"].index(symbol)] for symbol in atoms.get_chemical_symbols()]
        found = model({**data, AtomicDataDict.ATOM_TYPE_KEY: torch.tensor(kinds)})
        results[key] = {
            "energies": found["atomic_energy"].detach().numpy().ravel().tolist(),
            "forces": found["forces"].detach().numpy().tolist(),
        }
    own = FOLDER / "nequip_training"
    torch.save(model.state_dict(), own / "best_model.pth")
    (own / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
    (own / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
