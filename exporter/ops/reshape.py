"""RESHAPE: the same bytes under another shape."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op
from exporter.ops.base import (
    Lowering,
    Operator,
    activations_are_int8,
    has_static_shapes,
    input_and_output_share_quantization,
)
from exporter.ops.candidate import Candidate


def element_count_is_kept(graph: Graph, op: Op) -> bool:
    """Input and output have the same number of elements."""
    return graph[op.input(0)].elements == graph[op.outputs[0]].elements


class Reshape(Operator):
    kind = "RESHAPE"
    input_counts = (1, 2)
    is_view = True
    constraints = (
        has_static_shapes,
        activations_are_int8,
        input_and_output_share_quantization,
        element_count_is_kept,
    )

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        return inputs[0].reshaped(graph[op.outputs[0]])

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        return ()


OPERATOR = Reshape()
