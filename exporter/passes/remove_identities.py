"""Removes operators that pass their input on unchanged: same shape, same quantisation."""

from __future__ import annotations

from dataclasses import replace

from exporter.graph.ir import Graph, Op, TensorId

IDENTITIES = ("RESHAPE", "QUANTIZE")


def remove_identities(graph: Graph) -> Graph:
    """`graph` with readers of an identity's output reading its input instead."""
    source: dict[TensorId, TensorId] = {}
    kept: list[Op] = []
    for op in graph.ops:
        renamed = replace(
            op, inputs=tuple(source.get(t, t) if t is not None else None for t in op.inputs)
        )
        if _is_identity(graph, renamed):
            source[op.outputs[0]] = renamed.input(0)
        else:
            kept.append(renamed)
    return graph.with_ops(tuple(kept))


def _is_identity(graph: Graph, op: Op) -> bool:
    """Graph outputs keep their operator: an output is a tensor of its own to the user."""
    if (
        op.kind not in IDENTITIES
        or op.outputs[0] in graph.outputs
        or op.inputs[:1] in ((), (None,))
    ):
        return False
    before, after = graph[op.input(0)], graph[op.outputs[0]]
    return (before.shape, before.dtype, before.quantization) == (
        after.shape,
        after.dtype,
        after.quantization,
    )
