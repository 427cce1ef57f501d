"""DEPTHWISE_CONV_2D: input [N,H,W,I], weights [1,KH,KW,I*M], bias int32 [I*M], output
[N,H',W',I*M].

Output channel o reads input channel o / M, M being the depth multiplier. Source of the arithmetic:
`DepthwiseConvPerChannel` in
tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h.
"""

from __future__ import annotations

import numpy as np

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op
from exporter.ops import linear
from exporter.ops.arithmetic import Rounding
from exporter.ops.base import Lowering, Target, activations_are_int8, has_static_shapes
from exporter.ops.candidate import Candidate, Constant, Param, Rows
from exporter.ops.conv_2d import operands_are_rank_4, padding_ring, shapes_agree
from exporter.ops.geometry import Axis, spatial_axes

UNROLLED_TAPS = 12
"""Kernels with more taps loop over their rows; fewer are unrolled whole."""


def channels_are_a_multiple_of_the_input(graph: Graph, op: Op) -> bool:
    """Output channels are the input channels times the depth multiplier."""
    inputs, outputs = graph[op.input(0)].shape[-1], graph[op.outputs[0]].shape[-1]
    return outputs % inputs == 0 and graph[op.input(1)].shape[-1] == outputs


class DepthwiseConv2D(linear.LinearOperator):
    kind = "DEPTHWISE_CONV_2D"
    constraints = (
        has_static_shapes,
        activations_are_int8,
        operands_are_rank_4,
        linear.weights_are_constant_int8,
        linear.bias_is_constant_int32,
        linear.activation_is_known,
        channels_are_a_multiple_of_the_input,
        shapes_agree,
    )

    def macs(self, graph: Graph, op: Op) -> int:
        _, kernel_h, kernel_w, _ = graph[op.input(1)].shape
        return graph[op.outputs[0]].elements * kernel_h * kernel_w

    def sums(self, graph: Graph, op: Op, inputs: Interval) -> linear.Accumulator:
        source, weights = graph[op.input(0)], graph[op.input(1)].constant.astype(np.int64)
        if any(axis.is_padded for axis in _axes(graph, op)):
            inputs = inputs.with_value(source.zero_point)
        channels = weights.shape[-1]
        multiplier = channels // inputs.channels
        # Each output channel has one input channel: a column [O, 1] beside weights [O, taps].
        column = Interval(
            np.repeat(inputs.low, multiplier)[:, None], np.repeat(inputs.high, multiplier)[:, None]
        )
        return linear.accumulator(
            weights.reshape(-1, channels).T,
            linear.bias_of(graph, op, channels),
            source.zero_point,
            column,
        )

    def requantization(self, graph: Graph, op: Op, target: Target) -> linear.Requantization:
        source, weights, output = graph[op.input(0)], graph[op.input(1)], graph[op.outputs[0]]
        multipliers = linear.channel_multipliers(source, weights, output, weights.shape[-1])
        return linear.requantization(op, multipliers, output, Rounding.DOUBLE)

    def kernels(
        self, context: Lowering, sums: linear.Accumulator, requantization: linear.Requantization
    ) -> tuple[Candidate, ...]:
        return (_generic(context, sums, requantization),)


def _axes(graph: Graph, op: Op) -> tuple[Axis, Axis]:
    _, kernel_h, kernel_w, _ = graph[op.input(1)].shape
    return spatial_axes(
        op, graph[op.input(0)].shape, graph[op.outputs[0]].shape, (kernel_h, kernel_w)
    )


def _generic(
    context: Lowering, sums: linear.Accumulator, requantization: linear.Requantization
) -> Candidate:
    """One channel of two neighbouring pixels at a time: they share weights and some inputs."""
    source, output = context.input(), context.output
    vertical, horizontal = _axes(context.graph, context.op)
    weights = context.input(1).constant.astype(np.int8)
    _, kernel_h, kernel_w, channels = weights.shape
    depth = source.shape[-1]
    params: dict[str, Param] = {
        "columns": horizontal.output,
        "depth": depth,
        "multiplier": channels // depth,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "dilation_h": vertical.dilation,
        "dilation_w": horizontal.dilation,
        "stride_w": horizontal.stride,
        "unroll_rows": kernel_h * kernel_w <= UNROLLED_TAPS,
        "block_pixels": 1 if context.target.optimize == "size" else min(2, horizontal.output),
        "requantize": requantization.form(sums),
        "zero_point": requantization.zero_point,
        "low": requantization.low,
        "high": requantization.high,
        "row_bytes": horizontal.input * depth,
        "margin_bytes": horizontal.before * depth,
    }
    constants = (
        Constant("weights", weights.ravel(), f"[{kernel_h}][{kernel_w}][{channels}]"),
        Constant("bias", sums.bias.astype(np.int32), "input zero point folded in"),
        *requantization.constants(),
    )
    return Candidate(
        kernel="generic/depthwise_conv_2d",
        name=f"depthwise_conv_2d_{kernel_h}x{kernel_w}_{channels}",
        inputs=(Rows(vertical.input, horizontal.input * depth),),
        output=Rows(vertical.output, horizontal.output * channels),
        params=params,
        constants=constants,
        window=vertical.window,
        ring=padding_ring(vertical, horizontal, depth, source.zero_point),
        images=source.shape[0],
        instructions=output.elements * (24 + 4 * kernel_h * kernel_w),
    )


OPERATOR = DepthwiseConv2D()
