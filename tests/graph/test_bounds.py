"""Intervals: their algebra, and that no accumulator or output of the reference ever leaves them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from exporter import ops, passes
from exporter.errors import BadInput
from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Tensor
from exporter.graph.tflite_reader import read
from exporter.hil.vectors import make_vectors
from exporter.ops import conv_2d, depthwise_conv_2d, linear
from exporter.ops.base import Target
from exporter.oracle import Oracle
from exporter.plan.planner import plan
from tests.graph.test_hostile_models import conv_model
from tests.ops.harness import skip_without_oracle
from tests.plan.random_graphs import random_graph
from tests.random_models import random_model

VECTORS = 16

Array = NDArray[Any]


def _interval(low: list[int], high: list[int]) -> Interval:
    return Interval(np.array(low, np.int64), np.array(high, np.int64))


def _ends(interval: Interval) -> tuple[list[int], list[int]]:
    return interval.low.tolist(), interval.high.tolist()


def _tensor(shape: tuple[int, ...], dtype: str = "int8") -> Tensor:
    return Tensor(0, "t", shape, dtype)


def test_of_type() -> None:
    assert _ends(Interval.of_type(_tensor((2, 3)))) == ([-128] * 3, [127] * 3)
    assert _ends(Interval.of_type(_tensor((), "int32"))) == ([-(2**31)], [2**31 - 1])


def test_of_constant_is_per_channel() -> None:
    data = np.array([[1, -5], [3, 7]], np.int8)
    assert _ends(Interval.of_constant(Tensor(0, "t", (2, 2), "int8", None, data))) == (
        [1, -5],
        [3, 7],
    )


def test_of_a_scalar_constant() -> None:
    scalar = Tensor(0, "t", (), "int8", None, np.array(-9, np.int8))
    assert _ends(Interval.of_constant(scalar)) == ([-9], [-9])


def test_with_value_only_widens() -> None:
    assert _ends(_interval([0, -5], [1, 5]).with_value(3)) == ([0, -5], [3, 5])
    assert _ends(_interval([4], [9]).with_value(-1)) == ([-1], [9])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
    st.integers(0, 20),
)
def test_reshaped_intervals_contain_the_reshaped_values(
    shape: list[int], seed: int, choice: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(-128, 128, shape).astype(np.int8)
    interval = Interval.of_constant(Tensor(0, "t", tuple(shape), "int8", None, values))
    total = values.size
    divisors = [d for d in range(1, total + 1) if total % d == 0]
    last = divisors[choice % len(divisors)]
    target = (total // last, last)
    found = interval.reshaped(_tensor(target))
    reshaped = values.reshape(target)
    assert (reshaped >= found.low).all() and (reshaped <= found.high).all()
    assert found.channels == last


# --- against the reference -----------------------------------------------------------------------


def _graph(model: bytes) -> Graph:
    return ops.check(passes.run(read(model)))


def _assert_inside(name: str, interval: Interval, values: Array) -> None:
    flat = values.reshape(-1, interval.channels)
    inside = (flat >= interval.low) & (flat <= interval.high)
    assert inside.all(), f"{name} leaves its interval in channel {np.argwhere(~inside)[0][1]}"


@pytest.mark.parametrize("seed", range(12))
def test_no_tensor_of_a_random_graph_leaves_its_interval(seed: int) -> None:
    skip_without_oracle("tflite")
    # All as outputs: the reference runs in place, so that its other tensors do not last.
    model = random_graph(seed, show_all=True)
    graph = _graph(model)
    intervals = ops.tensor_intervals(graph)
    with Oracle(model) as oracle:
        for vector in make_vectors([graph[t] for t in graph.inputs], VECTORS):
            for tensor, found in zip(graph.outputs, oracle.run(vector), strict=True):
                _assert_inside(f"seed {seed} tensor {tensor}", intervals[tensor], found)


def _linear(kind: str) -> linear.LinearOperator:
    found = ops.operator(kind)
    assert isinstance(found, linear.LinearOperator)
    return found


def _accumulators(graph: Graph, x: Array) -> Array:
    """The accumulators of the graph's only layer, the slow way: every window by itself, int64."""
    (op,) = graph.ops
    weights, source = graph[op.input(1)].constant.astype(np.int64), graph[op.input(0)]
    bias = linear.bias_of(graph, op, graph[op.outputs[0]].shape[-1])
    centred = x.astype(np.int64) - source.zero_point
    if op.kind == "FULLY_CONNECTED":
        flat: Array = centred.reshape(-1, weights.shape[1]) @ weights.T + bias
        return flat
    axes = (conv_2d if op.kind == "CONV_2D" else depthwise_conv_2d).OPERATOR.axes(graph, op)
    before = [(0, 0), *((axis.before, axis.after) for axis in axes), (0, 0)]
    padded = np.pad(centred, before)
    if op.kind == "DEPTHWISE_CONV_2D":
        padded = np.repeat(padded, weights.shape[3] // source.shape[3], axis=3)
    total = np.zeros(graph[op.outputs[0]].shape, np.int64)
    for ky, kx in np.ndindex(axes[0].size, axes[1].size):
        rows = np.arange(axes[0].output) * axes[0].stride + ky * axes[0].dilation
        columns = np.arange(axes[1].output) * axes[1].stride + kx * axes[1].dilation
        taps = padded[:, rows][:, :, columns]
        total += taps @ weights[:, ky, kx].T if op.kind == "CONV_2D" else taps * weights[0, ky, kx]
    return total + bias


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_no_accumulator_leaves_its_bounds(kind: str) -> None:
    for seed in range(25):
        graph = _graph(random_model(kind, seed))
        (op,) = graph.ops
        sums = _linear(kind).sums(graph, op, ops.tensor_intervals(graph)[op.input(0)])
        assert (sums.low <= sums.high).all() and (sums.magnitude >= abs(sums.low)).all()
        for (x,) in make_vectors([graph[op.input(0)]], VECTORS):
            found = _accumulators(graph, x)
            _assert_inside(f"{kind} seed {seed}", Interval(sums.low, sums.high), found)


@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED"])
def test_bounds_are_reached_where_inputs_are_free(kind: str) -> None:
    """Tight: some input gives exactly the upper bound of every channel without padding."""
    graphs = (_graph(random_model(kind, seed)) for seed in range(100))
    graph = next(graph for graph in graphs if graph.ops[0].options.get("padding") != "SAME")
    (op,) = graph.ops
    sums = _linear(kind).sums(graph, op, ops.tensor_intervals(graph)[op.input(0)])
    weights = graph[op.input(1)].constant.astype(np.int64)
    rows = weights.reshape(weights.shape[0], -1)
    best: Array = sums.bias + np.where(rows > 0, rows * 127, rows * -128).sum(axis=1)
    assert np.array_equal(best, sums.high)


def test_overflow_is_refused_with_the_layer_named() -> None:
    graph = _graph(conv_model(bias=2**31 - 1000))
    with pytest.raises(BadInput, match="layer 0 CONV_2D 'the layer' could overflow") as caught:
        plan(graph, Target())
    assert caught.value.allowed == "at most 2147483647"
