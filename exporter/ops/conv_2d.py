"""CONV_2D: input [N,H,W,I], weights [O,KH,KW,I], bias int32 [O], output [N,H',W',O].

Source of the arithmetic: `ConvPerChannel` in
tensorflow/lite/kernels/internal/reference/integer_ops/conv.h.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op
from exporter.ops import kernels, linear
from exporter.ops.arithmetic import Rounding
from exporter.ops.base import Lowering, Target, activations_are_int8, has_static_shapes
from exporter.ops.candidate import Candidate
from exporter.ops.geometry import Axis, output_shape_fits, spatial_axes
from exporter.ops.layers import SpatialLayer


def operands_are_rank_4(graph: Graph, op: Op) -> bool:
    """Input, weights and output have four dimensions, [N,H,W,C]."""
    tensors = (op.input(0), op.input(1), op.outputs[0])
    return all(len(graph[tensor].shape) == 4 for tensor in tensors)


def weights_cover_all_input_channels(graph: Graph, op: Op) -> bool:
    """Weights span all input channels: grouped convolution is not supported."""
    return graph[op.input(1)].shape[-1] == graph[op.input(0)].shape[-1]


def shapes_agree(graph: Graph, op: Op) -> bool:
    """Output height, width and batch follow from input, kernel, stride, dilation and padding."""
    source, weights, output = (graph[t].shape for t in (op.input(0), op.input(1), op.outputs[0]))
    kernel = (weights[1], weights[2])
    return source[0] == output[0] and output_shape_fits(op, source, output, kernel)


def channels_agree(graph: Graph, op: Op) -> bool:
    """The output has one channel for each filter."""
    return graph[op.input(1)].shape[0] == graph[op.outputs[0]].shape[-1]


class Convolution(linear.LinearOperator):
    """Weights [.,KH,KW,.] that slide over images."""

    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """The vertical and the horizontal one."""
        tensors = (op.input(0), op.outputs[0], op.input(1))
        source, output, weights = (graph[tensor].shape for tensor in tensors)
        return spatial_axes(op, source, output, (weights[1], weights[2]))

    def seen(self, graph: Graph, op: Op, inputs: Interval) -> Interval:
        """The inputs, and the zero point where windows see padding."""
        is_padded = any(axis.is_padded for axis in self.axes(graph, op))
        return inputs.with_value(graph[op.input(0)].zero_point) if is_padded else inputs

    def requantization(self, graph: Graph, op: Op, target: Target) -> linear.Requantization:
        source, weights, output = graph[op.input(0)], graph[op.input(1)], graph[op.outputs[0]]
        multipliers = linear.channel_multipliers(source, weights, output, output.shape[-1])
        return linear.requantization(op, multipliers, output, Rounding.DOUBLE)

    def offered(
        self, context: Lowering, settled: linear.Settled, weights: npt.NDArray[np.int8]
    ) -> tuple[Candidate, ...]:
        """The candidates, for weights as in `SpatialLayer`."""
        vertical, horizontal = self.axes(context.graph, context.op)
        layer = SpatialLayer(
            target=context.target,
            source=context.input(),
            output=context.output,
            vertical=vertical,
            horizontal=horizontal,
            weights=weights,
            sums=settled.sums,
            requantization=settled.requantization,
        )
        return kernels.offered(self.kind.lower(), context.target, layer)


class Conv2D(Convolution):
    kind = "CONV_2D"
    constraints = (
        has_static_shapes,
        activations_are_int8,
        operands_are_rank_4,
        linear.weights_are_constant_int8,
        linear.bias_is_constant_int32,
        linear.activation_is_known,
        weights_cover_all_input_channels,
        channels_agree,
        shapes_agree,
    )

    def macs(self, graph: Graph, op: Op) -> int:
        per_output = int(np.prod(graph[op.input(1)].shape[1:]))
        return graph[op.outputs[0]].elements * per_output

    def is_by_rows(self, graph: Graph, op: Op) -> bool:
        return all(
            axis.size == axis.stride == 1 and not axis.is_padded for axis in self.axes(graph, op)
        )

    def sums(self, graph: Graph, op: Op, inputs: Interval) -> linear.Accumulator:
        source, weights = graph[op.input(0)], graph[op.input(1)].constant.astype(np.int64)
        inputs = self.seen(graph, op, inputs)
        taps = weights.shape[1] * weights.shape[2]
        tiled = Interval(np.tile(inputs.low, taps), np.tile(inputs.high, taps))
        channels = weights.shape[0]
        return linear.accumulator(
            weights.reshape(channels, -1),
            linear.bias_of(graph, op, channels),
            source.zero_point,
            tiled,
        )

    def kernels(self, context: Lowering, settled: linear.Settled) -> tuple[Candidate, ...]:
        weights = context.input(1).constant.astype(np.int8)
        live = np.where(settled.weighted[:, None, None, None], weights, 0)
        return self.offered(context, settled, live)


OPERATOR = Conv2D()
