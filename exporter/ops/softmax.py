"""SOFTMAX over the last axis: exp(beta * x) divided by its sum, at scale 1/256, zero point -128.

Source: `Softmax` for quantised types in tensorflow/lite/kernels/internal/reference/softmax.h, which
works in fixed point throughout. The exponential depends on one int8 difference, so it is a table.
"""

from __future__ import annotations

import numpy as np

from exporter.graph.ir import Graph, Op
from exporter.ops import kernels
from exporter.ops.base import Lowering, Operator, has_static_shapes, operands_are_int8
from exporter.ops.candidate import Candidate
from exporter.ops.fixed_point import FRACTION_BITS, softmax_exponentials
from exporter.ops.layers import SoftmaxLayer
from exporter.ops.lookup import input_and_output_share_shape

LARGEST_DEPTH = 4095
"""The sum of as many ones in Q12.19 fits an int32."""


def output_quantization_is_fixed(graph: Graph, op: Op) -> bool:
    """The output has the scale 1/256 and the zero point -128."""
    output = graph[op.outputs[0]]
    return output.scale == 1 / 256 and output.zero_point == -128


def depth_fits_the_accumulator(graph: Graph, op: Op) -> bool:
    """The last axis has at most 4095 entries."""
    shape = graph[op.input(0)].shape
    return len(shape) >= 1 and shape[-1] <= LARGEST_DEPTH


def beta_is_large_enough(graph: Graph, op: Op) -> bool:
    """Beta times the input scale is more than 2^-26."""
    return _beta(op) * graph[op.input(0)].scale * float(1 << FRACTION_BITS) > 1.0


class Softmax(Operator):
    kind = "SOFTMAX"
    constraints = (
        has_static_shapes,
        operands_are_int8,
        input_and_output_share_shape,
        output_quantization_is_fixed,
        depth_fits_the_accumulator,
        beta_is_large_enough,
    )

    def is_by_rows(self, graph: Graph, op: Op) -> bool:
        return True

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        source = context.input()
        depth = source.shape[-1]
        low, high = context.interval().whole()
        table = softmax_exponentials(source.scale, _beta(context.op))[: high - low + 1]
        layer = SoftmaxLayer(
            rows=source.elements // depth,
            depth=depth,
            exponentials=np.array(table, np.int32),
            layout=f"[{len(table)}]: exp(-d * {source.scale * _beta(context.op):.6g}), Q0.31",
        )
        return kernels.offered("softmax", context.target, layer)


def _beta(op: Op) -> float:
    return float(op.options["beta"])


OPERATOR = Softmax()
