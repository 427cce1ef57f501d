"""TRANSPOSE by a constant permutation of any rank.

Source: `Transpose` in tensorflow/lite/kernels/internal/reference/transpose.h.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op
from exporter.ops import kernels
from exporter.ops.base import (
    Lowering,
    Operator,
    activations_are_int8,
    has_static_shapes,
    input_and_output_share_quantization,
)
from exporter.ops.candidate import Candidate
from exporter.ops.layers import TransposeLayer
from exporter.ops.shapes import merged, row_major_strides


def permutation_is_constant(graph: Graph, op: Op) -> bool:
    """The permutation is a constant int32 tensor that names every axis of the input once."""
    if len(op.inputs) != 2 or op.inputs[1] is None:
        return False
    tensor, rank = graph[op.input(1)], len(graph[op.input(0)].shape)
    return (
        tensor.is_constant
        and tensor.dtype == "int32"
        and tensor.shape == (rank,)
        and all(-rank <= axis < rank for axis in tensor.constant.tolist())
        and len(set(_permutation(graph, op))) == rank
    )


def output_is_the_permuted_shape(graph: Graph, op: Op) -> bool:
    """The output's shape is the input's, permuted."""
    shape = graph[op.input(0)].shape
    permuted = tuple(shape[axis] for axis in _permutation(graph, op))
    return graph[op.outputs[0]].shape == permuted


class Transpose(Operator):
    kind = "TRANSPOSE"
    input_counts = (2, 2)
    constraints = (
        has_static_shapes,
        activations_are_int8,
        input_and_output_share_quantization,
        permutation_is_constant,
        output_is_the_permuted_shape,
    )

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        """Channels stay apart where the last axis stays last."""
        permutation, output = _permutation(graph, op), graph[op.outputs[0]]
        if not permutation or permutation[-1] == len(permutation) - 1:
            return inputs[0]
        low, high = inputs[0].whole()
        return Interval(np.full(output.shape[-1], low), np.full(output.shape[-1], high))

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        source = context.input()
        strides = row_major_strides(source.shape)
        permutation = _permutation(context.graph, context.op)
        layer = TransposeLayer(
            merged([(source.shape[axis], strides[axis]) for axis in permutation])
        )
        return kernels.offered("transpose", context.target, layer)


def _permutation(graph: Graph, op: Op) -> list[int]:
    rank = len(graph[op.input(0)].shape)
    return [int(axis) % rank for axis in graph[op.input(1)].constant.ravel()]


OPERATOR = Transpose()
