"""Training and validation samples of the compressions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.arrays import read_arrays
from exporter.errors import BadInput

Array = NDArray[Any]

VALIDATION_SHARE = 0.15
FEWEST_SAMPLES = 8


@dataclass(frozen=True, eq=False)
class Samples:
    """`x` float32 [N, ...] as the model takes it; `y` int64 [N] classes, or float32 [N, ...]."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, which: Array | slice) -> Samples:
        return Samples(self.x[which], self.y[which])

    @property
    def are_classes(self) -> bool:
        """Whether `y` holds classes; otherwise numbers to be predicted."""
        return np.issubdtype(self.y.dtype, np.integer)


@dataclass(frozen=True, eq=False)
class Data:
    """What is trained on, and what decides when to stop and what to keep."""

    train: Samples
    validation: Samples


def load_data(train: Path, validation: Path | None = None, seed: int = 0) -> Data:
    """The samples of one or two `.npz` files with `x` and `y`.

    Without a second file, a seeded part (15 %) of the first validates. Raises BadInput: missing
    arrays, unequal lengths, values that are not finite, too few samples.
    """
    given = load_samples(train)
    if validation is not None:
        return Data(given, load_samples(validation))
    order = np.random.default_rng(seed).permutation(len(given))
    count = max(1, round(VALIDATION_SHARE * len(given)))
    return Data(given[order[count:]], given[order[:count]])


def load_samples(path: Path) -> Samples:
    """The samples in an `.npz`. Raises BadInput."""
    arrays = read_arrays(path)
    if missing := {"x", "y"} - set(arrays):
        raise BadInput(
            f"'{path}' has no array '{min(missing)}'",
            value=f"keys: {', '.join(arrays) or '(none)'}",
            allowed="x, the samples, and y, their labels",
            next_step="save both: numpy.savez('train.npz', x=samples, y=labels)",
        )
    x, y = _numbers(path, "x", arrays["x"]), _numbers(path, "y", arrays["y"])
    if x.ndim < 2 or len(x) != len(y) or len(x) < FEWEST_SAMPLES:
        raise BadInput(
            f"the arrays of '{path}' are not a training set",
            value=f"x {list(x.shape)}, y {list(y.shape)}",
            allowed=f"x [N, ...] and y [N] or [N, ...], N {FEWEST_SAMPLES} or more",
        )
    whole = np.issubdtype(y.dtype, np.integer) or y.dtype == np.bool_
    return Samples(x.astype(np.float32), y.astype(np.int64 if whole else np.float32))


def _numbers(path: Path, key: str, array: Array) -> Array:
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise BadInput(
            f"the array '{key}' of '{path}' does not hold finite numbers",
            value=f"dtype {array.dtype}",
            allowed="numbers, neither NaN nor infinite",
            next_step="drop the samples that are broken",
        )
    return array


def check_data(data: Data, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
    """Raises BadInput unless the samples fit a model's input and output, both without batch."""
    for samples in (data.train, data.validation):
        if samples.x.shape[1:] != input_shape:
            raise BadInput(
                "the samples do not fit the model's input",
                value=f"x {list(samples.x.shape)}",
                allowed=f"[N, {', '.join(map(str, input_shape))}]",
            )
        if samples.are_classes:
            _check_classes(samples.y, output_shape)
        elif samples.y.shape[1:] != output_shape:
            raise BadInput(
                "the labels do not fit the model's output",
                value=f"y {list(samples.y.shape)}",
                allowed=f"[N, {', '.join(map(str, output_shape))}] or classes as integers [N]",
            )


def _check_classes(y: Array, output_shape: tuple[int, ...]) -> None:
    classes = max(2, output_shape[-1])
    if y.ndim == 1 and len(output_shape) == 1 and y.min() >= 0 and y.max() < classes:
        return
    raise BadInput(
        "the labels do not fit the model's output",
        value=f"y {list(y.shape)}, {y.min()} to {y.max()}",
        allowed=f"integers [N] from 0 to {classes - 1}"
        if len(output_shape) == 1
        else "float labels for a model whose output is not a list of classes",
    )
