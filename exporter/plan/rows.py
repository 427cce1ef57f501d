"""Kernels that make an image row by row: what layers can be interleaved with, or run in place."""

from __future__ import annotations

from dataclasses import replace

from exporter.graph.ir import Graph, Tensor, TensorId
from exporter.ops import operator
from exporter.ops.base import Lowering
from exporter.ops.candidate import Candidate, Rows


def row_candidates(context: Lowering, offers: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """The kernels that make the output of one image [1,H,W,C] in more than one call.

    `offers`: all candidates of the operator, those of row kernels among them.
    """
    rows = tuple(item for item in offers if item.images == 1 and item.calls > 1)
    return rows or _one_row_at_a_time(context)


def _one_row_at_a_time(context: Lowering) -> tuple[Candidate, ...]:
    """The kernels for an image of one row, called for every row."""
    graph, op = context.graph, context.op
    shape = context.output.shape
    rules = operator(op.kind)
    if len(shape) != 4 or shape[0] != 1 or shape[1] == 1 or not rules.is_by_rows(graph, op):
        return ()
    operands = [graph[t] for t in (*op.inputs, *op.outputs) if t is not None]
    if not all(_is_in_rows(tensor, shape[1]) for tensor in operands):
        return ()
    one_row = replace(context, graph=_of_one_row(graph, operands, shape[1]))
    activations = [t for t in operands[:-1] if not t.is_constant]
    return tuple(
        _for_all_rows(candidate, activations, shape[1]) for candidate in rules.candidates(one_row)
    )


def _is_in_rows(tensor: Tensor, height: int) -> bool:
    """Whether row y of the output needs row y of `tensor`, or every row needs all of it."""
    if tensor.is_constant:
        return len(tensor.shape) < 3 or tensor.shape[-3] == 1
    return len(tensor.shape) == 4 and tensor.shape[0] == 1 and tensor.shape[1] in (1, height)


def _of_one_row(graph: Graph, operands: list[Tensor], height: int) -> Graph:
    """The graph with `operands` cut to the height of one row."""
    cut: dict[TensorId, Tensor] = {
        tensor.id: replace(tensor, shape=(1, 1, *tensor.shape[2:]))
        for tensor in operands
        if not tensor.is_constant and tensor.shape[1] == height
    }
    return graph.with_tensors({**graph.tensors, **cut})


def _for_all_rows(candidate: Candidate, activations: list[Tensor], height: int) -> Candidate:
    """`candidate`, which makes one row, for an image of `height` of them."""
    inputs = tuple(
        Rows(height, rows.bytes) if tensor.shape[1] == height else rows
        for rows, tensor in zip(candidate.inputs, activations, strict=True)
    )
    return replace(
        candidate,
        inputs=inputs,
        output=Rows(height, candidate.output.bytes),
        instructions=candidate.instructions * height,
    )
