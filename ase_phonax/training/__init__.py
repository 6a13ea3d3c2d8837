"""Training and fine-tuning on energies, forces, stresses and second derivatives."""

from .config import TrainingConfig, read_config
from .loop import TrainingResult, fine_tune, train
from .scores import Scores, evaluate

__all__ = [
    "Scores",
    "TrainingConfig",
    "TrainingResult",
    "evaluate",
    "fine_tune",
    "read_config",
    "train",
]
