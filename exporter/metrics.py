"""How well a model does its task, as one number: from its outputs and the right answers.

Outputs are float [N, ...], one row per sample; labels [N, ...] are class numbers for `top1` and
`auc`, numbers for `mae`, and whatever the user's own function takes.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporter import user_function
from exporter.arrays import Array
from exporter.errors import BadInput

BINARY_THRESHOLD = 0.5
"""A single score is the probability of class 1."""

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Metric:
    """A named measure.

    `is_share`: its values are between 0 and 1, and losses are stated in points of them; the losses
    of others are stated relative to the value of the float model.
    """

    name: str
    compute: Callable[[Array, Array], float]
    larger_is_better: bool = True
    is_share: bool = True

    def __call__(self, outputs: Array, labels: Array) -> float:
        """The metric of float [N, ...] outputs. Raises BadInput where the labels do not fit."""
        if len(outputs) != len(labels):
            raise BadInput(
                f"the metric {self.name} needs a label for every sample",
                value=f"{len(outputs)} outputs, {len(labels)} labels",
                allowed="the same number of both",
            )
        return self.compute(outputs, labels)

    def drop(self, reference: float, value: float) -> float:
        """How much worse `value` is than `reference`, in percent; negative where it is better."""
        worse = reference - value if self.larger_is_better else value - reference
        if self.is_share:
            return 100 * worse
        return 100 * worse / (abs(reference) or 1.0)

    def text(self, value: float) -> str:
        """A value for people."""
        return f"{100 * value:.2f}%" if self.is_share else f"{value:.6g}"


def predicted_classes(outputs: Array) -> Array:
    """The class of each row, int64 [N]: the first largest score, or one score against 0.5."""
    rows = outputs.reshape(len(outputs), -1)
    if rows.shape[1] == 1:
        return (rows[:, 0] >= BINARY_THRESHOLD).astype(np.int64)
    classes: Array = rows.argmax(axis=1)
    return classes


def agreement(outputs: Array, others: Array) -> float:
    """The share of samples that both outputs [N, ...] give the same class."""
    return float((predicted_classes(outputs) == predicted_classes(others)).mean())


def top1(outputs: Array, labels: Array) -> float:
    """The share of samples whose predicted class is the right one."""
    _check_classes("top1", outputs, labels)
    return float((predicted_classes(outputs) == labels).mean())


def auc(outputs: Array, labels: Array) -> float:
    """The area under the ROC curve; of several classes the mean of one against the rest.

    One score, or the second of two, is that of class 1. Classes without a sample are left out.
    Raises BadInput for labels of fewer than two classes.
    """
    _check_classes("auc", outputs, labels)
    rows = outputs.reshape(len(outputs), -1)
    present = np.unique(labels)
    if len(present) < 2:
        raise BadInput(
            "the metric auc needs samples of two classes at least",
            value=f"all {len(labels)} labels are {present[0]}",
            allowed="labels of several classes",
        )
    if rows.shape[1] <= 2:
        return _binary_auc(rows[:, -1], labels == 1)
    return float(np.mean([_binary_auc(rows[:, c], labels == c) for c in present]))


def _binary_auc(scores: Array, positive: Array) -> float:
    """The chance that a positive sample has the higher score, a tie counted as half.

    By the ranks' sum (Mann-Whitney U); equal scores share their mean rank.
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    positives = int(positive.sum())
    pairs = positives * (len(scores) - positives)
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / pairs)


def mae(outputs: Array, labels: Array) -> float:
    """The mean absolute error against labels of the outputs' shape."""
    if outputs.size != labels.size:
        raise BadInput(
            "the labels do not have the shape of the model's output",
            value=list(labels.shape),
            allowed=str(list(outputs.shape)),
        )
    difference = outputs.astype(np.float64) - labels.reshape(outputs.shape).astype(np.float64)
    return float(np.abs(difference).mean())


def _check_classes(name: str, outputs: Array, labels: Array) -> None:
    classes = max(2, outputs.reshape(len(outputs), -1).shape[1])
    whole = labels.ndim == 1 and labels.dtype.kind in "iu"
    if not whole or labels.min() < 0 or labels.max() >= classes:
        ends = f", {labels.min()} to {labels.max()}" if whole else ""
        raise BadInput(
            f"these labels are no classes for the metric {name}",
            value=f"{labels.dtype.name} {list(labels.shape)}{ends}",
            allowed=f"integers [N] from 0 to {classes - 1}, one for each score of the output",
            next_step="use --metric mae for numbers, or --metric module:function",
        )


METRICS: dict[str, Metric] = {
    "top1": Metric("top1", top1),
    "auc": Metric("auc", auc),
    "mae": Metric("mae", mae, larger_is_better=False, is_share=False),
}
_OWN = "a function (outputs [N, ...], labels [N, ...]) that returns a finite number"
FORM = "top1, auc, mae or module:function"


def find_metric(name: str) -> Metric:
    """A metric by its name, or the user's own `module:function`.

    That is called with outputs and labels and returns a number, of which more is better unless the
    function has an attribute `larger_is_better` that is False. The module is imported from the
    current folder. Raises BadInput.
    """
    if name in METRICS:
        return METRICS[name]
    if not _FUNCTION.fullmatch(name):
        raise BadInput("there is no such metric", value=name, allowed=FORM)
    function = _imported(name)
    larger = bool(getattr(function, "larger_is_better", True))
    return Metric(name, _guarded(name, function), larger, is_share=False)


def _imported(name: str) -> Callable[[Array, Array], Any]:
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return user_function.found(name, Path.cwd(), _OWN)
    except BadInput:
        raise
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise _failed(name, error) from None


def _guarded(name: str, function: Callable[[Array, Array], Any]) -> Callable[[Array, Array], float]:
    """The user's function; what it prints stays off stdout, what it raises is told as its own."""

    def compute(outputs: Array, labels: Array) -> float:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                value = float(function(outputs, labels))
        except (Exception, SystemExit) as error:  # a user's function may raise anything
            raise _failed(name, error) from None
        if not np.isfinite(value):
            raise BadInput(
                f"the metric {name} cannot be used", value=f"it returned {value}", allowed=_OWN
            )
        return value

    return compute


def _failed(name: str, error: BaseException) -> BadInput:
    return user_function.failed(f"the metric {name}", error, Path.cwd(), _OWN)
