"""The training loop of all compressions: seeded, with a decaying rate, the best weights kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from exporter.compress.data import Data, Samples
from exporter.compress.settings import Training
from exporter.compress.task import Task

Progress = Callable[[str], None]
Forward = Callable[[Any, bool], Any]
"""From a batch, and whether this is training, to the model's output."""

_PREDICTION_BATCH = 256


@dataclass(frozen=True, eq=False)
class Trainee:
    """What is trained: a function, the variables that learn, all that are kept when it is best."""

    forward: Forward
    trainable: Sequence[Any]
    kept: Sequence[Any]


def trainee_of(model: Any) -> Trainee:
    """A Keras model as it is."""
    return Trainee(
        lambda x, training: model(x, training=training), model.trainable_variables, model.variables
    )


def deterministic(seed: int) -> None:
    """The same seed gives the same weights, on the same machine and TensorFlow."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    trainee: Trainee,
    data: Data,
    task: Task,
    settings: Training,
    progress: Progress,
    loss: Callable[[Any, Any, Any], Any] | None = None,
) -> float:
    """Trains in place; the best validation score, whose weights are left in the variables.

    `loss` maps x, y and the output to losses [N]; by default the task's. What the variables hold
    at the beginning counts as epoch 0, so the score never gets worse.
    """
    steps = math.ceil(len(data.train) / settings.batch_size)
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps * settings.epochs)
    )
    step = _step(trainee, optimizer, loss or (lambda x, y, output: task.loss(y, output)))
    best = _Best(trainee.kept)
    best.offer(0, *evaluated(trainee.forward, data.validation, task))
    progress(f"before training: validation {task.score_name} {best.score:.4f}")
    order = np.random.default_rng(settings.seed)
    for epoch in range(1, settings.epochs + 1):
        train_loss = _epoch(step, data.train[order.permutation(len(data.train))], settings)
        score, validation_loss = evaluated(trainee.forward, data.validation, task)
        best.offer(epoch, score, validation_loss)
        progress(
            f"epoch {epoch} of {settings.epochs}: loss {train_loss:.4f}, validation "
            f"{task.score_name} {score:.4f} (best {best.score:.4f})"
        )
        if epoch - best.epoch >= settings.patience:
            break
    best.restore()
    return best.score


def _step(trainee: Trainee, optimizer: Any, loss: Callable[[Any, Any, Any], Any]) -> Any:
    optimizer.build(trainee.trainable)

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(x, y, trainee.forward(x, True)))
        gradients = tape.gradient(value, [v.value for v in trainee.trainable])
        optimizer.apply(gradients, trainee.trainable)
        return value

    return tf.function(step, reduce_retracing=True)


def _epoch(step: Any, samples: Samples, settings: Training) -> float:
    losses = []
    for start in range(0, len(samples), settings.batch_size):
        batch = samples[slice(start, start + settings.batch_size)]
        losses.append(float(step(tf.constant(batch.x), tf.constant(batch.y))))
    return float(np.mean(losses))


def predicted(forward: Forward, x: NDArray[Any]) -> NDArray[np.float32]:
    """The outputs for all samples."""
    parts = [x[s : s + _PREDICTION_BATCH] for s in range(0, len(x), _PREDICTION_BATCH)]
    return np.concatenate([np.asarray(forward(tf.constant(part), False)) for part in parts])


def evaluated(forward: Forward, samples: Samples, task: Task) -> tuple[float, float]:
    """Score and mean loss."""
    outputs = predicted(forward, samples.x)
    return task.score(samples, outputs), float(np.mean(task.loss(samples.y, outputs)))


class _Best:
    """The best state of the variables: by score, and by loss among equals."""

    def __init__(self, variables: Sequence[Any]) -> None:
        self.epoch, self.score = 0, -math.inf
        self._loss = math.inf
        self._variables = variables
        self._values: list[NDArray[Any]] = []

    def offer(self, epoch: int, score: float, loss: float) -> None:
        if (score, -loss) > (self.score, -self._loss):
            self.epoch, self.score, self._loss = epoch, score, loss
            self._values = [np.array(v) for v in self._variables]

    def restore(self) -> None:
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(value)
