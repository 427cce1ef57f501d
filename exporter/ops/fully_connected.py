"""FULLY_CONNECTED: input [..., K], weights [O,K], bias int32 [O], output [..., O].

Source of the arithmetic: `FullyConnected` and `FullyConnectedPerChannel` in
tensorflow/lite/kernels/internal/reference/integer_ops/fully_connected.h. LiteRT rounds this
operator once, TFLite twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from exporter.errors import BadInput
from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op
from exporter.ops import kernels, linear
from exporter.ops.arithmetic import INT32_MAX, INT32_MIN, Multiplier, quantize_multiplier
from exporter.ops.base import (
    Lowering,
    Target,
    activations_are_int8,
    fully_connected_rounding,
    has_static_shapes,
)
from exporter.ops.candidate import Candidate
from exporter.ops.layers import DenseLayer


def weights_are_a_matrix(graph: Graph, op: Op) -> bool:
    """Weights are a matrix [O,K] in the default format; input [..., K], output [..., O] fit it."""
    weights, source, output = (graph[t] for t in (op.input(1), op.input(0), op.outputs[0]))
    return (
        len(weights.shape) == 2
        and op.options.get("weights_format", "DEFAULT") == "DEFAULT"
        and source.elements % weights.shape[1] == 0
        and output.elements == source.elements // weights.shape[1] * weights.shape[0]
        and output.shape[-1] == weights.shape[0]
    )


class FullyConnected(linear.LinearOperator):
    kind = "FULLY_CONNECTED"
    constraints = (
        has_static_shapes,
        activations_are_int8,
        linear.weights_are_constant_int8,
        linear.bias_is_constant_int32,
        linear.activation_is_known,
        weights_are_a_matrix,
    )

    def macs(self, graph: Graph, op: Op) -> int:
        return graph[op.outputs[0]].elements * graph[op.input(1)].shape[1]

    def sums(self, graph: Graph, op: Op, inputs: Interval) -> linear.Accumulator:
        source, weights = graph[op.input(0)], graph[op.input(1)].constant.astype(np.int64)
        channels, depth = weights.shape
        if inputs.channels != depth:  # flattened here, which mixes the channels
            low, high = inputs.whole()
            inputs = Interval(np.full(depth, low), np.full(depth, high))
        return linear.accumulator(
            weights, linear.bias_of(graph, op, channels), source.zero_point, inputs
        )

    def requantization(self, graph: Graph, op: Op, target: Target) -> linear.Requantization:
        rounding = fully_connected_rounding(target)
        return linear.requantization(op, _multipliers(graph, op), graph[op.outputs[0]], rounding)

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        # Either way of rounding is monotone, and the two are never more than one apart. Widened
        # before clamping: what saturates either way is still known to be constant.
        last = self.requantization(graph, op, Target())
        unclamped = replace(last, low=INT32_MIN, high=INT32_MAX)
        bounds = linear.output_interval(self.sums(graph, op, inputs[0]), unclamped)
        return Interval(
            np.clip(bounds.low - 1, last.low, last.high),
            np.clip(bounds.high + 1, last.low, last.high),
        )

    def kernels(self, context: Lowering, settled: linear.Settled) -> tuple[Candidate, ...]:
        _require_reference(context)
        weights = context.input(1).constant.astype(np.int8)
        layer = DenseLayer(
            target=context.target,
            source=context.input(),
            output=context.output,
            weights=np.where(settled.weighted[:, None], weights, 0),
            sums=settled.sums,
            requantization=settled.requantization,
        )
        return kernels.offered("fully_connected", context.target, layer)


def _require_reference(context: Lowering) -> None:
    """Raises BadInput where the reference of the dialect has no answer to compare with.

    tflite-runtime 2.14 writes a corner of the output when weights are per channel and the output
    has more than two dimensions; LiteRT writes all of it.
    """
    weights = context.input(1).quantization
    assert weights is not None
    if (
        context.target.dialect == "tflite"
        and not weights.per_tensor
        and len(context.output.shape) > 2
    ):
        raise BadInput(
            f"{context.graph.describe(context.op)} has no defined result in the dialect tflite",
            value=f"per-channel weights and the output shape {list(context.output.shape)}",
            allowed="an output of two dimensions, or per-tensor weights",
            next_step="use --dialect litert, or reshape to two dimensions before this layer",
        )


def _multipliers(graph: Graph, op: Op) -> tuple[Multiplier, ...]:
    """Per-tensor weights multiply the two scales in float32, per-channel weights in double.

    Source: `GetQuantizedConvolutionMultipler` in tensorflow/lite/kernels/kernel_util.cc.
    """
    source, weights, output = graph[op.input(0)], graph[op.input(1)], graph[op.outputs[0]]
    channels = weights.shape[0]
    assert weights.quantization is not None
    if not weights.quantization.per_tensor:
        return linear.channel_multipliers(source, weights, output, channels)
    product = np.float32(source.scale) * np.float32(weights.scale)
    return (quantize_multiplier(float(product) / output.scale),) * channels


OPERATOR = FullyConnected()
