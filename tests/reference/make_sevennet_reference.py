"""Small SevenNet checkpoints with random weights, and what sevenn finds with them.

python tests/reference/make_sevennet_reference.py        (in an environment with torch and sevenn)
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[1]))

from tests.mace_models import structures  # noqa: E402
from tests.sevennet_models import MODELS, save, torch_model, torch_results  # noqa: E402


def main() -> None:
    (FOLDER / "sevennet").mkdir(exist_ok=True)
    results: dict = {}
    for seed, name in enumerate(MODELS):
        model, checkpoint = torch_model(name, seed)
        save(checkpoint, FOLDER / "sevennet" / f"{name.replace(',', '').replace(' ', '-')}.pth")
        results[name] = {}
        for key, atoms in structures().items():
            found = torch_results(model, checkpoint["config"], atoms)
            results[name][key] = {what: value.tolist() for what, value in found.items()}
    (FOLDER / "sevennet.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
