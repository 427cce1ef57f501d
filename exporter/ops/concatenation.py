"""CONCATENATION of any number of int8 tensors along one axis.

All have the output's quantisation: the reference refuses int8 models where they do not. Source:
`Prepare` in tensorflow/lite/kernels/concatenation.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

import numpy as np

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op, Tensor
from exporter.ops.base import Lowering, Operator, Shared, has_static_shapes, operands_are_int8
from exporter.ops.candidate import Candidate, Constant, Rows


def all_inputs_are_present(graph: Graph, op: Op) -> bool:
    """There is at least one input, and none is left out."""
    return bool(op.inputs) and None not in op.inputs


def all_share_quantization(graph: Graph, op: Op) -> bool:
    """All inputs have the scale and zero point of the output."""
    output = graph[op.outputs[0]]
    return all(
        (tensor.scale, tensor.zero_point) == (output.scale, output.zero_point)
        for tensor in _inputs(graph, op)
    )


def has_no_activation(graph: Graph, op: Op) -> bool:
    """There is no fused activation."""
    return op.options.get("fused_activation_function", "NONE") == "NONE"


def axis_is_in_range(graph: Graph, op: Op) -> bool:
    """The axis is one of the inputs'."""
    rank = len(graph[op.input(0)].shape)
    return -rank <= int(op.options.get("axis", 0)) < rank


def shapes_agree(graph: Graph, op: Op) -> bool:
    """The inputs differ only along the axis, where the output is as long as all together."""
    axis, output = _axis(graph, op), graph[op.outputs[0]].shape
    shapes = [tensor.shape for tensor in _inputs(graph, op)]
    return (
        all(len(shape) == len(output) for shape in shapes)
        and all(
            shape[:axis] + shape[axis + 1 :] == output[:axis] + output[axis + 1 :]
            for shape in shapes
        )
        and sum(shape[axis] for shape in shapes) == output[axis]
    )


MOST_INPUTS = 10_000


class Concatenation(Operator):
    kind = "CONCATENATION"
    input_counts = (1, MOST_INPUTS)
    constraints = (
        all_inputs_are_present,
        has_static_shapes,
        operands_are_int8,
        all_share_quantization,
        has_no_activation,
        axis_is_in_range,
        shapes_agree,
    )

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        lows, highs = [bounds.low for bounds in inputs], [bounds.high for bounds in inputs]
        if _axis(graph, op) == len(graph[op.outputs[0]].shape) - 1:
            return Interval(np.concatenate(lows), np.concatenate(highs))
        return Interval(np.min(lows, axis=0), np.max(highs, axis=0))

    def shared_bytes(self, graph: Graph, op: Op) -> tuple[Shared, ...]:
        """Each input is a part of the output where all axes before the joined one are 1."""
        output = graph[op.outputs[0]]
        if prod(output.shape[: _axis(graph, op)]) != 1:
            return ()
        tensors = _inputs(graph, op)
        starts = accumulate((tensor.bytes for tensor in tensors[:-1]), initial=0)
        pairs = zip(tensors, starts, strict=True)
        return tuple(Shared(output.id, tensor.id, start) for tensor, start in pairs)

    def is_by_rows(self, graph: Graph, op: Op) -> bool:
        return _axis(graph, op) >= 2

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        tensors, output = _inputs(context.graph, context.op), context.output
        axis = _axis(context.graph, context.op)
        pieces = tuple(prod(tensor.shape[axis:]) for tensor in tensors)
        in_place = context.op.in_place
        copied = [tensor for n, tensor in enumerate(tensors) if n not in in_place]
        runs, copied_bytes = prod(output.shape[:axis]) * len(copied), sum(t.bytes for t in copied)
        return (
            Candidate(
                kernel="generic/concatenation",
                name=f"concatenation_{len(tensors)}_to_{output.elements}",
                inputs=tuple(Rows(1, t.bytes) for t in copied if not t.is_constant),
                output=Rows(1, output.bytes),
                params={
                    "repeats": prod(output.shape[:axis]),
                    "pieces": pieces,
                    "constants": tuple(i for i, t in enumerate(tensors) if t.is_constant),
                    "in_place": in_place,
                },
                constants=tuple(
                    Constant(f"input{position}", tensor.constant.ravel(), f"{list(tensor.shape)}")
                    for position, tensor in enumerate(tensors)
                    if tensor.is_constant
                ),
                instructions=runs * 20 + copied_bytes // 2,
            ),
        )


def _inputs(graph: Graph, op: Op) -> list[Tensor]:
    return [graph[op.input(position)] for position in range(len(op.inputs))]


def _axis(graph: Graph, op: Op) -> int:
    return int(op.options.get("axis", 0)) % len(graph[op.outputs[0]].shape)


OPERATOR = Concatenation()
