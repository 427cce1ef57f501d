"""CONV_2D: input [N,H,W,I], weights [O,KH,KW,I], bias int32 [O], output [N,H',W',O].

Source of the arithmetic: `ConvPerChannel` in
tensorflow/lite/kernels/internal/reference/integer_ops/conv.h.
"""

from __future__ import annotations

import numpy as np

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op
from exporter.ops import linear
from exporter.ops.arithmetic import Rounding
from exporter.ops.base import Lowering, Target, activations_are_int8, has_static_shapes
from exporter.ops.candidate import Candidate, Constant, Param, Ring, Rows
from exporter.ops.geometry import Axis, output_shape_fits, spatial_axes


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


class Conv2D(linear.LinearOperator):
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

    def sums(self, graph: Graph, op: Op, inputs: Interval) -> linear.Accumulator:
        source, weights = graph[op.input(0)], graph[op.input(1)].constant.astype(np.int64)
        if any(axis.is_padded for axis in _axes(graph, op)):
            inputs = inputs.with_value(source.zero_point)
        taps = weights.shape[1] * weights.shape[2]
        tiled = Interval(np.tile(inputs.low, taps), np.tile(inputs.high, taps))
        channels = weights.shape[0]
        return linear.accumulator(
            weights.reshape(channels, -1),
            linear.bias_of(graph, op, channels),
            source.zero_point,
            tiled,
        )

    def requantization(self, graph: Graph, op: Op, target: Target) -> linear.Requantization:
        source, weights, output = graph[op.input(0)], graph[op.input(1)], graph[op.outputs[0]]
        multipliers = linear.channel_multipliers(source, weights, output, weights.shape[0])
        return linear.requantization(op, multipliers, output, Rounding.DOUBLE)

    def kernels(
        self, context: Lowering, sums: linear.Accumulator, requantization: linear.Requantization
    ) -> tuple[Candidate, ...]:
        return (_generic(context, sums, requantization),)


def _axes(graph: Graph, op: Op) -> tuple[Axis, Axis]:
    weights = graph[op.input(1)].shape
    return spatial_axes(
        op, graph[op.input(0)].shape, graph[op.outputs[0]].shape, (weights[1], weights[2])
    )


def block_shape(target: Target) -> tuple[int, int]:
    """Pixels and channels accumulated side by side: what the registers of the core can hold."""
    return (2, 4) if target.registers > 16 else (2, 2)


def _generic(
    context: Lowering, sums: linear.Accumulator, requantization: linear.Requantization
) -> Candidate:
    """Register-blocked: `block` pixels by channels share every load of input and weights."""
    source, output = context.input(), context.output
    vertical, horizontal = _axes(context.graph, context.op)
    weights = context.input(1).constant.astype(np.int8)
    channels, kernel_h, kernel_w, depth = weights.shape
    rows_in, rows_out, columns = vertical.input, vertical.output, horizontal.output
    if _is_pointwise(vertical, horizontal):
        # Rows are contiguous, and so is the image: one long row has no remainder per row.
        columns, rows_in, rows_out = rows_out * columns, 1, 1
    pixels, block = block_shape(context.target)
    segment = kernel_w * depth if horizontal.dilation == 1 else depth
    params: dict[str, Param] = {
        "columns": columns,
        "depth": depth,
        "channels": channels,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "dilation_h": vertical.dilation,
        "segments": kernel_w * depth // segment,
        "segment_bytes": segment,
        "segment_step": horizontal.dilation * depth,
        "pixel_step": horizontal.stride * depth,
        "block_pixels": min(pixels, columns),
        "block_channels": min(block, channels),
        "unroll": linear.unroll_factor(segment, 2 if context.target.optimize == "size" else 8),
        "requantize": requantization.form(sums),
        "zero_point": requantization.zero_point,
        "low": requantization.low,
        "high": requantization.high,
        "row_bytes": horizontal.input * depth,
        "margin_bytes": horizontal.before * depth,
    }
    constants = (
        Constant(
            "weights",
            linear.interleave(weights.reshape(channels, -1), min(block, channels)),
            f"[{channels} / {min(block, channels)}][{kernel_h} * {kernel_w} * {depth}]"
            f"[{min(block, channels)}]: output channels side by side",
        ),
        Constant("bias", sums.bias.astype(np.int32), "input zero point folded in"),
        *requantization.constants(),
    )
    return Candidate(
        kernel="generic/conv_2d",
        name=f"conv_2d_{kernel_h}x{kernel_w}_{depth}x{channels}",
        inputs=(Rows(rows_in, source.bytes // source.shape[0] // rows_in),),
        output=Rows(rows_out, columns * channels),
        params=params,
        constants=constants,
        window=vertical.window,
        ring=padding_ring(vertical, horizontal, depth, source.zero_point),
        images=source.shape[0],
        instructions=output.elements * (24 + 3 * kernel_h * kernel_w * depth),
    )


def _is_pointwise(vertical: Axis, horizontal: Axis) -> bool:
    return all(
        axis.size == 1 and axis.stride == 1 and not axis.is_padded
        for axis in (vertical, horizontal)
    )


def padding_ring(vertical: Axis, horizontal: Axis, depth: int, fill: int) -> Ring | None:
    """A ring of padded rows where the layer has padding; None where windows stay inside."""
    if not (vertical.is_padded or horizontal.is_padded):
        return None
    columns = horizontal.before + horizontal.input + horizontal.after
    return Ring(
        slots=min(vertical.extent, vertical.input),
        pitch_bytes=columns * depth,
        margin_bytes=horizontal.before * depth,
        fill=fill,
    )


OPERATOR = Conv2D()
