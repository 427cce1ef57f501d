"""MUL: left * right, with broadcasting and a fused activation.

Source: `Prepare` in tensorflow/lite/kernels/mul.cc, which multiplies and divides the scales in
float32; `MulElementwise` in tensorflow/lite/kernels/internal/reference/integer_ops/mul.h.
"""

from __future__ import annotations

import numpy as np

from exporter.graph.ir import Graph, Op
from exporter.ops.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    INT32_MAX,
    Multiplier,
    quantize_multiplier,
    requantize,
)
from exporter.ops.base import Lowering
from exporter.ops.candidate import Candidate, Param
from exporter.ops.elementwise import (
    ElementKernel,
    ElementwiseOperator,
    Int64Array,
    output_range,
)
from exporter.ops.folded import HighProduct, high_product_form
from exporter.ops.kernels import offered
from exporter.ops.layers import MulLayer
from exporter.ops.lookup import INPUTS
from exporter.ops.shapes import broadcast_dimensions


def products_fit(graph: Graph, op: Op) -> bool:
    """The product of the input scales is at most about 2^15 output scales: no int32 overflows."""
    zero_points = [graph[op.input(side)].zero_point for side in (0, 1)]
    largest = [max(zero - INT8_MIN, INT8_MAX - zero) for zero in zero_points]
    return largest[0] * largest[1] << max(_multiplier(graph, op).shift, 0) <= INT32_MAX


class Mul(ElementwiseOperator):
    kind = "MUL"
    input_counts = (2, 2)
    constraints = (*ElementwiseOperator.constraints, products_fit)

    def evaluate(self, graph: Graph, op: Op, left: Int64Array, right: Int64Array) -> Int64Array:
        zero_points = [graph[op.input(side)].zero_point for side in (0, 1)]
        products = (left - zero_points[0]) * (right - zero_points[1])
        return requantize(products, _multiplier(graph, op)) + graph[op.outputs[0]].zero_point

    def kernels(self, context: Lowering) -> tuple[ElementKernel, ...]:
        multiplier = _multiplier(context.graph, context.op)
        form = self._high_product_form(context.graph, context.op)
        literals: dict[str, Param] = {
            "left_zero_point": context.input(0).zero_point,
            "right_zero_point": context.input(1).zero_point,
        }
        if form is not None:
            literals |= form._asdict()
            return (
                ElementKernel("generic/mul_high", literals, 12, "one shift, all pairs checked"),
            )
        literals |= {
            "requantize": "right" if multiplier.shift < 0 else "any",
            "multiplier": multiplier.mantissa,
            "shift": -multiplier.shift,
            "unroll": 1,
            "zero_point": context.output.zero_point,
        }
        return (ElementKernel("generic/mul", literals, 18, "as the reference"),)

    def offers(self, context: Lowering, generic: Candidate) -> tuple[Candidate, ...]:
        left, right, output = context.input(0), context.input(1), context.output
        layer = MulLayer(
            dimensions=broadcast_dimensions(left.shape, right.shape),
            zero_points=(left.zero_point, right.zero_point, output.zero_point),
            multiplier=_multiplier(context.graph, context.op),
            limits=output_range(context.graph, context.op),
            generic=generic,
        )
        return offered("mul", context.target, layer)

    def _high_product_form(self, graph: Graph, op: Op) -> HighProduct | None:
        left, right, output = (graph[t] for t in (op.input(0), op.input(1), op.outputs[0]))
        products = (INPUTS - left.zero_point)[:, None] * (INPUTS - right.zero_point)
        slope = left.scale * right.scale / output.scale
        limits = output_range(graph, op)
        return high_product_form(self.all_outputs(graph, op), products, slope, limits)


def _multiplier(graph: Graph, op: Op) -> Multiplier:
    left, right, output = (
        np.float32(graph[t].scale) for t in (op.input(0), op.input(1), op.outputs[0])
    )
    return quantize_multiplier(float(left * right / output))


OPERATOR = Mul()
