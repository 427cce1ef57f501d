"""What quantisation did to each tensor, in figures: what the worker measures and reports show.

Errors are integer model minus float model, in real numbers. The signal-to-quantisation-noise ratio
(SQNR) is 10 log10(sum of squares of the float values / sum of squares of the errors), in dB; None
where there is no error at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from exporter.arrays import Array

HISTOGRAM_BINS = 64
LOWEST_DB = -99.0
"""For errors where the float model has nothing but zeros."""

MOVES = frozenset({"MAX_POOL_2D", "RESHAPE", "TRANSPOSE"})
"""Operators that pass values on, with the errors that they had."""

GIVEN_RANGES = MOVES | {"SOFTMAX", "LOGISTIC", "TANH", "AVERAGE_POOL_2D"}
"""Operators whose output's range is fixed, or that of their input."""

Ends = tuple[float, float]


@dataclass(frozen=True)
class Spread:
    """Histograms of HISTOGRAM_BINS bins from `low` to `high`; what is beyond counts at the ends.

    float_counts, int_counts  of the float values, and of the integers as real numbers
    """

    low: float
    high: float
    float_counts: tuple[int, ...]
    int_counts: tuple[int, ...]


@dataclass(frozen=True)
class TensorMeasure:
    """One activation, float against integer, both models running from the same samples.

    name, op, shape     of the tensor, and the operator that makes it (INPUT: none)
    sqnr_db             with the errors of all layers before it
    own_sqnr_db         with its own rounding and clipping alone
    channel_sqnr_db     that of the worst channel (last dimension), number `channel`
    mean_error, max_error  the bias, and the largest error without its sign
    saturation          share of values at a rail that the float model has beyond it
    chosen, observed    the range of the integers; what the float model had over these samples
    """

    name: str
    op: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    sqnr_db: float | None
    own_sqnr_db: float | None
    channel_sqnr_db: float | None
    channel: int
    mean_error: float
    max_error: float
    saturation: float
    chosen: Ends
    observed: Ends
    spread: Spread


@dataclass(frozen=True)
class WeightMeasure:
    """The weights of one layer, which is named by its output tensor.

    scales  the lowest, the median and the highest of its channels
    """

    name: str
    op: str
    shape: tuple[int, ...]
    dtype: str
    channels: int
    scales: tuple[float, float, float]
    sqnr_db: float | None
    max_error: float
    observed: Ends
    spread: Spread


@dataclass(frozen=True, eq=False)
class Comparison:
    """A float and an integer flatbuffer side by side.

    `float_outputs` and `outputs`: float32 [N, ...] each, over all samples; the measures are over
    `measured` of them. `unmatched` names tensors of the float model that the other has not.
    `constants` is the bytes of weights and biases of both.
    """

    tensors: tuple[TensorMeasure, ...]
    weights: tuple[WeightMeasure, ...]
    unmatched: tuple[str, ...]
    measured: int
    float_bytes: int
    constants: tuple[int, int]
    float_outputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


def decibels(signal: float, noise: float) -> float | None:
    """The ratio of two sums of squares in dB; None without noise."""
    if noise == 0:
        return None
    return LOWEST_DB if signal == 0 else max(LOWEST_DB, 10 * math.log10(signal / noise))


def output_sqnr(float_outputs: Array, outputs: Array) -> float | None:
    """The SQNR of a model's output over all samples."""
    reference = float_outputs.astype(np.float64)
    return decibels(float((reference**2).sum()), float(((outputs - reference) ** 2).sum()))


def as_fields(measure: TensorMeasure | WeightMeasure) -> dict[str, Any]:
    """The measure as JSON states it."""
    return asdict(measure)


def tensor_measure(fields: Mapping[str, Any]) -> TensorMeasure:
    """The reverse of `as_fields`."""
    return TensorMeasure(**_tuples(fields))


def weight_measure(fields: Mapping[str, Any]) -> WeightMeasure:
    """The reverse of `as_fields`."""
    return WeightMeasure(**_tuples(fields))


def worst_first(measures: Sequence[TensorMeasure]) -> list[TensorMeasure]:
    """By SQNR, those without any error last; the order of the model among equals."""
    return sorted(measures, key=lambda m: math.inf if m.sqnr_db is None else m.sqnr_db)


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    counts: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in fields["spread"].items()
    }
    return {**plain, "spread": Spread(**counts)}
