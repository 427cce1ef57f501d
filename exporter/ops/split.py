"""SPLIT along one axis into equal parts.

Source: `Prepare` and `Eval` in tensorflow/lite/kernels/split.cc.
"""

from __future__ import annotations

from exporter.graph.ir import Graph, Op
from exporter.ops.base import has_static_shapes
from exporter.ops.slicing import Box, Cut, SliceOperator, all_of, numbers, shares_quantization


def axis_is_constant(graph: Graph, op: Op) -> bool:
    """The axis is a constant int32, one of the input's."""
    axis, rank = numbers(graph, op.input(0)), len(graph[op.input(1)].shape)
    return axis is not None and len(axis) == 1 and -rank <= axis[0] < rank


def parts_are_int8(graph: Graph, op: Op) -> bool:
    """Input and outputs are int8, all with one scale and zero point."""
    return shares_quantization(graph[op.input(1)], [graph[t] for t in op.outputs])


def parts_are_equal(graph: Graph, op: Op) -> bool:
    """The outputs are equal parts of the input along the axis, as many as `num_splits` says."""
    shape, count = list(graph[op.input(1)].shape), len(op.outputs)
    axis = _axis(graph, op)
    if shape[axis] % count or int(op.options["num_splits"]) != count:
        return False
    shape[axis] //= count
    return all(graph[output].shape == tuple(shape) for output in op.outputs)


class Split(SliceOperator):
    kind = "SPLIT"
    input_counts = (2, 2)
    has_one_output = False
    source = 1
    constraints = (has_static_shapes, parts_are_int8, axis_is_constant, parts_are_equal)

    def box(self, graph: Graph, op: Op) -> Box:
        box, axis = all_of(graph[op.input(1)].shape), _axis(graph, op)
        size = graph[op.outputs[0]].shape[axis]
        box[axis] = Cut((op.part or 0) * size, size)
        return tuple(box)


def _axis(graph: Graph, op: Op) -> int:
    axis = numbers(graph, op.input(0))
    assert axis is not None
    return axis[0] % len(graph[op.input(1)].shape)


OPERATOR = Split()
