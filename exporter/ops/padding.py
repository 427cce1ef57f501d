"""What PAD and PADV2 share: a tensor with a border of one value, any number of axes.

Source: `PadImpl` in tensorflow/lite/kernels/internal/reference/pad.h.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op
from exporter.ops.base import (
    Constraint,
    Lowering,
    Operator,
    activations_are_int8,
    has_static_shapes,
    input_and_output_share_quantization,
)
from exporter.ops.candidate import Candidate, Param, Rows
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

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        """The border first, all at once; then the input, run by run."""
        source, output = context.input(), context.output
        dimensions, run = _runs(source.shape, output.shape)
        starts = [before for before, _ in _amounts(context.graph, context.op)]
        params: dict[str, Param] = {
            "dimensions": dimensions,
            "run_bytes": run,
            "start": sum(
                before * stride
                for before, stride in zip(starts, row_major_strides(output.shape), strict=True)
            ),
            "output_bytes": output.bytes,
            "value": self.value(context.graph, context.op),
        }
        return (
            Candidate(
                kernel="generic/pad",
                name=f"pad_{source.elements}_to_{output.elements}",
                inputs=(Rows(1, source.bytes),),
                output=Rows(1, output.bytes),
                params=params,
                instructions=output.bytes // 2 + source.bytes // run * 20 + source.bytes // 2,
            ),
        )


def _runs(
    source: tuple[int, ...], output: tuple[int, ...]
) -> tuple[tuple[tuple[int, ...], ...], int]:
    """Loops `(size, input step, output step)` over the runs that lie together in both tensors."""
    steps = zip(source, row_major_strides(source), row_major_strides(output), strict=True)
    dimensions = merged(list(steps))
    if dimensions[-1][1:] != (1, 1):
        return dimensions, 1
    return dimensions[:-1], dimensions[-1][0]


def _amounts(graph: Graph, op: Op) -> list[tuple[int, int]]:
    """Elements (before, after) along each axis."""
    return [(int(before), int(after)) for before, after in np.asarray(graph[op.input(1)].constant)]
