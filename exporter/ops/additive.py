"""ADD and SUB: both operands brought to a common fixed point, added, requantised.

Each operand is `x - zero point`, shifted left by 20 bits and scaled by scale / (2 * larger scale);
the sum is scaled by 2 * larger scale / (2^20 * output scale).

Sources: `Prepare` in tensorflow/lite/kernels/{add,sub}.cc; `AddFunc` in
tensorflow/lite/kernels/internal/reference/integer_ops/add.h, `BroadcastSubSlow` in
tensorflow/lite/kernels/internal/reference/sub.h.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np

from exporter.graph.ir import Graph, Op
from exporter.ops import kernels
from exporter.ops.arithmetic import Multiplier, quantize_multiplier, requantize
from exporter.ops.base import Lowering
from exporter.ops.candidate import Candidate, Constant, Param
from exporter.ops.elementwise import (
    SIDES,
    ElementKernel,
    ElementwiseOperator,
    Int64Array,
    output_range,
)
from exporter.ops.folded import Linear, linear_form
from exporter.ops.lookup import INPUTS

LEFT_SHIFT = 20
HALF = Multiplier(2**30, 0)

TABLE = "generic/add_table"
NO_FORM = "as the reference: no linear form holds for all pairs"


def output_scale_is_wide_enough(graph: Graph, op: Op) -> bool:
    """Twice the larger input scale is less than 2^20 output scales."""
    return _output_real(graph, op) < 1.0


class AdditiveLayer(NamedTuple):
    """What kernels see of a sum or difference of `elements` outputs.

    `form`: a linear form that is right for every pair of operands, where both are activations of
    the output's shape; `limits`: of the outputs. `table`: the kernel for any core that looks up one
    operand's term.
    """

    kind: str
    elements: int
    form: Linear | None
    limits: tuple[int, int]
    table: Candidate | None


class AdditiveOperator(ElementwiseOperator):
    """ADD where `sign` is 1, SUB where it is -1."""

    sign: ClassVar[int]
    constraints = (*ElementwiseOperator.constraints, output_scale_is_wide_enough)

    def evaluate(self, graph: Graph, op: Op, left: Int64Array, right: Int64Array) -> Int64Array:
        terms = [self._term(graph, op, side, values) for side, values in enumerate((left, right))]
        total = requantize(terms[0] + terms[1], output_multiplier(graph, op))
        return total + graph[op.outputs[0]].zero_point

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        generic = super().candidates(context)
        graph, op, output = context.graph, context.op, context.output
        operands = context.input(0), context.input(1)
        is_plain = all(not t.is_constant and t.shape == output.shape for t in operands)
        layer = AdditiveLayer(
            kind=op.kind,
            elements=output.elements,
            form=self._linear_form(graph, op) if is_plain else None,
            limits=output_range(graph, op),
            table=next((offer for offer in generic if offer.kernel == TABLE), None),
        )
        return (*kernels.offered("add", context.target, layer), *generic)

    def kernels(self, context: Lowering) -> tuple[ElementKernel, ...]:
        form = self._linear_form(context.graph, context.op)
        if form is not None:
            literals: dict[str, Param] = {"operation": context.op.kind, **form._asdict()}
            return (
                ElementKernel("generic/add_linear", literals, 8, "one shift, all pairs checked"),
            )
        reference = ElementKernel("generic/add", self._literals(context), 22, NO_FORM)
        return (self._with_table(context), reference)

    def _term(self, graph: Graph, op: Op, side: int, values: Int64Array) -> Int64Array:
        """An operand in parts of 2^-20 of twice the larger scale, with its sign in the sum."""
        multiplier = operand_multipliers(graph, op)[side]
        scaled = requantize((values - graph[op.input(side)].zero_point) << LEFT_SHIFT, multiplier)
        return scaled * (self.sign if side else 1)

    def _with_table(self, context: Lowering) -> ElementKernel:
        """The operand of the larger scale is shifted, the other one's term looked up."""
        graph, op = context.graph, context.op
        multipliers = operand_multipliers(graph, op)
        shifted = multipliers.index(HALF)
        steps = self._term(graph, op, shifted, np.array([0, 1]))
        # The table also holds what the zero point of the shifted operand takes away.
        terms = self._term(graph, op, 1 - shifted, INPUTS) + steps[0]
        other = SIDES[1 - shifted]
        literals: dict[str, Param] = {
            **self._rounding(context),
            "shifted": SIDES[shifted],
            "step": int(steps[1] - steps[0]),
        }
        constant = Constant("terms", terms.astype(np.int32), f"[256]: {other} operand")
        return ElementKernel(TABLE, literals, 15, NO_FORM, (constant,))

    def _linear_form(self, graph: Graph, op: Op) -> Linear | None:
        left, right, output = (graph[t] for t in (op.input(0), op.input(1), op.outputs[0]))
        slopes = left.scale / output.scale, self.sign * right.scale / output.scale
        constant = output.zero_point - slopes[0] * left.zero_point - slopes[1] * right.zero_point
        return linear_form(self.all_outputs(graph, op), slopes, constant, output_range(graph, op))

    def _rounding(self, context: Lowering) -> dict[str, Param]:
        """From the sum of both terms to the output."""
        output = output_multiplier(context.graph, context.op)
        return {
            "operation": context.op.kind,
            "requantize": "right" if output.shift < 0 else "any",
            "multiplier": output.mantissa,
            "shift": -output.shift,
            "zero_point": context.output.zero_point,
        }

    def _literals(self, context: Lowering) -> dict[str, Param]:
        literals = self._rounding(context) | {"sign": "+" if self.sign > 0 else "-", "unroll": 1}
        graph, op = context.graph, context.op
        for position, multiplier in enumerate(operand_multipliers(graph, op)):
            side = SIDES[position]
            literals[f"{side}_zero_point"] = context.input(position).zero_point
            # Half of x * 2^20 needs no rounding. A multiplier of 0 gives 0 by any shift.
            literals[f"{side}_is_exact"] = multiplier == HALF
            literals[f"{side}_multiplier"] = multiplier.mantissa
            literals[f"{side}_shift"] = max(-multiplier.shift, 1)
        return literals


def operand_multipliers(graph: Graph, op: Op) -> tuple[Multiplier, Multiplier]:
    """At most 1/2 each; exactly 1/2 for the operand of the larger scale."""
    left, right = (graph[op.input(side)].scale for side in (0, 1))
    return (
        quantize_multiplier(left / _common_scale(graph, op)),
        quantize_multiplier(right / _common_scale(graph, op)),
    )


def output_multiplier(graph: Graph, op: Op) -> Multiplier:
    """Less than 1."""
    return quantize_multiplier(_output_real(graph, op))


def _common_scale(graph: Graph, op: Op) -> float:
    scales = (graph[op.input(side)].scale for side in (0, 1))
    return float(np.float32(2) * np.float32(max(scales)))


def _output_real(graph: Graph, op: Op) -> float:
    output_scale = np.float32(graph[op.outputs[0]].scale)
    return _common_scale(graph, op) / float(np.float32(1 << LEFT_SHIFT) * output_scale)
