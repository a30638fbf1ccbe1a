"""Training: samples, the loop, and the state of a run."""

from truez.training.loop import TrainingConfig, train, validation_loss
from truez.training.samples import Samples, apply_symmetry
from truez.training.state import State

__all__ = ["Samples", "State", "TrainingConfig", "apply_symmetry", "train", "validation_loss"]
