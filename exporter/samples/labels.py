"""Right answers in whatever form the data carries them, as class numbers."""

from __future__ import annotations

import numpy as np

from exporter.arrays import Array

LABEL_KEY = "y"
NAMES_KEY = "class_names"


def class_numbers(labels: Array) -> tuple[Array, tuple[str, ...] | None] | None:
    """Labels as int64 [N], and the classes' names where the labels are text.

    Takes whole numbers [N] or [N, 1], text (numbered in alphabetical order) and one-hot rows
    [N, classes]; None for anything else, such as the targets of a regression.
    """
    if labels.ndim > 1 and labels.size == len(labels):
        labels = labels.reshape(-1)
    if labels.ndim == 2 and _is_one_hot(labels):
        return labels.argmax(axis=1).astype(np.int64), None
    if labels.ndim != 1:
        return None
    if labels.dtype.kind in "iu":
        return labels.astype(np.int64), None
    if labels.dtype.kind == "U":
        names, numbers = np.unique(labels, return_inverse=True)
        return numbers.astype(np.int64), tuple(map(str, names))
    return None


def _is_one_hot(rows: Array) -> bool:
    return (
        rows.dtype.kind in "biuf"
        and bool(np.isin(rows, (0, 1)).all())
        and bool((rows.astype(np.float64).sum(axis=1) == 1).all())
    )


def whole_numbers(cells: list[str]) -> Array:
    """Label cells of a text file: integers where all of them are, as 2 or 2.0, else text."""
    try:
        numbers = [float(cell) for cell in cells]
        if all(number.is_integer() for number in numbers):
            return np.array([int(number) for number in numbers], np.int64)
    except (ValueError, OverflowError):
        pass
    return np.array(cells, np.str_)
