"""A potential of crystals learns molecules: Nequix, which knows PBE of 89 elements, fine-tuned to the labels by PBE.

    python examples/molecular_model/from_crystals.py                             some minutes an epoch on two cores
    python examples/molecular_model/from_crystals.py --share 0.6 --epochs 12     half an hour: what README.md says

Goes on where it was stopped. Measured is on molecules held out, by the displaced geometries of their labels; the
molecules tested are not looked at.
"""

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import labels
import numpy as np

START = "nequix-mp-1"
LOSS = {"energy": 0.01, "forces": 1.0, "curvature": 200.0, "directions": "thermal", "columns": 2}
CM1_PER_THZ = 33.35641


def frames(split: str, share: float = 1.0) -> list:
    """Those with energies; all with Hessians, and a share of the others, drawn once for all."""
    rng = np.random.default_rng(0)
    known = [own.frame for own in labels.of_pbe() if own.split == split and own.frame.energy is not None]
    return [frame for frame in known if frame.second is not None or rng.random() < share]


def train(options: argparse.Namespace) -> None:
    """Fine-tune, or go on."""
    from make import show

    from ase_phonax import fine_tune

    settings = {
        "fine_tune": {"energies": "shift", "elements": "frames"},
        "loss": LOSS,
        "optimiser": {
            "method": "muon",
            "epochs": options.epochs,
            "batch_size": 8,
            "learning_rate": options.rate,
            "warmup": 0.05,
        },
        "run": {"output": str(options.output), "n_shapes": 2, "validate_every": 4, "keep": "last", "devices": "all"},
    }
    parts = frames("train", options.share) + labels.of_ethanol(), frames("held out")
    print(f"{len(parts[0])} frames, {len(parts[1])} to validate", flush=True)
    resume = (options.output / "checkpoint.h5").exists()
    fine_tune(options.start, settings, frames=parts, resume=resume, report=show)


def measure(model: str | Path) -> None:
    """Forces and frequencies of molecules held out, at the displaced geometries of their labels."""
    from ase_phonax import evaluate

    found = evaluate(model, frames("held out"))
    print(
        f"{model}: forces {1000 * found.mae['forces']:.0f} meV/Å (mean absolute), frequencies "
        f"{CM1_PER_THZ * found.rmse['frequency']:.1f} cm⁻¹ RMS"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", default=START, help="a name or a file (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate (default: %(default)g)")
    parser.add_argument("--share", type=float, default=1.0, help="of the frames without Hessians")
    parser.add_argument("--output", type=Path, default=Path("runs/from_crystals"), help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="devices; default: all cores")
    options = parser.parse_args()
    n_devices = f"--xla_force_host_platform_device_count={options.workers}"
    os.environ["XLA_FLAGS"] = f"{n_devices} {os.environ.get('XLA_FLAGS', '')}"
    for model in ("phonax-molecules", options.start):
        measure(model)
    train(options)
    measure(options.output / "model.h5")


if __name__ == "__main__":
    main()
