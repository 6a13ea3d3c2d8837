"""Small NequIP checkpoints with random weights, and what its own package finds with them.

python tests/reference/make_nequip_reference.py        (in an environment with torch and nequip)
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[1]))

from tests.mace_models import structures  # noqa: E402
from tests.nequip_models import MODELS, save, torch_model, torch_results  # noqa: E402


def main() -> None:
    (FOLDER / "nequip").mkdir(exist_ok=True)
    results: dict = {}
    for seed, name in enumerate(MODELS):
        model, checkpoint = torch_model(name, seed)
        save(checkpoint, FOLDER / "nequip" / f"{name.replace(',', '').replace(' ', '-')}.ckpt")
        results[name] = {}
        for key, atoms in structures().items():
            found = torch_results(model, atoms)
            results[name][key] = {what: value.tolist() for what, value in found.items()}
    (FOLDER / "nequip.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
