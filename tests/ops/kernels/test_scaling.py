"""Requantisation in one step equals the reference at every accumulator that can occur."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from exporter.ops.arithmetic import Multiplier, Rounding, quantize_multiplier
from exporter.ops.kernels.scaling import Scaling, scaling
from exporter.ops.linear import Accumulator, Requantization

RANDOM = np.random.default_rng(7)


def sums(low: NDArray[np.int64], high: NDArray[np.int64]) -> Accumulator:
    return Accumulator(bias=low, low=low, high=high, magnitude=np.maximum(abs(low), abs(high)))


def layer(
    channels: int, bits: int, zero_point: int, low: int, rounding: Rounding, spread: float
) -> tuple[Accumulator, Requantization]:
    """Channels whose accumulators reach 2^bits and about the whole of int8."""
    reach = RANDOM.integers(2 ** (bits - 1), 2**bits, channels)
    scale = 200 / 2**bits * 2 ** RANDOM.uniform(-spread, 0, channels)
    multipliers = tuple(quantize_multiplier(float(value)) for value in scale)
    return sums(-reach, reach), Requantization(multipliers, rounding, zero_point, low, 127)


def assert_equal(found: Scaling, bounds: Accumulator, requantization: Requantization) -> None:
    """Over every accumulator where there are few, else over all ends and many between."""
    span = int((bounds.high - bounds.low).max())
    parts = np.arange(span + 1) if span < 9_000 else RANDOM.integers(0, span + 1, 3_000)
    values = np.minimum(bounds.low[:, None] + parts[None], bounds.high[:, None])
    values[:, 0], values[:, -1] = bounds.low, bounds.high
    ours = np.clip(found.apply(values), requantization.low, requantization.high)
    for channel, multiplier in enumerate(requantization.multipliers):
        one = Requantization(
            (multiplier,) * values.shape[1],
            requantization.rounding,
            requantization.zero_point,
            requantization.low,
            requantization.high,
        )
        assert np.array_equal(ours[channel], one.apply(values[channel]))


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("bits", [8, 12, 15, 20])
@pytest.mark.parametrize("zero_point", [-128, -3, 127])
def test_relu(bits: int, zero_point: int, rounding: Rounding) -> None:
    bounds, requantization = layer(6, bits, zero_point, zero_point, rounding, 3.0)
    found = scaling(bounds, requantization)
    if zero_point == 127:  # nothing but 127 can come out
        assert found is None
        return
    assert found is not None
    assert found.away == 0
    assert_equal(found, bounds, requantization)


@pytest.mark.parametrize("bits", [12, 15, 20])
@pytest.mark.parametrize("zero_point", [-100, 0, 96])
def test_halves_below_the_zero_point(bits: int, zero_point: int) -> None:
    bounds, requantization = layer(4, bits, zero_point, -128, Rounding.DOUBLE, 0.0)
    found = scaling(bounds, requantization)
    assert found is not None
    assert found.away != 0
    assert_equal(found, bounds, requantization)


def test_one_multiplier_for_all_is_recognised() -> None:
    bounds, requantization = layer(5, 18, -128, -128, Rounding.DOUBLE, 0.0)
    found = scaling(bounds, requantization)
    assert found is not None
    assert found.is_uniform


def test_a_channel_that_never_leaves_its_step_may_have_any_accumulator() -> None:
    low = np.array([-(2**30), -20_000], np.int64)
    high = np.array([-(2**29), 20_000], np.int64)
    multipliers = (Multiplier(2**30, 0), quantize_multiplier(0.01))
    requantization = Requantization(multipliers, Rounding.DOUBLE, -128, -128, 127)
    found = scaling(sums(low, high), requantization)
    assert found is not None
    assert found.multipliers[0] == 0
    assert_equal(found, sums(low, high), requantization)


def test_no_scaling_where_every_output_is_constant() -> None:
    one = np.array([5], np.int64)
    requantization = Requantization((quantize_multiplier(0.01),), Rounding.DOUBLE, 0, -128, 127)
    assert scaling(sums(one, one), requantization) is None
