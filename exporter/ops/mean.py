"""MEAN over constant axes, requantised to the output's scale.

Source: `QuantizedMeanOrSum` in tensorflow/lite/kernels/internal/reference/reduce.h: the division by
the number of elements is part of the multiplier.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op
from exporter.ops import kernels
from exporter.ops.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    INT32_MAX,
    Multiplier,
    quantize_multiplier,
    requantize,
)
from exporter.ops.base import Lowering, Operator, activations_are_int8, has_static_shapes
from exporter.ops.candidate import Candidate, Param, Rows
from exporter.ops.layers import MeanLayer
from exporter.ops.shapes import Dimension, merged, row_major_strides

BLOCK_CHANNELS = 4
"""Neighbouring outputs that are summed side by side."""


def axes_are_constant(graph: Graph, op: Op) -> bool:
    """The axes are a constant int32 tensor, each within the input's rank."""
    if len(op.inputs) != 2 or op.inputs[1] is None:
        return False
    tensor, rank = graph[op.input(1)], len(graph[op.input(0)].shape)
    return (
        tensor.is_constant
        and tensor.dtype == "int32"
        and all(-rank <= axis < rank for axis in tensor.constant.ravel().tolist())
    )


def output_lacks_the_axes(graph: Graph, op: Op) -> bool:
    """The output is the input without the reduced axes, or with size 1 there (keep_dims)."""
    shape, axes = graph[op.input(0)].shape, _axes(graph, op)
    kept = [size for axis, size in enumerate(shape) if axis not in axes]
    if op.options.get("keep_dims", False):
        kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
    return graph[op.outputs[0]].shape == tuple(kept)


def sum_fits(graph: Graph, op: Op) -> bool:
    """No sum of the reduced elements, scaled to the output, overflows an int32."""
    largest = 255 * _count(graph, op)
    return largest << max(_multiplier(graph, op).shift, 0) <= INT32_MAX


class Mean(Operator):
    kind = "MEAN"
    input_counts = (2, 2)
    constraints = (
        has_static_shapes,
        activations_are_int8,
        axes_are_constant,
        output_lacks_the_axes,
        sum_fits,
    )

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        """A mean lies between its extremes; requantisation is monotone."""
        source, output = graph[op.input(0)], graph[op.outputs[0]]
        if len(source.shape) - 1 in _axes(graph, op):
            low, high = inputs[0].whole()
            channels = output.shape[-1] if output.shape else 1
            bounds = Interval(np.full(channels, low), np.full(channels, high))
        else:
            bounds = inputs[0]
        count, multiplier = _count(graph, op), _multiplier(graph, op)
        low_end, high_end = (
            np.clip(
                requantize((ends - source.zero_point) * count, multiplier) + output.zero_point,
                INT8_MIN,
                INT8_MAX,
            )
            for ends in (bounds.low, bounds.high)
        )
        return Interval(low_end, high_end)

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        source, output = context.input(), context.output
        kept, reduced = _loops(context.graph, context.op)
        count = _count(context.graph, context.op)
        multiplier = _multiplier(context.graph, context.op)
        is_right = multiplier.shift < 0 and 255 * count < 2**30
        params: dict[str, Param] = {
            "kept": kept,
            "reduced": reduced,
            "block": min(BLOCK_CHANNELS, kept[-1][0]) if kept[-1][1] == 1 else 1,
            "start": -source.zero_point * count,
            "requantize": "right" if is_right else "any",
            "multiplier": multiplier.mantissa,
            "shift": -multiplier.shift,
            "zero_point": output.zero_point,
            "words": False,
        }
        generic = Candidate(
            kernel="generic/mean",
            name=f"mean_{source.elements}_to_{output.elements}",
            inputs=(Rows(1, source.bytes),),
            output=Rows(1, output.bytes),
            params=params,
            instructions=source.elements * 3 + output.elements * 20,
        )
        layer = MeanLayer(kept, reduced, generic)
        return (*kernels.offered("mean", context.target, layer), generic)


def _axes(graph: Graph, op: Op) -> frozenset[int]:
    """The reduced axes; negative ones count from the end, and duplicates count once."""
    rank = len(graph[op.input(0)].shape)
    return frozenset(axis % rank for axis in graph[op.input(1)].constant.ravel().tolist())


def _count(graph: Graph, op: Op) -> int:
    """How many elements one output is the mean of."""
    shape = graph[op.input(0)].shape
    return prod(shape[axis] for axis in _axes(graph, op))


def _multiplier(graph: Graph, op: Op) -> Multiplier:
    """Input scale / output scale / count: the scales' quotient, then divided as an integer."""
    count = _count(graph, op)
    scales = quantize_multiplier(graph[op.input(0)].scale / graph[op.outputs[0]].scale)
    shift = min(count.bit_length() - 1, 32, 31 + scales.shift)
    return Multiplier((scales.mantissa << shift) // count, scales.shift - shift)


def _loops(graph: Graph, op: Op) -> tuple[tuple[Dimension, ...], tuple[Dimension, ...]]:
    """Loops `(size, step)` over the kept and over the reduced axes of the input."""
    shape, axes = graph[op.input(0)].shape, _axes(graph, op)
    dimensions = list(zip(shape, row_major_strides(shape), strict=True))
    kept = [dimension for axis, dimension in enumerate(dimensions) if axis not in axes]
    reduced = [dimension for axis, dimension in enumerate(dimensions) if axis in axes]
    return merged(kept), merged(reduced)


OPERATOR = Mean()
