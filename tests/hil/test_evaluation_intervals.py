"""Confidence intervals, against published values and against their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from exporter.arrays import Array
from exporter.hil.evaluation.intervals import Z, bootstrap, delong, wilson
from exporter.metrics import auc


@pytest.mark.parametrize(
    ("right", "samples", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(right: int, samples: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3."""
    found = wilson(right, samples)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize("samples", [1, 7, 450])
def test_wilson_is_symmetric_and_within_bounds(samples: int) -> None:
    for right in range(samples + 1):
        found, other = wilson(right, samples), wilson(samples - right, samples)
        assert 0 <= found.low <= right / samples <= found.high <= 1
        assert found.low == pytest.approx(1 - other.high)
    assert wilson(0, samples).low == 0 and wilson(samples, samples).high == 1


def delong_by_definition(cases: list[float], controls: list[float]) -> tuple[float, float]:
    """The area and its variance, from every pair: DeLong et al. 1988, equations 4 to 6."""

    def pair(case: float, control: float) -> float:
        return 1.0 if case > control else 0.5 if case == control else 0.0

    m, n = len(cases), len(controls)
    area = sum(pair(x, y) for x, y in itertools.product(cases, controls)) / (m * n)
    v10 = [sum(pair(x, y) for y in controls) / n for x in cases]
    v01 = [sum(pair(x, y) for x in cases) / m for y in controls]
    s10 = sum((v - area) ** 2 for v in v10) / (m - 1)
    s01 = sum((v - area) ** 2 for v in v01) / (n - 1)
    return area, s10 / m + s01 / n


@pytest.mark.parametrize("seed", range(5))
def test_delong_by_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(60) < 0.4
    scores = np.rint(rng.normal(0, 4, 60) + 3 * positive) / 4  # quantised: with ties
    area, variance = delong_by_definition([*scores[positive]], [*scores[~positive]])
    assert area == pytest.approx(auc(scores[:, None], positive.astype(np.int64)))
    half = Z * math.sqrt(variance) / (area * (1 - area))
    found = delong(scores, positive)
    assert found is not None and 0 < found.low < area < found.high < 1
    for end, sign in ((found.low, -1), (found.high, 1)):
        assert math.log(end / (1 - end)) == pytest.approx(math.log(area / (1 - area)) + sign * half)


@pytest.mark.parametrize(
    ("scores", "positive"),
    [([1, 2, 3, 4], [0, 0, 1, 1]), ([4, 3, 2, 1], [0, 0, 1, 1]), ([1, 2, 3], [0, 1, 0])],
    ids=["all above", "all below", "one of a class"],
)
def test_no_variance_is_no_interval(scores: list[float], positive: list[int]) -> None:
    """Not one of no width, which would claim certainty."""
    assert delong(np.array(scores, float), np.array(positive, bool)) is None


def test_the_bootstrap_of_a_mean_is_near_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = bootstrap(lambda k: float(values[k].mean()), np.zeros(400), 2000)
    half = Z * values.std(ddof=1) / 20
    assert found is not None
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_bootstrap_repeats_and_keeps_its_strata() -> None:
    strata = np.array([0, 0, 0, 1, 2, 2])
    seen = []

    def value(chosen: Array) -> float:
        seen.append(np.bincount(strata[chosen]).tolist())
        return float(chosen.sum())

    first, second = (bootstrap(value, strata, 50) for _ in range(2))
    assert first == second and first is not None and "50 resamples, seed 0" in first.method
    assert seen == [[3, 1, 2]] * 100
    assert bootstrap(value, strata, 0) is None
