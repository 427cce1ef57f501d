"""What the compressions can be told. No Keras here: the command line shows these defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Importance = Literal["taylor", "norm"]


@dataclass(frozen=True)
class Training:
    """How long and how fast to train. The learning rate decays as a cosine over the epochs.

    Training ends early after `patience` epochs without a better validation score; the best
    weights are kept in any case.
    """

    epochs: int = 30
    patience: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class Pruning:
    """`macs`: the part of the MACs to be left, 0..1. Each of `rounds` prunes and trains anew."""

    macs: float = 0.5
    rounds: int = 4
    importance: Importance = "taylor"


@dataclass(frozen=True)
class Distillation:
    """Loss: alpha * labels + (1 - alpha) * temperature^2 * soft outputs of the teacher."""

    temperature: float = 4.0
    alpha: float = 0.3
