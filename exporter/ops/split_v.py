"""SPLIT_V along one axis into parts of constant sizes; one of them may be -1, the rest.

Source: `ResizeOutputTensors` in tensorflow/lite/kernels/split_v.cc.
"""

from __future__ import annotations

from exporter.graph.ir import Graph, Op
from exporter.ops.base import has_static_shapes
from exporter.ops.slicing import Box, Cut, SliceOperator, all_of, numbers, shares_quantization


def axis_is_constant(graph: Graph, op: Op) -> bool:
    """The axis is a constant int32, one of the input's."""
    axis, rank = numbers(graph, op.input(2)), len(graph[op.input(0)].shape)
    return axis is not None and len(axis) == 1 and -rank <= axis[0] < rank


def parts_are_int8(graph: Graph, op: Op) -> bool:
    """Input and outputs are int8, all with one scale and zero point."""
    return shares_quantization(graph[op.input(0)], [graph[t] for t in op.outputs])


def sizes_are_constant(graph: Graph, op: Op) -> bool:
    """The sizes are constant int32, at most one of them -1, one for each of the outputs."""
    sizes = numbers(graph, op.input(1))
    return (
        sizes is not None
        and len(sizes) == len(op.outputs)
        and all(size >= -1 for size in sizes)
        and sizes.count(-1) <= 1
    )


def parts_fill_the_input(graph: Graph, op: Op) -> bool:
    """The outputs have the sizes that are given, and are together the input."""
    source, axis, sizes = graph[op.input(0)].shape, _axis(graph, op), _sizes(graph, op)
    shapes = [(*source[:axis], size, *source[axis + 1 :]) for size in sizes]
    return sum(sizes) == source[axis] and shapes == [graph[t].shape for t in op.outputs]


class SplitV(SliceOperator):
    kind = "SPLIT_V"
    input_counts = (3, 3)
    has_one_output = False
    constraints = (
        has_static_shapes,
        parts_are_int8,
        axis_is_constant,
        sizes_are_constant,
        parts_fill_the_input,
    )

    def box(self, graph: Graph, op: Op) -> Box:
        box, axis = all_of(graph[op.input(0)].shape), _axis(graph, op)
        sizes, part = _sizes(graph, op), op.part or 0
        box[axis] = Cut(sum(sizes[:part]), graph[op.outputs[0]].shape[axis])
        return tuple(box)


def _axis(graph: Graph, op: Op) -> int:
    axis = numbers(graph, op.input(2))
    assert axis is not None
    return axis[0] % len(graph[op.input(0)].shape)


def _sizes(graph: Graph, op: Op) -> list[int]:
    sizes = numbers(graph, op.input(1))
    assert sizes is not None
    rest = graph[op.input(0)].shape[_axis(graph, op)] - sum(size for size in sizes if size >= 0)
    return [rest if size < 0 else size for size in sizes]


OPERATOR = SplitV()
