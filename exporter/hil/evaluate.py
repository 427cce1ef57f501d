"""A labelled test set through the board: accuracy there, on the host, and of the float model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.graph.ir import Tensor
from exporter.hil.vectors import Int8Array, dequantize, quantize
from exporter.metrics import predicted_classes
from exporter.samples import ModelInput, SampleOptions, load_samples


@dataclass(frozen=True, eq=False)
class TestSet:
    """Samples as the trained model takes them, with the right classes `y` int64 [N].

    `arrays` has one float32 array [N, ...] per input; `class_names` go by the numbers in `y`.
    """

    arrays: tuple[Array, ...]
    y: Array
    class_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.y)


def load_test_set(
    data: str | Path, inputs: Sequence[ModelInput], options: SampleOptions | None = None
) -> TestSet:
    """The labelled samples in `data`, of any kind, for a model with these inputs; by default all.

    Raises:
        BadInput: no labels, or samples that do not fit the model.
    """
    samples = load_samples(data, inputs, options or SampleOptions(samples=None))
    labels = samples.labels
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise BadInput(
            f"'{data}' is no test set",
            value="; ".join(["samples without the right classes", *samples.warnings]),
            allowed="y in an .npz or from a function, a sub-folder for each class, or a column of "
            "labels, which hold classes",
            next_step="save it again: numpy.savez('test.npz', x=samples, y=labels)",
        )
    return TestSet(samples.arrays, labels, samples.class_names)


def real_inputs(tensors: Sequence[Tensor]) -> list[ModelInput]:
    """A flatbuffer's inputs `tensors`, as samples are read for them."""
    return [ModelInput(t.name, t.shape[1:], "float32") for t in tensors]


def vectors_of(test_set: TestSet, tensors: Sequence[Tensor]) -> list[list[Array]]:
    """One vector for each sample, quantised for the model's inputs `tensors`.

    Raises:
        BadInput: the samples do not have the shapes of the inputs.
    """
    found = [a[0].size for a in test_set.arrays]
    if found != [t.elements for t in tensors]:
        raise BadInput(
            "the test set does not fit the model",
            value=f"samples of {found} values",
            allowed=", ".join(f"{list(t.shape[1:])} for the input '{t.name}'" for t in tensors),
        )
    quantized = [quantize(a, t) for a, t in zip(test_set.arrays, tensors, strict=True)]
    return [
        [q[k].reshape(t.shape) for q, t in zip(quantized, tensors, strict=True)]
        for k in range(len(test_set))
    ]


def check_classes(test_set: TestSet, output: Tensor) -> None:
    """Raises BadInput for labels that are no classes of the model's first output."""
    classes = max(2, output.elements)  # one score tells two classes apart
    low, high = int(test_set.y.min()), int(test_set.y.max())
    if low < 0 or high >= classes:
        raise BadInput(
            "the labels of the test set are no classes of the model",
            value=f"labels from {low} to {high}",
            allowed=f"0 to {classes - 1}, by the {output.elements} scores of the first output",
            next_step="number the classes as in training, from 0 on",
        )


def scores(outputs: Sequence[Sequence[Int8Array]], tensor: Tensor) -> Array:
    """The first output, `tensor`, of each vector as real numbers [N, classes]."""
    return dequantize(np.stack([vector[0].ravel() for vector in outputs]), tensor)


def accuracy(scores: Array, labels: Array) -> float:
    """The share of rows of `scores` [N, classes] whose predicted class is the label."""
    return float((predicted_classes(scores) == labels).mean())
