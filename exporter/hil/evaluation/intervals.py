"""How far a figure from a finite test set can be trusted: 95 % confidence intervals.

Wilson's score interval for shares (Wilson 1927; Brown, Cai, DasGupta 2001 recommend it for any N),
DeLong's variance for the area under one ROC curve (DeLong, DeLong, Clarke-Pearson 1988), on the
logit scale, where the interval stays within 0 and 1 (Pepe 2003, 5.2), and the percentile bootstrap
for everything else (Efron 1979).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from exporter.arrays import Array

LEVEL = 0.95
Z = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""
SEED = 0


@dataclass(frozen=True)
class Interval:
    """From `low` to `high` with a confidence of `LEVEL`, by `method`."""

    low: float
    high: float
    method: str


def wilson(right: int, samples: int) -> Interval:
    """The interval of a share: `right` of `samples`, of which there is at least one."""
    share, square = right / samples, Z * Z / samples
    middle = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / samples + square / (4 * samples)) / (1 + square)
    # At the ends the interval reaches 0 or 1 exactly, but for rounding.
    low = 0.0 if right == 0 else max(0.0, middle - half)
    high = 1.0 if right == samples else min(1.0, middle + half)
    return Interval(low, high, "Wilson")


def delong(scores: Array, positive: Array) -> Interval | None:
    """The interval of a binary AUC from float scores [N] and bool positive [N].

    None where the scores give no variance: one sample of a class, or no pair that overlaps.
    """
    cases, controls = scores[positive], scores[~positive]
    if min(len(cases), len(controls)) < 2:
        return None
    over = _shares_below(cases, controls)  # of each case: controls below it
    under = 1 - _shares_below(controls, cases)  # of each control: cases above it
    area = float(over.mean())
    variance = over.var(ddof=1) / len(cases) + under.var(ddof=1) / len(controls)
    if variance <= 0 or not 0 < area < 1:
        return None
    logit = math.log(area / (1 - area))
    half = Z * math.sqrt(variance) / (area * (1 - area))
    return Interval(_logistic(logit - half), _logistic(logit + half), "DeLong, logit")


def _shares_below(values: Array, others: Array) -> Array:
    """For each of `values` the share of `others` that are less, ties counted as half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left")
    shares: Array = (below + np.searchsorted(ordered, values, "right")) / (2 * len(others))
    return shares


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def bootstrap(
    value: Callable[[Array], float], strata: Array, resamples: int, seed: int = SEED
) -> Interval | None:
    """The percentile interval of `value`, a function of the samples' numbers, int64 [N].

    Samples are drawn again within each of `strata` [N], so that no class is lost. The same
    arguments give the same interval. None where `resamples` is 0.
    """
    if resamples == 0:
        return None
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    drawn = [
        value(np.concatenate([rng.choice(group, len(group)) for group in groups]))
        for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    method = f"percentile bootstrap, {resamples} resamples, seed {seed}"
    return Interval(float(low), float(high), method)
