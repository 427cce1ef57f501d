"""What PAD and PADV2 share: a tensor with a border of one value, any number of axes.

Source: `PadImpl` in tensorflow/lite/kernels/internal/reference/pad.h.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from math import prod
from typing import ClassVar

import numpy as np

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op
from exporter.ops.base import (
    Constraint,
    Lowering,
    Operator,
    Shared,
    activations_are_int8,
    has_static_shapes,
    input_and_output_share_quantization,
)
from exporter.ops.candidate import Candidate, Rows, Window
from exporter.ops.shapes import merged, row_major_strides


def amounts_are_constant(graph: Graph, op: Op) -> bool:
    """The paddings are a constant int32 tensor [rank,2] of numbers that are not negative."""
    if len(op.inputs) < 2 or op.inputs[1] is None:
        return False
    amounts = graph[op.input(1)]
    return (
        amounts.is_constant
        and amounts.dtype == "int32"
        and amounts.shape == (len(graph[op.input(0)].shape), 2)
        and bool((np.asarray(amounts.constant, np.int64) >= 0).all())
    )


def output_is_the_padded_shape(graph: Graph, op: Op) -> bool:
    """The output is as large as the input with its padding."""
    shape = graph[op.input(0)].shape
    padded = tuple(size + sum(ends) for size, ends in zip(shape, _amounts(graph, op), strict=True))
    return graph[op.outputs[0]].shape == padded


class PadOperator(Operator):
    """PAD or PADV2."""

    constraints: ClassVar[tuple[Constraint, ...]] = (
        has_static_shapes,
        activations_are_int8,
        input_and_output_share_quantization,
        amounts_are_constant,
        output_is_the_padded_shape,
    )

    @abstractmethod
    def value(self, graph: Graph, op: Op) -> int:
        """The int8 that the border holds."""

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        amounts, value = _amounts(graph, op), self.value(graph, op)
        if not amounts:
            return inputs[0]
        inside = inputs[0].with_value(value) if any(map(any, amounts[:-1])) else inputs[0]
        low, high = (
            np.pad(ends, amounts[-1], constant_values=value) for ends in (inside.low, inside.high)
        )
        return Interval(low, high)

    def shared_bytes(self, graph: Graph, op: Op) -> tuple[Shared, ...]:
        """The input is a part of the output where it stays in one piece."""
        source, output = graph[op.input(0)], graph[op.outputs[0]]
        if _runs(source.shape, output.shape)[0]:
            return ()
        return (Shared(output.id, source.id, _start(output.shape, _amounts(graph, op))),)

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        if context.op.in_place:
            return (self._border(context),)
        return (self._whole(context), *self._by_rows(context))

    def _border(self, context: Lowering) -> Candidate:
        """What is before the input and what is behind it, around bytes that are never touched."""
        source, output = context.input(), context.output
        (shared,) = self.shared_bytes(context.graph, context.op)
        end = shared.offset + source.bytes
        return Candidate(
            kernel="generic/pad_border",
            name=f"pad_border_{source.elements}_to_{output.elements}",
            inputs=(),
            output=Rows(1, output.bytes),
            params={
                "start": shared.offset,
                "end": end,
                "after": output.bytes - end,
                "value": self.value(context.graph, context.op),
            },
            instructions=40 + (output.bytes - source.bytes) // 2,
        )

    def _whole(self, context: Lowering) -> Candidate:
        """The border first, all at once; then the input, run by run."""
        source, output = context.input(), context.output
        dimensions, run = _runs(source.shape, output.shape)
        return Candidate(
            kernel="generic/pad",
            name=f"pad_{source.elements}_to_{output.elements}",
            inputs=(Rows(1, source.bytes),),
            output=Rows(1, output.bytes),
            params={
                "dimensions": dimensions,
                "run_bytes": run,
                "start": _start(output.shape, _amounts(context.graph, context.op)),
                "output_bytes": output.bytes,
                "value": self.value(context.graph, context.op),
            },
            instructions=output.bytes // 2 + source.bytes // run * 20 + source.bytes // 2,
        )

    def _by_rows(self, context: Lowering) -> Iterator[Candidate]:
        """An image [N,H,W,C] row by row, so that its rows are made in turn with other layers', or
        over those of the input that are done.
        """
        source, output = context.input(), context.output
        amounts = _amounts(context.graph, context.op)
        if len(output.shape) != 4 or output.shape[1] == 1 or any(amounts[0]):
            return
        images, height = output.shape[:2]
        row_bytes = output.bytes // images // height
        dimensions, run = _runs(source.shape[2:], output.shape[2:])
        yield Candidate(
            kernel="generic/pad_rows",
            name=f"pad_rows_{source.elements}_to_{output.elements}",
            inputs=(Rows(source.shape[1], source.bytes // images // source.shape[1]),),
            output=Rows(height, row_bytes),
            params={
                "dimensions": dimensions,
                "run_bytes": run,
                "start": _start(output.shape[2:], amounts[2:]),
                "row_bytes": row_bytes,
                "value": self.value(context.graph, context.op),
                "is_padded_h": any(amounts[1]),
            },
            window=Window(size=1, stride=1, dilation=1, before=amounts[1][0]),
            images=images,
            instructions=images * height * (60 + row_bytes + prod(d[0] for d in dimensions) * 20),
        )


def _start(shape: Sequence[int], amounts: Sequence[tuple[int, int]]) -> int:
    """Where the input begins in the output."""
    strides = row_major_strides(shape)
    return sum(before * stride for (before, _), stride in zip(amounts, strides, strict=True))


def _runs(source: Sequence[int], output: Sequence[int]) -> tuple[tuple[tuple[int, ...], ...], int]:
    """Loops `(size, input step, output step)` over the runs that lie together in both tensors."""
    steps = zip(source, row_major_strides(source), row_major_strides(output), strict=True)
    dimensions = merged(list(steps))
    if dimensions[-1][1:] != (1, 1):
        return dimensions, 1
    return dimensions[:-1], dimensions[-1][0]


def _amounts(graph: Graph, op: Op) -> list[tuple[int, int]]:
    """Elements (before, after) along each axis."""
    return [(int(before), int(after)) for before, after in np.asarray(graph[op.input(1)].constant)]
