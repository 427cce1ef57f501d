"""From histograms to ranges: properties that hold for whatever a tensor was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.convert.observe import binned
from exporter.convert.ranges import (
    BINS,
    Observed,
    chosen_range,
    expected_error,
    least_error,
    minmax,
    percentile,
)
from exporter.convert.settings import ConvertSettings, RangeMethod
from exporter.worker import Array


def observed(values: Array) -> Observed:
    low, high = float(values.min()), float(values.max())
    return Observed(low, high, binned(values, low, high))


@st.composite
def tensors(draw: st.DrawFn) -> Array:
    """Values of some distribution, of one sign or of two, with or without far outliers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from(("normal", "uniform", "exponential", "relu")))
    values: Array = rng.normal(size=5000)
    if shape == "uniform":
        values = rng.uniform(-1, 3, size=5000)
    elif shape == "exponential":
        values = rng.exponential(size=5000)
    elif shape == "relu":
        values = np.maximum(values, 0)
    values = values * draw(st.sampled_from((1e-4, 1.0, 1e4)))
    if draw(st.booleans()):
        values[:3] = values.max() * draw(st.floats(1, 100))
    return values.astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(tensors())
def test_bins_hold_every_value_once(values: Array) -> None:
    seen = observed(values)
    assert seen.counts.sum() == values.size and len(seen.counts) == BINS
    assert seen.counts[0] > 0 and seen.counts[-1] > 0


@settings(max_examples=30, deadline=None)
@given(tensors(), st.floats(60, 100))
def test_a_percentile_cuts_no_more_than_it_may_from_either_end(
    values: Array, percent: float
) -> None:
    low, high = percentile(observed(values), percent)
    cut = (100 - percent) / 200 * values.size + 1e-6
    slack = 1e-6 * float(np.ptp(values))
    assert (values < low - slack).sum() <= cut and (values > high + slack).sum() <= cut
    assert values.min() - slack <= low <= high <= values.max() + slack


@settings(max_examples=30, deadline=None)
@given(tensors(), st.floats(60, 99), st.floats(0, 1))
def test_a_larger_percentile_holds_the_smaller(values: Array, percent: float, more: float) -> None:
    small = percentile(observed(values), percent)
    large = percentile(observed(values), percent + more)
    assert large[0] <= small[0] and small[1] <= large[1]


@settings(max_examples=30, deadline=None)
@given(tensors())
def test_all_of_it_is_the_hundredth_percentile(values: Array) -> None:
    seen = observed(values)
    assert percentile(seen, 100) == pytest.approx(minmax(seen)) == (values.min(), values.max())


@settings(max_examples=20, deadline=None)
@given(tensors())
def test_the_least_error_is_no_more_than_of_other_ranges(values: Array) -> None:
    seen = observed(values)
    best = expected_error(seen, least_error(seen))
    others = [minmax(seen), percentile(seen, 99.99), percentile(seen, 99)]
    shares = np.linspace(0.125, 1, 8)
    others += [(seen.lowest * a, seen.highest * b) for a in shares for b in shares]
    assert all(best <= expected_error(seen, o) * 1.02 for o in others if o[0] < o[1])


@settings(max_examples=20, deadline=None)
@given(tensors())
def test_the_expected_error_is_the_error_of_the_values(values: Array) -> None:
    seen = observed(values)
    low, high = min(seen.lowest, 0), max(seen.highest, 0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    real = (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale
    measured = float(np.mean((real - values) ** 2))
    assert expected_error(seen, minmax(seen)) == pytest.approx(
        measured, rel=0.25, abs=scale**2 / 50
    )


def test_an_outlier_is_clipped_for_the_sake_of_the_rest() -> None:
    seen = observed(np.append(np.random.default_rng(0).normal(size=1_000_000), 40.0))
    chosen = least_error(seen)
    assert chosen[1] < 20
    assert expected_error(seen, chosen) < 0.6 * expected_error(seen, minmax(seen))


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_a_tensor_that_never_changes_keeps_its_value(method: RangeMethod) -> None:
    chosen = ConvertSettings(ranges=method)
    assert chosen_range(observed(np.full(100, 2.5)), chosen) == (2.5, 2.5)
