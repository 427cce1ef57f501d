"""Removes operators whose results reach no output, and tensors that no operator uses."""

from __future__ import annotations

from exporter.graph.ir import Graph, Op


def remove_unused(graph: Graph) -> Graph:
    """`graph` without operators and tensors that no output depends on; inputs always stay."""
    needed = set(graph.outputs)
    kept: list[Op] = []
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            needed |= {tensor for tensor in op.inputs if tensor is not None} | set(op.outputs)
            kept.append(op)
    needed |= set(graph.inputs)
    tensors = {key: tensor for key, tensor in graph.tensors.items() if key in needed}
    return graph.with_ops(tuple(reversed(kept))).with_tensors(tensors)
