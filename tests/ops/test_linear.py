"""What the accumulating operators share: bounds, forms of requantisation, layouts of weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import BadInput
from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op, Quantization, Tensor
from exporter.ops.arithmetic import Multiplier, Rounding, quantize_multiplier
from exporter.ops.kernels.packing import interleave, unroll_factor
from exporter.ops.linear import (
    Accumulator,
    Requantization,
    accumulator,
    channel_multipliers,
    output_interval,
    require_int32,
    settle,
)

HALF = Multiplier(2**30, 0)
EIGHTH = Multiplier(2**30, -2)


def _inputs(low: int, high: int, count: int) -> Interval:
    return Interval(np.full(count, low, np.int64), np.full(count, high, np.int64))


def _sums(magnitude: int, channels: int = 1) -> Accumulator:
    ends = np.full(channels, magnitude, np.int64)
    return Accumulator(ends * 0, -ends, ends, ends)


def _requantization(
    *multipliers: Multiplier, rounding: Rounding = Rounding.DOUBLE, zero_point: int = 0
) -> Requantization:
    return Requantization(multipliers, rounding, zero_point, -128, 127)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 12), st.integers(-128, 127))
def test_bounds_hold_for_every_partial_sum(
    seed: int, channels: int, depth: int, zero_point: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (channels, depth)).astype(np.int64)
    bias = rng.integers(-(2**20), 2**20, channels)
    ends = np.sort(rng.integers(-128, 128, (2, depth)), axis=0)
    sums = accumulator(weights, bias, zero_point, Interval(ends[0], ends[1]))
    for _ in range(10):
        x = rng.integers(ends[0], ends[1] + 1)
        exact = bias + weights @ (x - zero_point)
        assert (sums.low <= exact).all() and (exact <= sums.high).all()
        order = rng.permutation(depth)
        partial = sums.bias[:, None] + np.cumsum((weights * x)[:, order], axis=1)
        assert (abs(partial) <= sums.magnitude[:, None]).all()
        assert np.array_equal(partial[:, -1], exact)


def test_bounds_are_exact_for_one_tap() -> None:
    sums = accumulator(np.array([[-3]]), np.array([10]), -128, _inputs(-128, 127, 1))
    assert (sums.low[0], sums.high[0]) == (10 - 3 * 255, 10)


@pytest.mark.parametrize(
    ("magnitude", "multipliers", "rounding", "form"),
    [
        (2**30 - 1, (EIGHTH,), Rounding.DOUBLE, "right"),
        (2**30, (EIGHTH,), Rounding.DOUBLE, "any"),
        (1000, (EIGHTH, HALF), Rounding.DOUBLE, "any"),
        (1000, (Multiplier(2**30, 3),), Rounding.DOUBLE, "any"),
        (1000, (EIGHTH,), Rounding.SINGLE, "single"),
    ],
)
def test_the_cheapest_exact_form(
    magnitude: int, multipliers: tuple[Multiplier, ...], rounding: Rounding, form: str
) -> None:
    found = _requantization(*multipliers, rounding=rounding)
    assert found.form(_sums(magnitude, len(multipliers))) == form


def test_apply_adds_the_zero_point_and_clamps() -> None:
    found = _requantization(HALF, HALF, HALF, zero_point=10).apply(np.array([3, 1000, -1000]))
    assert found.tolist() == [12, 127, -128]


def test_constants_count_shifts_to_the_right() -> None:
    multiplier, shift = _requantization(EIGHTH, Multiplier(2**30, 3)).constants()
    assert multiplier.values.tolist() == [2**30, 2**30] and shift.values.tolist() == [2, -3]
    assert (multiplier.c_type, shift.c_type) == ("int32_t", "int8_t")


def test_output_interval_covers_the_ends() -> None:
    interval = output_interval(_sums(100), _requantization(EIGHTH, zero_point=5))
    assert (interval.low[0], interval.high[0]) == (5 - 13, 5 + 13)


def _layer() -> tuple[Graph, Op]:
    op = Op(4, "CONV_2D", (0, 0), (0,))
    return Graph("g", {0: Tensor(0, "the layer", (1,), "int8")}, (op,), (), ()), op


@pytest.mark.parametrize("shift", [0, 1, 5, 29])
def test_int32_is_required_of_the_shifted_accumulator(shift: int) -> None:
    graph, op = _layer()
    multiplier = _requantization(Multiplier(2**30, shift))
    largest = (2**31 - 1) >> shift
    require_int32(graph, op, _sums(largest), multiplier)
    with pytest.raises(BadInput, match="layer 4 CONV_2D 'the layer' could overflow"):
        require_int32(graph, op, _sums(largest + 1), multiplier)


@pytest.mark.parametrize("shift", [31, 32, 40, 62, 63, 64, 100, 400])
def test_no_shift_is_too_large_to_be_refused(shift: int) -> None:
    graph, op = _layer()
    for magnitude in (2, 1000, 2**24, 2**31 - 1):
        with pytest.raises(BadInput, match="could overflow"):
            require_int32(graph, op, _sums(magnitude), _requantization(Multiplier(2**30, shift)))


def test_the_worst_channel_counts() -> None:
    graph, op = _layer()
    sums = Accumulator(*(np.array([5, 2**31], np.int64),) * 4)
    with pytest.raises(BadInput, match="overflow"):
        require_int32(graph, op, sums, _requantization(EIGHTH, EIGHTH))


def _tensor(scales: tuple[float, ...]) -> Tensor:
    return Tensor(0, "t", (len(scales), 1), "int8", Quantization(scales, (0,) * len(scales)))


def test_channel_multipliers() -> None:
    source, output = _tensor((0.5,)), _tensor((0.25,))
    expected = tuple(quantize_multiplier(0.5 * scale / 0.25) for scale in (0.1, 0.2, 0.3))
    assert channel_multipliers(source, _tensor((0.1, 0.2, 0.3)), output, 3) == expected
    assert channel_multipliers(source, _tensor((0.1,)), output, 3) == expected[:1] * 3


@given(st.integers(1, 20), st.integers(1, 9), st.integers(1, 6))
def test_interleaved_weights_are_all_there_in_order(channels: int, depth: int, block: int) -> None:
    block = min(block, channels)
    weights = np.arange(channels * depth).astype(np.int8).reshape(channels, depth)
    packed = interleave(weights, block)
    assert packed.dtype == np.int8
    position = 0
    for start in range(0, channels, block):
        width = block if start + block <= channels else channels - start
        for k in range(depth):
            for c in range(width):
                assert packed[position] == weights[start + c, k]
                position += 1
    assert position == packed.size


@given(st.integers(1, 300), st.integers(1, 8))
def test_unroll_factors_divide(length: int, limit: int) -> None:
    factor = unroll_factor(length, limit)
    assert 1 <= factor <= limit and length % factor == 0
    assert not any(length % larger == 0 for larger in range(factor + 1, limit + 1))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-128, 127), st.sampled_from(list(Rounding)))
def test_a_settled_channel_has_the_same_output(
    seed: int, zero_point: int, round_: Rounding
) -> None:
    """Constant channels, of scales far from the others', keep their value under a typical scale."""
    rng = np.random.default_rng(seed)
    multipliers = [quantize_multiplier(float(2.0 ** rng.uniform(-12, -4))) for _ in range(6)]
    low = rng.integers(-(2**18), 2**18, 6)
    high = np.where(np.arange(6) < 3, low, low + rng.integers(0, 2**20, 6))
    sums = Accumulator(low * 0, low, high, abs(low) + abs(high))
    before = _requantization(*multipliers, rounding=round_, zero_point=zero_point)
    after = settle(sums, before)
    constant = before.apply(low) == before.apply(high)
    assert (after.weighted | constant).all()
    live = after.weighted
    assert np.array_equal(after.sums.low[live], low[live])
    assert np.array_equal(after.sums.high[live], high[live])
    assert np.array_equal(after.requantization.apply(after.sums.low), before.apply(low))
    assert np.array_equal(after.requantization.apply(after.sums.high), before.apply(high))
    assert np.array_equal(after.sums.bias[~live], after.sums.low[~live])


def test_a_dead_filter_does_not_decide_the_scale() -> None:
    """Its sums of 30 bits and its shift of 20 are gone; nothing is settled where all are dead."""
    ends = np.array([2**30, 5000, 7000], np.int64)
    sums = Accumulator(ends * 0, np.array([2**30, -5000, -7000]), ends, ends)
    tiny = Multiplier(2**30, -20)
    settled = settle(sums, _requantization(tiny, EIGHTH, EIGHTH))
    assert settled.weighted.tolist() == [False, True, True]
    assert settled.requantization.multipliers == (EIGHTH, EIGHTH, EIGHTH)
    assert settled.sums.magnitude.max() == 7000
    dead = Accumulator(ends * 0, ends, ends, ends)
    assert settle(dead, _requantization(tiny, tiny, tiny)).weighted.all()
