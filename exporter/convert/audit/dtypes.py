"""Rules about types: integers throughout, and which ones."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.convert.audit.rules import (
    CONVERT_AGAIN,
    FLOATS,
    Rule,
    Subject,
    described,
    named,
    operands,
)
from exporter.graph.ir import Graph, Op, Tensor

LINEAR = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
"""Operators whose third input is a bias, or may be: TRANSPOSE_CONV has its as the fourth."""

_NARROW_WEIGHTS = ("int4", "int8", "uint8")
# Shapes, indices and masks are int32, int64 and bool in every mode.
_FOREIGN = frozenset({"uint8", "int16", "uint16", "uint32", "uint64", "string", "resource"})


def is_hybrid(graph: Graph, op: Op) -> bool:
    """Float activations over integer weights: "dynamic range" or "weight only" quantisation."""
    tensors = [graph[t] for t in op.inputs if t is not None]
    weights = any(t.is_constant and t.dtype in _NARROW_WEIGHTS for t in tensors)
    floats = any(not t.is_constant and t.dtype in FLOATS for t in tensors)
    return weights and floats and op.kind != "DEQUANTIZE"


def _hybrid(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    for op in graph.ops:
        if is_hybrid(graph, op):
            weights = next(t for t in operands(graph, op) if t.dtype in _NARROW_WEIGHTS)
            yield f"{described(graph, op)} (weights {weights.dtype})"


def _float(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    for op in graph.ops:
        floats = [t for t in operands(graph, op) if t.dtype in FLOATS]
        if floats and not is_hybrid(graph, op) and not _is_edge(subject, op):
            yield f"{described(graph, op)} ({named(graph, floats[0])})"


def _is_edge(subject: Subject, op: Op) -> bool:
    """Whether `op` is the one that gives an input or output of the model its type."""
    graph = subject.graph
    if op.kind == "QUANTIZE" and op.optional_input(0) in graph.inputs:
        return graph[op.input(0)].dtype == subject.edge_dtype
    if op.kind in ("QUANTIZE", "DEQUANTIZE") and set(op.outputs) & set(graph.outputs):
        return graph[op.outputs[0]].dtype == subject.edge_dtype
    return False


def _foreign_integers(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    ports = {*graph.inputs, *graph.outputs}
    for op in graph.ops:
        for tensor in operands(graph, op):
            if _is_foreign(subject, tensor) and tensor.id not in ports:
                yield f"{described(graph, op)} ({named(graph, tensor)})"
                break


def _is_foreign(subject: Subject, tensor: Tensor) -> bool:
    allowed = (*subject.activation_dtypes, *(["int4"] if tensor.is_constant else []))
    return tensor.dtype in _FOREIGN | {"int4"} and tensor.dtype not in allowed


def _edges(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    for side, ids in (("input", graph.inputs), ("output", graph.outputs)):
        for tensor in (graph[t] for t in ids):
            if tensor.dtype != subject.edge_dtype:
                yield f"{side} {named(graph, tensor)}"


def _biases(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    allowed = ("int32",) if subject.mode == "int8" else ("int32", "int64")
    for op in graph.ops:
        position = 3 if op.kind == "TRANSPOSE_CONV" else 2
        bias = op.optional_input(position) if op.kind in LINEAR else None
        if bias is not None and graph[bias].dtype not in (*allowed, *FLOATS):
            yield f"{described(graph, op)} (bias {named(graph, graph[bias])})"


HYBRID = Rule(
    "hybrid",
    "is a hybrid model: integer weights, float activations",
    "{mode} weights and activations",
    f"dynamic-range quantisation is not enough; {CONVERT_AGAIN}",
    _hybrid,
)
FLOAT = Rule(
    "float",
    "computes in floating point",
    "{mode} throughout",
    f"{CONVERT_AGAIN}; if the layer is still float then, it has no int8 form: replace it",
    _float,
)
FOREIGN_INTEGERS = Rule(
    "integer-types",
    "computes with integers that are not {mode}",
    "{mode} activations; int8 or int4 weights; int32, int64 and bool for indices only",
    CONVERT_AGAIN,
    _foreign_integers,
)
EDGES = Rule(
    "edges",
    "has inputs or outputs that are not {edges}",
    "{edges} inputs and outputs",
    f"{CONVERT_AGAIN}; --edges says which type the inputs and outputs have",
    _edges,
)
BIASES = Rule(
    "biases",
    "has biases of a type that no {mode} kernel reads",
    "int32 biases; int64 ones in int16x8 mode",
    CONVERT_AGAIN,
    _biases,
)
