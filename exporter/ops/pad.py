"""PAD: a border of zeros, which is the zero point.

Source: `Eval` in tensorflow/lite/kernels/pad.cc.
"""

from __future__ import annotations

from exporter.graph.ir import Graph, Op
from exporter.ops.padding import PadOperator


class Pad(PadOperator):
    kind = "PAD"
    input_counts = (2, 2)

    def value(self, graph: Graph, op: Op) -> int:
        return graph[op.outputs[0]].zero_point


OPERATOR = Pad()
