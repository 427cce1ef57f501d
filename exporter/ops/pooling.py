"""What AVERAGE_POOL_2D and MAX_POOL_2D share: input [N,H,W,C], output [N,H',W',C].

A window that leaves the image counts only the positions inside it. A window that covers the whole
image is a kernel of its own, free of borders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op
from exporter.ops.arithmetic import activation_range
from exporter.ops.base import Lowering, Operator, activations_are_int8, has_static_shapes
from exporter.ops.candidate import Candidate, Param, Rows
from exporter.ops.geometry import Axis, output_shape_fits, spatial_axes
from exporter.ops.linear import activation_is_known

SCALE_TOLERANCE = 1e-6
"""How far the scales may be apart (`GenericPrepare` in tensorflow/lite/kernels/pooling.cc)."""

BLOCK_CHANNELS = 4
"""Channels that are accumulated side by side."""


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
        if _covers(vertical) and _covers(horizontal):
            return (self._global(context),)
        return (self._rows(context, vertical, horizontal),)

    def _literals(self, context: Lowering) -> dict[str, Param]:
        depth = context.output.shape[3]
        low, high = _output_range(context.graph, context.op)
        return {
            "operation": self.operation,
            "depth": depth,
            "block_channels": min(BLOCK_CHANNELS, depth),
            "low": low,
            "high": high,
        }

    def _global(self, context: Lowering) -> Candidate:
        """Every position of the image, several channels at a time."""
        batch, height, width, depth = context.input().shape
        params = {**self._literals(context), "batch": batch, "positions": height * width}
        return Candidate(
            kernel=f"generic/global_{self.kind.lower()}",
            name=f"global_{self.kind.lower()}_{height}x{width}_{depth}",
            inputs=(Rows(1, context.input().bytes),),
            output=Rows(1, context.output.bytes),
            params=params,
            instructions=batch * depth * (20 + height * width * 5 // 2),
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
        }
        return Candidate(
            kernel=f"generic/{self.kind.lower()}",
            name=f"{self.kind.lower()}_{vertical.size}x{horizontal.size}_{depth}",
            inputs=(Rows(vertical.input, horizontal.input * depth),),
            output=Rows(vertical.output, horizontal.output * depth),
            params=params,
            window=vertical.window,
            images=context.input().shape[0],
            instructions=context.output.elements * (20 + vertical.size * horizontal.size * 3),
        )


def _filter(op: Op) -> tuple[int, int]:
    return int(op.options["filter_height"]), int(op.options["filter_width"])


def _output_range(graph: Graph, op: Op) -> tuple[int, int]:
    output = graph[op.outputs[0]]
    activation = str(op.options.get("fused_activation_function", "NONE"))
    return activation_range(activation, output.scale, output.zero_point)


def _covers(axis: Axis) -> bool:
    """Whether there is one window, and all of the input lies in it."""
    return axis.output == 1 and axis.size - axis.before >= axis.input
