"""Makes tests/reference/mace.json and the models beside it: run where torch and mace-torch are installed.

    python -m tests.reference.make_mace_reference

Models have random weights from a fixed seed. They are stored as the reader translates them; energies, forces, stresses
and Hessians are those of mace.calculators.MACECalculator in float64.
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ase_phonax.models.files.mace_checkpoint import read_mace
from ase_phonax.models.files.native import save_model

from ..mace_models import FROZEN, HEAD, structures, torch_model, torch_results

FOLDER = Path(__file__).parent


def file_name(name: str) -> str:
    return name.replace(",", "").replace(" ", "-") + ".h5"


def main() -> None:
    import torch

    results = {}
    (FOLDER / "mace").mkdir(exist_ok=True)
    for name in FROZEN:
        model = torch_model(name)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "random.model"
            torch.save(model, path)
            potential = read_mace(path, trust=True, head=HEAD.get(name))
        save_model(potential, FOLDER / "mace" / file_name(name), overwrite=True)
        results[name] = {
            key: {k: np.asarray(v).tolist() for k, v in torch_results(model, atoms, HEAD.get(name)).items()}
            for key, atoms in structures().items()
        }
        print(name)
    versions = {package: version(package) for package in ("mace-torch", "torch", "e3nn")}
    text = json.dumps({"versions": versions, "results": results}, indent=None)
    (FOLDER / "mace.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
