"""Samples in an `.npz` or `.npy` file: arrays by the names of the model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from exporter.arrays import Array, pick, read_arrays
from exporter.errors import BadInput
from exporter.samples.base import Kind, ModelInput, Opened, Progress, Taken
from exporter.samples.labels import LABEL_KEY, NAMES_KEY, class_numbers
from exporter.samples.options import SampleOptions
from exporter.samples.validate import checked, reordered


class NumpyFile(Kind):
    """Arrays [N, ...], ready for the model; labels under `y`, their names under `class_names`."""

    form = "a numpy file (.npz, .npy)"

    def matches(self, data: str) -> bool:
        return Path(data).suffix.lower() in (".npz", ".npy")

    def check(self, data: str) -> None:
        read_arrays(Path(data))

    def open(
        self, data: str, inputs: Sequence[ModelInput], options: SampleOptions, told: Progress
    ) -> Opened:
        told(f"reading {data}")
        return opened_arrays(data, read_arrays(Path(data)), inputs)


def opened_arrays(data: str, found: dict[str, Array], inputs: Sequence[ModelInput]) -> Opened:
    """Arrays by the inputs' names, with or without labels. Raises BadInput."""
    names = {i.name for i in inputs}
    beside = {k: found[k] for k in (LABEL_KEY, NAMES_KEY) if k in found and k not in names}
    data_arrays = {k: a for k, a in found.items() if k not in beside}
    picked = [pick(Path(data), data_arrays, i.name, only=len(inputs) == 1) for i in inputs]
    arrays = checked(data, picked, inputs)
    labels, class_names, warnings = _labels(data, beside, len(arrays[0]))
    return Opened(
        "samples",
        len(arrays[0]),
        lambda indices: Taken(tuple(a[indices] for a in arrays)),
        labels=labels,
        class_names=class_names,
        warnings=(*reordered(picked, inputs), *warnings),
    )


def _labels(
    data: str, beside: dict[str, Array], count: int
) -> tuple[Array | None, tuple[str, ...] | None, tuple[str, ...]]:
    """Labels, names of classes, warnings."""
    if LABEL_KEY not in beside:
        return None, None, ()
    y = beside[LABEL_KEY]
    form = f"{y.dtype.name} {list(y.shape)}"
    if y.ndim == 0 or len(y) != count:
        raise BadInput(
            f"'{data}' has not one label for each sample",
            value=f"{LABEL_KEY} {form} for {count} samples",
            allowed=f"{LABEL_KEY} [{count}]",
        )
    numbered = class_numbers(y)
    if numbered is None and y.dtype.kind in "iuf" and np.isfinite(y).all():
        return y.reshape(-1) if y.size == len(y) else y, None, ()
    if numbered is None:
        warning = f"'{LABEL_KEY}' in '{data}' is {form}, no classes and no numbers: it is not used"
        return None, None, (warning,)
    numbers, names = numbered
    return numbers, names or _names(beside, int(numbers.max())), ()


def _names(beside: dict[str, Array], highest: int) -> tuple[str, ...] | None:
    names = beside.get(NAMES_KEY)
    if names is None or names.dtype.kind != "U" or names.ndim != 1 or len(names) <= highest:
        return None
    return tuple(map(str, names))
