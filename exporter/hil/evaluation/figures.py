"""What the outputs of a whole test set come to: metric, classes, agreement with the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.graph.ir import Tensor
from exporter.hil.evaluation.data import TestSet
from exporter.hil.evaluation.intervals import Interval, bootstrap, delong, wilson
from exporter.hil.evaluation.record import Result
from exporter.hil.vectors import dequantize
from exporter.metrics import METRICS, Metric, predicted_classes

NO_RESAMPLES = "no resamples"
SEPARATED = "the classes do not overlap, so that the scores show no variance"


@dataclass(frozen=True)
class Score:
    """A metric of the board's outputs. `interval` None: `no_interval` says why.

    `oracle` is the metric of the host reference's outputs, None where it was not run.
    """

    name: str
    value: float
    interval: Interval | None
    no_interval: str | None
    oracle: float | None


@dataclass(frozen=True)
class ClassFigures:
    """One class: how many of its samples the board told right."""

    number: int
    name: str
    samples: int
    right: int
    interval: Interval


@dataclass(frozen=True)
class Confusion:
    """Samples of the class `true` that the board took for `predicted`; `share` of that class."""

    true: str
    predicted: str
    samples: int
    share: float


@dataclass(frozen=True)
class Mismatch:
    """The first wrong element of a sample: `sample` is its number in the data."""

    sample: int
    output: str
    position: tuple[int, ...]
    expected: int
    found: int
    elements: int

    def describe(self) -> str:
        return (
            f"sample {self.sample}: output '{self.output}' {list(self.position)} is {self.found}, "
            f"expected {self.expected}; {self.elements} elements differ"
        )


def real_outputs(results: Mapping[int, Result], output: Tensor) -> Array:
    """The first output, `output`, of all samples in their order, float32 [N, ...]."""
    stacked = np.stack([results[k].outputs[0].reshape(output.shape) for k in sorted(results)])
    batch = output.shape[:1] == (1,)
    return dequantize(stacked[:, 0] if batch and len(output.shape) > 1 else stacked, output)


def check_labels(metric: Metric, output: Tensor, labels: Array) -> None:
    """Raises BadInput, before anything runs, for labels that one of our metrics does not take."""
    if metric.name in METRICS:
        metric(np.zeros((len(labels), *output.shape[1:]), np.float32), labels)


def score(
    metric: Metric, outputs: Array, references: Array | None, labels: Array, resamples: int
) -> Score:
    """The metric of float `outputs` [N, ...] with its interval. Raises BadInput as it does."""
    value = metric(outputs, labels)
    interval, why = _interval(metric, outputs, labels, resamples)
    oracle = None if references is None else metric(references, labels)
    return Score(metric.name, value, interval, why, oracle)


def _interval(
    metric: Metric, outputs: Array, labels: Array, resamples: int
) -> tuple[Interval | None, str | None]:
    """The interval, or why there is none."""
    one = np.zeros(len(labels))
    if metric is METRICS["top1"]:
        return wilson(int((predicted_classes(outputs) == labels).sum()), len(labels)), None
    if metric is METRICS["auc"]:
        rows = outputs.reshape(len(outputs), -1)
        if rows.shape[1] <= 2:
            interval = delong(rows[:, -1], labels == 1)
            return interval, None if interval else SEPARATED
        drawn = bootstrap(lambda k: metric(outputs[k], labels[k]), labels, resamples)
    elif metric is METRICS["mae"]:
        errors = _errors(outputs, labels)
        drawn = bootstrap(lambda k: float(errors[k].mean()), one, resamples)
    else:
        try:
            drawn = bootstrap(lambda k: metric(outputs[k], labels[k]), one, resamples)
        except BadInput as error:  # a user's function may not take every choice of samples
            return None, f"{metric.name} fails on a resample: {error.value or error.what}"
    return drawn, None if drawn else NO_RESAMPLES


def _errors(outputs: Array, labels: Array) -> Array:
    """The mean absolute error of each sample, float64 [N]; their mean is that of all."""
    difference = outputs.astype(np.float64) - labels.reshape(outputs.shape).astype(np.float64)
    errors: Array = np.abs(difference).reshape(len(outputs), -1).mean(axis=1)
    return errors


def class_figures(outputs: Array, test_set: TestSet) -> list[ClassFigures]:
    """Each class that has samples, by its number."""
    right = predicted_classes(outputs) == test_set.y
    figures = []
    for number in np.unique(test_set.y):
        own = right[test_set.y == number]
        hits, count = int(own.sum()), len(own)
        name = class_name(test_set, int(number))
        figures.append(ClassFigures(int(number), name, count, hits, wilson(hits, count)))
    return figures


def class_name(test_set: TestSet, number: int) -> str:
    """The name of a class, or its number."""
    names = test_set.class_names or ()
    return names[number] if number < len(names) else str(number)


def confusions(outputs: Array, test_set: TestSet, most: int) -> list[Confusion]:
    """The pairs of classes that are mistaken most often, at most so many."""
    predicted = predicted_classes(outputs)
    wrong = predicted != test_set.y
    pairs, counts = np.unique(
        np.stack([test_set.y[wrong], predicted[wrong]]), axis=1, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")[:most]
    return [
        Confusion(
            class_name(test_set, int(pairs[0, k])),
            class_name(test_set, int(pairs[1, k])),
            int(counts[k]),
            float(counts[k] / (test_set.y == pairs[0, k]).sum()),
        )
        for k in order
    ]


def mismatches(
    board: Mapping[int, Result],
    oracle: Mapping[int, Result],
    tensors: Sequence[Tensor],
    numbers: Sequence[int],
) -> list[Mismatch]:
    """Samples whose outputs are not the oracle's, bit for bit; `numbers` are theirs in the data."""
    found = []
    for k in sorted(board.keys() & oracle.keys()):
        first = _first_difference(oracle[k].outputs, board[k].outputs, tensors)
        if first is not None:
            found.append(Mismatch(numbers[k], *first))
    return found


def _first_difference(
    expected: Sequence[Array], found: Sequence[Array], tensors: Sequence[Tensor]
) -> tuple[str, tuple[int, ...], int, int, int] | None:
    wrong: Any = [np.argwhere(e != f) for e, f in zip(expected, found, strict=True)]
    for tensor, e, f, places in zip(tensors, expected, found, wrong, strict=True):
        if len(places):
            position = tuple(int(i) for i in places[0])
            elements = sum(len(p) for p in wrong)
            return tensor.name, position, int(e[position]), int(f[position]), elements
    return None
