"""The samples on which a converted model is judged, and what it is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.metrics import METRICS, Metric, agreement, find_metric, predicted_classes
from exporter.samples import ModelInput, SampleOptions, load_samples
from exporter.samples.classes import numbered_as_model

MOST_CLASSES = 1000
"""Rows of more numbers are no scores of classes."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One float32 array [N, ...] per input; `labels` [N, ...] where there are right answers.

    `data` says where it is from, for reports.
    """

    data: str
    arrays: tuple[Array, ...]
    labels: Array | None = None
    class_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.arrays[0])


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What makes one converted model better than another: a metric, and the right answers.

    Without right answers it is the agreement of the predictions with those of the float model;
    `metric` is None then.
    """

    metric: Metric | None
    labels: Array | None

    @property
    def name(self) -> str:
        return self.metric.name if self.metric else "agreement"

    def values(self, float_outputs: Array, outputs: Array) -> tuple[float, float]:
        """What the float and the integer model get."""
        if self.metric is None or self.labels is None:
            return 1.0, agreement(float_outputs, outputs)
        return self.metric(float_outputs, self.labels), self.metric(outputs, self.labels)

    def drop(self, float_value: float, value: float) -> float:
        """The loss in percent: points of a share, else relative to the float model's value."""
        return self.metric.drop(float_value, value) if self.metric else 100 * (float_value - value)

    def text(self, value: float) -> str:
        return self.metric.text(value) if self.metric else f"{100 * value:.2f}%"


def yardstick(evaluation: Evaluation, metric: str | None) -> Yardstick:
    """The metric that was asked for, or top1 where there are labels of classes, or agreement.

    Raises BadInput for a metric without labels.
    """
    labels = evaluation.labels
    if metric is None:
        classes = labels is not None and labels.ndim == 1 and labels.dtype.kind in "iu"
        default = METRICS["top1"] if classes else METRICS["mae"] if labels is not None else None
        return Yardstick(default, labels)
    if labels is None:
        raise BadInput(
            f"the metric {metric} needs labels",
            value=f"{evaluation.data} has none",
            allowed="--eval DATA with labels, such as an .npz with x and y",
            next_step="leave --metric out to compare with the float model's predictions alone",
        )
    return Yardstick(find_metric(metric), labels)


def load_evaluation(
    data: str | Path, inputs: Sequence[ModelInput], options: SampleOptions
) -> Evaluation:
    """All samples in `data`, in their own order, with labels where it has them. Raises BadInput."""
    samples = load_samples(data, inputs, replace(options, samples=None))
    return Evaluation(str(data), samples.arrays, samples.labels, samples.class_names)


def with_all_classes(evaluation: Evaluation, classes: Sequence[str]) -> Evaluation:
    """The evaluation with its labels numbered as `classes`, of which its data may lack some.

    A folder that is not there would otherwise shift the numbers of those that follow.
    """
    names, labels = evaluation.class_names, evaluation.labels
    if names is None or labels is None or not set(names) < set(classes):
        return evaluation
    numbers, all_names = numbered_as_model(labels, names, classes, len(classes))
    return replace(evaluation, labels=numbers, class_names=all_names)


def gives_classes(outputs: Array, evaluation: Evaluation) -> bool:
    """Whether rows of the output are taken for scores of classes.

    Not those of a model that gives back what it got (an autoencoder), nor where the labels are no
    classes of it: whole numbers may also be what `mae` is measured against.
    """
    scores = outputs[0].size
    reconstructs = any(scores == array[0].size for array in evaluation.arrays)
    labels = evaluation.labels
    if labels is not None:
        whole = labels.ndim == 1 and labels.dtype.kind in "iu"
        return bool(whole and labels.min() >= 0 and labels.max() < class_count(outputs))
    return not reconstructs and scores <= MOST_CLASSES


def class_count(outputs: Array) -> int:
    """How many classes the rows of an output tell apart."""
    return max(2, int(outputs[0].size))


def confusion(outputs: Array, labels: Array) -> Array:
    """How often samples of a class (row) were given each class (column): int64 [C, C]."""
    classes = class_count(outputs)
    places = labels.astype(np.int64) * classes + predicted_classes(outputs)
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)
