"""PADV2: a border of a given value.

Source: `Eval` in tensorflow/lite/kernels/pad.cc.
"""

from __future__ import annotations

from exporter.graph.ir import Graph, Op
from exporter.ops.padding import PadOperator


def value_is_constant(graph: Graph, op: Op) -> bool:
    """The border's value is one constant int8 of the output's scale and zero point."""
    if len(op.inputs) != 3 or op.inputs[2] is None:
        return False
    value = graph[op.input(2)]
    return (
        value.is_constant
        and value.dtype == "int8"
        and value.elements == 1
        and value.quantization == graph[op.outputs[0]].quantization
    )


class PadV2(PadOperator):
    kind = "PADV2"
    input_counts = (3, 3)
    constraints = (*PadOperator.constraints, value_is_constant)

    def value(self, graph: Graph, op: Op) -> int:
        return int(graph[op.input(2)].constant.item())


OPERATOR = PadV2()
