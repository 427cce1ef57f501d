"""A labelled test set: read, its classes numbered as the model's, quantised for its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.graph.ir import Tensor
from exporter.hil.vectors import Int8Array, dequantize, quantize
from exporter.metrics import predicted_classes
from exporter.plan.program import Program
from exporter.samples import ModelInput, SampleOptions, load_samples
from exporter.samples.classes import numbered_as_model


@dataclass(frozen=True, eq=False)
class TestSet:
    """Samples as the trained model takes them, with the right answers `y` [N, ...].

    `arrays` has one float32 array [N, ...] per input. `y` are classes int64 [N], whose names in
    the data are `class_names`, or numbers. `taken` int64 [N] are the samples' numbers in the data;
    `how` says what was taken and done, `warnings` what looks wrong with it.
    """

    arrays: tuple[Array, ...]
    y: Array
    class_names: tuple[str, ...] | None = None
    taken: Array | None = None
    how: str = ""
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    @property
    def numbers(self) -> list[int]:
        """Each sample's number in the data."""
        return [*range(len(self))] if self.taken is None else [int(k) for k in self.taken]


def load_test_set(
    data: str | Path,
    inputs: Sequence[ModelInput],
    options: SampleOptions | None = None,
    *,
    classes: bool = True,
) -> TestSet:
    """The labelled samples in `data`, of any kind, for a model with these inputs; by default all.

    With `classes` the right answers must be classes; else they may be any numbers.

    Raises:
        BadInput: no labels, or samples that do not fit the model.
    """
    samples = load_samples(data, inputs, options or SampleOptions(samples=None))
    labels = samples.labels
    if labels is None or (classes and not _are_classes(labels)):
        kind = "the right classes" if classes else "right answers"
        raise BadInput(
            f"'{data}' is no test set",
            value="; ".join([f"samples without {kind}", *samples.warnings]),
            allowed="y in an .npz or from a function, a sub-folder for each class, or a column of "
            "labels" + (", which hold classes" if classes else ""),
            next_step="save it again: numpy.savez('test.npz', x=samples, y=labels)",
        )
    return TestSet(
        samples.arrays, labels, samples.class_names, samples.taken, samples.how, samples.warnings
    )


def _are_classes(labels: Array) -> bool:
    return labels.ndim == 1 and labels.dtype.kind in "iu"


def for_model(test_set: TestSet, program: Program, *, classes: bool = True) -> TestSet:
    """The test set with its classes numbered as `program` does, by name where they have names.

    Its `class_names` are then the model's. Without `classes`, numbers may be anything and stay.
    Raises BadInput where the classes are not the model's.
    """
    names, output = class_labels(program), program.outputs[0].tensor
    y = test_set.y
    if test_set.class_names is not None:
        y, names = numbered_as_model(y, test_set.class_names, names, class_count(output))
    elif not classes:
        return test_set
    numbered = replace(test_set, y=y, class_names=names or None)
    check_classes(numbered, output)
    return numbered


def class_labels(program: Program) -> tuple[str, ...]:
    """The names of the first output's classes that the model's metadata has; () for none."""
    outputs = program.metadata.outputs if program.metadata else ()
    return tuple(outputs[0].labels) if outputs else ()


def class_count(output: Tensor) -> int:
    """How many classes a first output tells apart: one score tells two."""
    return max(2, output.elements)


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
    classes = class_count(output)
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
