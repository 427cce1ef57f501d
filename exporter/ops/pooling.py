"""What AVERAGE_POOL_2D and MAX_POOL_2D share: input [N,H,W,C], output [N,H',W',C].

A window that leaves the image counts only the positions inside it. A window that covers the whole
image is a kernel of its own, free of borders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import ClassVar

import numpy as np

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op
from exporter.ops import kernels
from exporter.ops.arithmetic import INT8_MAX, INT8_MIN, INT32_MAX, activation_range
from exporter.ops.base import Lowering, Operator, activations_are_int8, has_static_shapes
from exporter.ops.candidate import Candidate, Param, Rows
from exporter.ops.geometry import Axis, output_shape_fits, spatial_axes
from exporter.ops.layers import PoolLayer
from exporter.ops.linear import activation_is_known

SCALE_TOLERANCE = 1e-6
"""How far the scales may be apart (`GenericPrepare` in tensorflow/lite/kernels/pooling.cc)."""

BLOCK_CHANNELS = 4
"""Channels that are accumulated side by side."""

RECIPROCAL_SHIFT = 23
"""127 sums of a position times 2^23 are as much as an int32 holds."""


def operands_are_rank_4(graph: Graph, op: Op) -> bool:
    """Input and output have four dimensions, [N,H,W,C]."""
    return all(len(graph[t].shape) == 4 for t in (op.input(0), op.outputs[0]))


def quantization_is_kept(graph: Graph, op: Op) -> bool:
    """Input and output have the same zero point and, to 1e-6, the same scale."""
    source, output = graph[op.input(0)], graph[op.outputs[0]]
    return (
        source.zero_point == output.zero_point
        and abs(source.scale - output.scale) <= SCALE_TOLERANCE
    )


def window_is_positive(graph: Graph, op: Op) -> bool:
    """Filter and stride are at least 1 in both directions."""
    names = ("filter_height", "filter_width", "stride_h", "stride_w")
    return all(int(op.options[name]) >= 1 for name in names)


def shapes_agree(graph: Graph, op: Op) -> bool:
    """Batch and channels are kept; height and width follow from filter, stride and padding."""
    source, output = graph[op.input(0)].shape, graph[op.outputs[0]].shape
    return (source[0], source[3]) == (output[0], output[3]) and output_shape_fits(
        op, source, output, _filter(op)
    )


class Pool2D(Operator):
    """A pooling operator; `operation` is what becomes of a window: its `average` or its `max`."""

    operation: ClassVar[str]
    constraints = (
        has_static_shapes,
        activations_are_int8,
        operands_are_rank_4,
        quantization_is_kept,
        activation_is_known,
        window_is_positive,
        shapes_agree,
    )

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        """Maximum and rounded mean stay inside the channel's own range."""
        low, high = _output_range(graph, op)
        return Interval(np.clip(inputs[0].low, low, high), np.clip(inputs[0].high, low, high))

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        source, output = context.input(), context.output
        vertical, horizontal = spatial_axes(
            context.op, source.shape, output.shape, _filter(context.op)
        )
        is_global = _covers(vertical) and _covers(horizontal)
        if is_global:
            candidate = self._global(context)
        else:
            candidate = self._rows(context, vertical, horizontal)
        layer = PoolLayer(
            operation=self.operation,
            depth=output.shape[3],
            positions=min(vertical.size, source.shape[1]) * min(horizontal.size, source.shape[2]),
            outputs=output.elements,
            high=_output_range(context.graph, context.op)[1],
            is_global=is_global,
            vertical=vertical,
            horizontal=horizontal,
            generic=candidate,
        )
        return (*kernels.offered("pooling", context.target, layer), candidate)

    def _per_output(self, positions: int) -> int:
        """Instructions for one output, as measured on the Cortex-M4."""
        return 6 + positions * 7 // 2 if self.operation == "average" else 3 + positions * 5

    def _literals(self, context: Lowering) -> dict[str, Param]:
        depth = context.output.shape[3]
        low, high = _output_range(context.graph, context.op)
        return {
            "operation": self.operation,
            "depth": depth,
            "block_channels": min(BLOCK_CHANNELS, depth),
            "low": low,
            "high": high,
            "words": False,
        }

    def _global(self, context: Lowering) -> Candidate:
        """Every position of the image, several channels at a time."""
        batch, height, width, depth = context.input().shape
        params = {
            **self._literals(context),
            "batch": batch,
            "positions": height * width,
            "reciprocal": reciprocal_shift([height * width]),
        }
        return Candidate(
            kernel=f"generic/global_{self.kind.lower()}",
            name=f"global_{self.kind.lower()}_{height}x{width}_{depth}",
            inputs=(Rows(1, context.input().bytes),),
            output=Rows(1, context.output.bytes),
            params=params,
            instructions=batch * depth * self._per_output(height * width),
        )

    def _rows(self, context: Lowering, vertical: Axis, horizontal: Axis) -> Candidate:
        """Output rows from the input rows inside the image."""
        depth = context.output.shape[3]
        params: dict[str, Param] = {
            **self._literals(context),
            "columns": horizontal.output,
            "width": horizontal.input,
            "filter_h": vertical.size,
            "filter_w": horizontal.size,
            "stride_w": horizontal.stride,
            "before": horizontal.before,
            "is_padded_h": vertical.is_padded,
            "is_padded_w": horizontal.is_padded,
            "reciprocal": reciprocal_shift(_counts(vertical, horizontal)),
        }
        return Candidate(
            kernel=f"generic/{self.kind.lower()}",
            name=f"{self.kind.lower()}_{vertical.size}x{horizontal.size}_{depth}",
            inputs=(Rows(vertical.input, horizontal.input * depth),),
            output=Rows(vertical.output, horizontal.output * depth),
            params=params,
            window=vertical.window,
            images=context.input().shape[0],
            instructions=context.output.elements
            * self._per_output(vertical.size * horizontal.size),
        )


