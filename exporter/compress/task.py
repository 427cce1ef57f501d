"""What a model is trained for: the loss, and the score by which models are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from exporter.compress.data import Data, Samples, check_data
from exporter.errors import BadInput

_SMALLEST = 1e-7


@dataclass(frozen=True)
class Task:
    """`form`: how the output is to be read. Scores are better when higher."""

    form: str
    """probabilities, logits, probability or logit (of class 1), or numbers."""

    def loss(self, y: Any, output: Any) -> Any:
        """The loss of each sample, [N]."""
        if self.form in ("probabilities", "logits"):
            return keras.losses.sparse_categorical_crossentropy(y, output, self.form == "logits")
        if self.form in ("probability", "logit"):
            y = ops.reshape(ops.cast(y, output.dtype), (-1, 1))
            return keras.losses.binary_crossentropy(y, output, self.form == "logit")
        return ops.mean(ops.reshape((y - output) ** 2, (ops.shape(y)[0], -1)), axis=1)

    def logits(self, output: Any) -> Any:
        """The output as logits [N, classes], up to a constant: what distillation compares."""
        if self.form == "logits":
            return output
        if self.form == "probabilities":
            return ops.log(ops.maximum(output, _SMALLEST))
        if self.form == "probability":
            output = ops.clip(output, _SMALLEST, 1 - _SMALLEST)
            output = ops.log(output) - ops.log(1 - output)
        return ops.concatenate([ops.zeros_like(output), output], axis=-1)

    @property
    def has_classes(self) -> bool:
        return self.form != "numbers"

    @property
    def score_name(self) -> str:
        return "accuracy" if self.has_classes else "negative mean squared error"

    def score(self, samples: Samples, outputs: NDArray[np.float32]) -> float:
        """Share of right classes, or the negative mean squared error."""
        if not self.has_classes:
            return -float(np.mean((samples.y - outputs) ** 2))
        if outputs.shape[-1] > 1:
            classes = outputs.argmax(axis=-1)
        else:
            classes = outputs[:, 0] > (0.5 if self.form == "probability" else 0.0)
        return float(np.mean(classes == samples.y))


def task_of(model: Any, data: Data) -> Task:
    """The task, from the model's last layer and the labels.

    Raises BadInput for samples that do not fit the model, or a model of several inputs or outputs.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise BadInput(
            f"the model '{model.name}' is not of one input and one output",
            value=f"{len(model.inputs)} inputs, {len(model.outputs)} outputs",
            allowed="models of one input and one output",
            next_step="use the Python functions with a training loop of your own",
        )
    shape = tuple(model.outputs[0].shape[1:])
    check_data(data, tuple(model.inputs[0].shape[1:]), shape)
    last = model.outputs[0]._keras_history.operation
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    is_softmax = activation == "softmax" or type(last).__name__ == "Softmax"
    if not data.train.are_classes:
        _refuse_one_hot(model, is_softmax)
        return Task("numbers")
    if shape[-1] == 1:
        return Task("probability" if activation == "sigmoid" else "logit")
    return Task("probabilities" if is_softmax else "logits")


def _refuse_one_hot(model: Any, is_softmax: bool) -> None:
    """Numbers as labels of a softmax would be learnt as numbers, without a word."""
    if is_softmax:
        raise BadInput(
            f"the labels do not fit the model '{model.name}', which ends in a softmax",
            value="y of floats",
            allowed="classes as integers [N]",
            next_step="save classes instead of one-hot vectors: y.argmax(axis=-1)",
        )
