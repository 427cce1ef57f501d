"""A labelled test set through the board: accuracy there, on the host, and of the float model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.arrays import read_arrays
from exporter.errors import BadInput
from exporter.graph.ir import Tensor
from exporter.hil.vectors import quantize

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class TestSet:
    """`x` float32 [N, ...] as the trained model takes it, `y` int [N] the right classes."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.y)


def load_test_set(path: Path) -> TestSet:
    """The test set in an `.npz` with `x` and `y`.

    Raises:
        BadInput: missing arrays, unequal lengths, values that are not finite, no samples.
    """
    arrays = read_arrays(path)
    if not {"x", "y"} <= arrays.keys():
        raise BadInput(
            f"'{path}' is no test set",
            value=f"keys: {', '.join(arrays) or '(none)'}",
            allowed="x: the inputs, y: the right classes",
            next_step="save it again: numpy.savez('test.npz', x=samples, y=labels)",
        )
    x, y = arrays["x"], arrays["y"].reshape(-1)
    sizes = x.ndim > 0 and 0 < len(x) == len(y)
    if (
        not sizes
        or x.dtype.kind not in "fiu"
        or y.dtype.kind not in "iu"
        or not np.isfinite(x).all()
    ):
        raise BadInput(
            f"the test set '{path}' cannot be used",
            value=f"x {x.dtype} {list(x.shape)}, y {y.dtype} {list(y.shape)}",
            allowed="finite numbers x [N, ...] and integers y [N], N at least 1",
        )
    return TestSet(x.astype(np.float32), y.astype(np.int64))


def vectors_of(test_set: TestSet, tensor: Tensor) -> list[list[Array]]:
    """One vector for each sample, quantised for the model's input `tensor`.

    Raises:
        BadInput: the samples do not have the shape of the input.
    """
    if test_set.x[0].size != tensor.elements:
        raise BadInput(
            "the test set does not fit the model",
            value=f"samples of shape {list(test_set.x.shape[1:])}",
            allowed=f"samples of shape {list(tensor.shape[1:])} for the input '{tensor.name}'",
        )
    return [[sample.reshape(tensor.shape)] for sample in quantize(test_set.x, tensor)]


def scores(outputs: Sequence[Sequence[Array]]) -> Array:
    """The first output of each vector as one array, one row each."""
    return np.stack([vector[0].ravel() for vector in outputs])


def accuracy(scores: Array, labels: Array) -> float:
    """The share of rows of `scores` [N, classes] whose first largest entry is the label."""
    return float((scores.reshape(len(labels), -1).argmax(axis=1) == labels).mean())
