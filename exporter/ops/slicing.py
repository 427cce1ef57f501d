"""What SPLIT, SPLIT_V, SLICE and STRIDED_SLICE share: a box cut out of a tensor of any rank.

The box is constant: along each axis of the input it starts somewhere and takes every n-th element.
Source: `StridedSlice` in tensorflow/lite/kernels/internal/reference/strided_slice.h.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op, Tensor, TensorId
from exporter.ops.base import Lowering, Operator, Shared, is_int8
from exporter.ops.candidate import Candidate, Rows
from exporter.ops.shapes import merged, row_major_strides


@dataclass(frozen=True)
class Cut:
    """Along one axis: the elements `start`, `start + step`, ... `count` of them."""

    start: int
    count: int
    step: int = 1


Box = tuple[Cut, ...]


def numbers(graph: Graph, tensor: TensorId | None) -> list[int] | None:
    """The values of a constant int32 tensor of at most one axis; None where it is none."""
    if tensor is None or not graph[tensor].is_constant or graph[tensor].dtype != "int32":
        return None
    values = graph[tensor].constant
    return [int(value) for value in values.ravel()] if values.ndim <= 1 else None


def all_of(shape: Sequence[int]) -> list[Cut]:
    """The box that is everything."""
    return [Cut(0, size) for size in shape]


class SliceOperator(Operator):
    """Copies a box of its input, or shares its bytes."""

    source: ClassVar[int] = 0
    """Which of the inputs is cut."""

    @abstractmethod
    def box(self, graph: Graph, op: Op) -> Box:
        """What `op`, of one output, takes of its input: a cut along each axis, within the input."""

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        """Channels stay apart where the last axis stays the last."""
        source, output = graph[op.input(self.source)], graph[op.outputs[0]]
        bounds, box = inputs[self.source], self.box(graph, op)
        if len(output.shape) == len(source.shape) > 0:
            last = box[-1]
            channels = last.start + np.arange(last.count) * last.step
            return Interval(bounds.low[channels], bounds.high[channels])
        low, high = bounds.whole()
        count = output.shape[-1] if output.shape else 1
        return Interval(np.full(count, low), np.full(count, high))

    def shared_bytes(self, graph: Graph, op: Op) -> tuple[Shared, ...]:
        """The output is part of the input where the box lies in one piece."""
        source, output = graph[op.input(self.source)], graph[op.outputs[0]]
        box = self.box(graph, op)
        if _loops(source.shape, box)[0]:
            return ()
        return (Shared(source.id, output.id, _start(source.shape, box)),)

    def is_by_rows(self, graph: Graph, op: Op) -> bool:
        """Where all rows are taken. Parts of one operator have one number in generated code."""
        source, output = graph[op.input(self.source)], graph[op.outputs[0]]
        same_rank = len(source.shape) == len(output.shape) == 4
        return op.part is None and same_rank and source.shape[1] == output.shape[1]

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        source, output = context.input(self.source), context.output
        box = self.box(context.graph, context.op)
        loops, run = _loops(source.shape, box)
        runs = prod(size for size, *_ in loops)
        return (
            Candidate(
                kernel="generic/slice",
                name=f"slice_{source.elements}_to_{output.elements}",
                inputs=(Rows(1, source.bytes),),
                output=Rows(1, output.bytes),
                params={"loops": loops, "run_bytes": run, "start": _start(source.shape, box)},
                instructions=20 + runs * 20 + output.bytes // 2,
            ),
        )


def shares_quantization(source: Tensor, outputs: Sequence[Tensor]) -> bool:
    """Whether all are int8 with the scale and zero point of `source`."""
    tensors = (source, *outputs)
    return all(is_int8(t) and t.quantization == source.quantization for t in tensors)


def _loops(shape: Sequence[int], box: Box) -> tuple[tuple[tuple[int, ...], ...], int]:
    """Loops `(size, input step, output step)` over the runs that lie together; bytes of a run."""
    counts = [cut.count for cut in box]
    if prod(counts) == 1:
        return (), 1
    steps = [cut.step * stride for cut, stride in zip(box, row_major_strides(shape), strict=True)]
    loops = merged(list(zip(counts, steps, row_major_strides(counts), strict=True)))
    return (loops[:-1], loops[-1][0]) if loops[-1][1] == 1 else (loops, 1)


def _start(shape: Sequence[int], box: Box) -> int:
    strides = row_major_strides(shape)
    return sum(cut.start * stride for cut, stride in zip(box, strides, strict=True))
