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
from exporter.ops.base import Lowering, activations_are_int8, has_static_shapes
from exporter.ops.candidate import Candidate
from exporter.ops.conv_2d import Convolution, operands_are_rank_4, shapes_agree


def channels_are_a_multiple_of_the_input(graph: Graph, op: Op) -> bool:
    """Output channels are the input channels times the depth multiplier."""
    inputs, outputs = graph[op.input(0)].shape[-1], graph[op.outputs[0]].shape[-1]
    return outputs % inputs == 0 and graph[op.input(1)].shape[-1] == outputs


class DepthwiseConv2D(Convolution):
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
        inputs = self.seen(graph, op, inputs)
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

    def kernels(self, context: Lowering, settled: linear.Settled) -> tuple[Candidate, ...]:
        weights = context.input(1).constant.astype(np.int8)
        return self.offered(context, settled, np.where(settled.weighted, weights[0], 0))


OPERATOR = DepthwiseConv2D()
