"""SLICE: a box given by where it begins and how large it is; a size of -1 is the rest.

Source: `GetBeginAndSizeVectors` in tensorflow/lite/kernels/slice.cc.
"""

from __future__ import annotations

from exporter.graph.ir import Graph, Op
from exporter.ops.base import (
    activations_are_int8,
    has_static_shapes,
    input_and_output_share_quantization,
)
from exporter.ops.slicing import Box, Cut, SliceOperator, numbers


def box_is_constant(graph: Graph, op: Op) -> bool:
    """Begin and size are constant int32, one of each for every axis."""
    begin, size = (numbers(graph, op.input(position)) for position in (1, 2))
    rank = len(graph[op.input(0)].shape)
    return begin is not None and size is not None and len(begin) == len(size) == rank


def output_is_the_box(graph: Graph, op: Op) -> bool:
    """The box is inside the input, and as large as the output."""
    source, output, begin = graph[op.input(0)].shape, graph[op.outputs[0]].shape, _begin(graph, op)
    sizes = numbers(graph, op.input(2)) or []
    if not len(source) == len(output) == len(begin) == len(sizes):
        return False
    return all(
        start >= 0 and start + count <= whole and size in (count, -1)
        and (size != -1 or start + count == whole)
        for start, size, count, whole in zip(begin, sizes, output, source, strict=True)
    )  # fmt: skip


class Slice(SliceOperator):
    kind = "SLICE"
    input_counts = (3, 3)
    constraints = (
        has_static_shapes,
        activations_are_int8,
        input_and_output_share_quantization,
        box_is_constant,
        output_is_the_box,
    )

    def box(self, graph: Graph, op: Op) -> Box:
        shape = graph[op.outputs[0]].shape
        return tuple(
            Cut(start, count) for start, count in zip(_begin(graph, op), shape, strict=True)
        )


def _begin(graph: Graph, op: Op) -> list[int]:
    return numbers(graph, op.input(1)) or []


OPERATOR = Slice()