def reciprocal_shift(counts: Iterable[int]) -> int:
    """How far to shift right a sum times its reciprocal; 0 where that is not exact for all sums.

    The factor for `count` int8 positions is 2^shift / count, rounded down, plus 1: halves go away
    from zero, as in the reference.
    """
    return RECIPROCAL_SHIFT if all(map(_reciprocal_is_exact, counts)) else 0


@cache
def _reciprocal_is_exact(count: int) -> bool:
    sums = np.arange(INT8_MIN * count, INT8_MAX * count + 1, dtype=np.int64)
    expected = np.sign(sums) * ((np.abs(sums) + count // 2) // count)
    scaled = sums * ((1 << RECIPROCAL_SHIFT) // count + 1) + (1 << RECIPROCAL_SHIFT - 1)
    fits = np.abs(scaled).max() <= INT32_MAX
    return bool(fits and (scaled >> RECIPROCAL_SHIFT == expected).all())


def _counts(vertical: Axis, horizontal: Axis) -> set[int]:
    """Positions that the windows have inside the image."""
    heights, widths = (
        {
            min(at * axis.stride - axis.before + axis.size, axis.input)
            - max(at * axis.stride - axis.before, 0)
            for at in range(axis.output)
        }
        for axis in (vertical, horizontal)
    )
    return {height * width for height in heights for width in widths}


def _filter(op: Op) -> tuple[int, int]:
    return int(op.options["filter_height"]), int(op.options["filter_width"])


def _output_range(graph: Graph, op: Op) -> tuple[int, int]:
    output = graph[op.outputs[0]]
    activation = str(op.options.get("fused_activation_function", "NONE"))
    return activation_range(activation, output.scale, output.zero_point)


def _covers(axis: Axis) -> bool:
    """Whether there is one window, and all of the input lies in it."""
    return axis.output == 1 and axis.size - axis.before >= axis.input
