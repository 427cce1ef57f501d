"""STRIDED_SLICE with constant ends and positive strides; axes may be dropped.

Source: `StridedSliceStartForAxis`, `StridedSliceEndForAxis` in
tensorflow/lite/kernels/internal/strided_slice_logic.h.
"""

from __future__ import annotations

from exporter.graph.ir import Graph, Op
from exporter.ops.base import (
    activations_are_int8,
    has_static_shapes,
    input_and_output_share_quantization,
)
from exporter.ops.slicing import Box, Cut, SliceOperator, numbers


def ends_are_constant(graph: Graph, op: Op) -> bool:
    """Begin, end and strides are constant int32, one of each for every axis."""
    rank = len(graph[op.input(0)].shape)
    found = [numbers(graph, op.input(position)) for position in (1, 2, 3)]
    return all(values is not None and len(values) == rank for values in found)


def has_no_unusual_masks(graph: Graph, op: Op) -> bool:
    """The ellipsis mask and the new-axis mask are 0, and `offset` is false."""
    return not any(int(op.options[name]) for name in ("ellipsis_mask", "new_axis_mask", "offset"))


def strides_are_positive(graph: Graph, op: Op) -> bool:
    """Every stride is positive."""
    return all(stride > 0 for stride in numbers(graph, op.input(3)) or [])


def dropped_axes_are_inside(graph: Graph, op: Op) -> bool:
    """An axis that is dropped has the index that begins it, and the stride 1."""
    shape = graph[op.input(0)].shape
    return all(
        -size <= begin < size and stride == 1
        for axis, (size, begin, _, stride) in enumerate(_ends(graph, op, shape))
        if _bit(op, "shrink_axis_mask", axis)
    )


def output_is_the_slice(graph: Graph, op: Op) -> bool:
    """The output is what the ends and strides leave, without the axes that are dropped."""
    counts = [
        cut.count
        for axis, cut in enumerate(_box(graph, op))
        if not _bit(op, "shrink_axis_mask", axis)
    ]
    return graph[op.outputs[0]].shape == tuple(counts)


class StridedSlice(SliceOperator):
    kind = "STRIDED_SLICE"
    input_counts = (4, 4)
    constraints = (
        has_static_shapes,
        activations_are_int8,
        input_and_output_share_quantization,
        ends_are_constant,
        has_no_unusual_masks,
        strides_are_positive,
        dropped_axes_are_inside,
        output_is_the_slice,
    )

    def box(self, graph: Graph, op: Op) -> Box:
        return _box(graph, op)


def _box(graph: Graph, op: Op) -> Box:
    shape = graph[op.input(0)].shape
    return tuple(_cut(op, axis, *ends) for axis, ends in enumerate(_ends(graph, op, shape)))


def _ends(graph: Graph, op: Op, shape: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """(size, begin, end, stride) of each axis."""
    begin, end, strides = (numbers(graph, op.input(position)) or [] for position in (1, 2, 3))
    return list(zip(shape, begin, end, strides, strict=True))


def _cut(op: Op, axis: int, size: int, begin: int, end: int, stride: int) -> Cut:
    if _bit(op, "shrink_axis_mask", axis):
        return Cut(begin % size, 1)
    start = 0 if _bit(op, "begin_mask", axis) else _inside(begin, size)
    stop = size if _bit(op, "end_mask", axis) else _inside(end, size)
    return Cut(start, max(0, -(-(stop - start) // stride)), stride)


def _inside(index: int, size: int) -> int:
    """From the end where it is negative; then within [0, size]."""
    return min(max(index + size if index < 0 else index, 0), size)


def _bit(op: Op, mask: str, axis: int) -> bool:
    return bool(int(op.options[mask]) >> axis & 1)


OPERATOR = StridedSlice()
