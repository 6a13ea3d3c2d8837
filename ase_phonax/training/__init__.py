"""Training and fine-tuning on energies, forces, stresses and second derivatives."""

from .config import TrainingConfig, read_config
from .loop import TrainingError, TrainingResult, fine_tune, train
from .scores import Scores, evaluate

__all__ = [
    "Scores",
    "TrainingConfig",
    "TrainingError",
    "TrainingResult",
    "evaluate",
    "fine_tune",
    "read_config",
    "train",
]
