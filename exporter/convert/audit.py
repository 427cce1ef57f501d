"""The strict audit: nothing but integers may be left in a flatbuffer that runs on a board.

A rule is a function from a graph to findings; its docstring is the rule as the user reads it. The
first rule that finds something ends the audit with an error that names the layers and the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import tflite

from exporter.errors import BadInput
from exporter.graph.ir import Graph, Tensor
from exporter.graph.tflite_reader import read

FLOATS = frozenset({"float16", "float32", "float64", "bfloat16", "complex64", "complex128"})
CONTROL_FLOW = frozenset(
    {"IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_CASE"}
    | {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}
)
_SHOWN = 5


@dataclass(frozen=True)
class Rule:
    """What is checked, and what to do about a model that fails it."""

    what: str
    allowed: str
    next_step: str
    findings: Callable[[Graph], Iterator[str]]


def audit(data: bytes, name: str = "the model") -> Graph:
    """The graph of a flatbuffer that is int8 throughout.

    Raises BadInput with the layers at fault: control flow, dynamic shapes, hybrid or float
    operators, inputs or outputs that are not int8, int8 tensors without a scale.
    """
    graph = read(data, name=name, source=name)
    dynamic = _dynamic_tensors(data)
    if dynamic:
        raise _error(name, _DYNAMIC, [_tensor(graph[i], s) for i, s in dynamic.items()])
    for rule in RULES:
        findings = list(rule.findings(graph))
        if findings:
            raise _error(name, rule, findings)
    return graph


def _error(name: str, rule: Rule, findings: list[str]) -> BadInput:
    more = f"; and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
    return BadInput(
        f"{name} {rule.what}",
        value="; ".join(findings[:_SHOWN]) + more,
        allowed=rule.allowed,
        next_step=rule.next_step,
    )


def _control_flow(graph: Graph) -> Iterator[str]:
    return (graph.describe(op) for op in graph.ops if op.kind in CONTROL_FLOW)


def _hybrid(graph: Graph) -> Iterator[str]:
    """Float activations over integer weights: "dynamic range" or "weight only" quantisation."""
    for op in graph.ops:
        tensors = [graph[t] for t in op.inputs if t is not None]
        activations = [t for t in tensors if not t.is_constant]
        weights = [t for t in tensors if t.is_constant and t.dtype in ("int8", "uint8", "int4")]
        if weights and any(t.dtype in FLOATS for t in activations) and op.kind != "DEQUANTIZE":
            yield f"{graph.describe(op)} (weights {weights[0].dtype})"


def _float(graph: Graph) -> Iterator[str]:
    for op in graph.ops:
        tensors = [graph[t] for t in (*op.inputs, *op.outputs) if t is not None]
        floats = [t for t in tensors if t.dtype in FLOATS]
        if floats:
            yield f"{graph.describe(op)} ({_tensor(floats[0])})"


def _edges(graph: Graph) -> Iterator[str]:
    for side, ids in (("input", graph.inputs), ("output", graph.outputs)):
        for tensor in (graph[t] for t in ids):
            if tensor.dtype != "int8":
                yield f"{side} {_tensor(tensor)}"


def _unquantised(graph: Graph) -> Iterator[str]:
    for tensor in _used(graph):
        q = tensor.quantization
        if tensor.dtype == "int8" and (
            q is None or not all(0 < s < float("inf") for s in q.scales)
        ):
            yield _tensor(tensor)


def _used(graph: Graph) -> list[Tensor]:
    ids = {t for op in graph.ops for t in (*op.inputs, *op.outputs) if t is not None}
    return [graph[t] for t in sorted(ids | set(graph.inputs))]


def _dynamic_tensors(data: bytes) -> dict[int, list[int]]:
    """Tensors whose shape signature leaves a size open. The reader knows resolved shapes only."""
    subgraph = tflite.Model.GetRootAs(data, 0).Subgraphs(0)
    found = {}
    for index in range(subgraph.TensorsLength()):
        tensor = subgraph.Tensors(index)
        signature = [tensor.ShapeSignature(i) for i in range(tensor.ShapeSignatureLength())]
        # The batch (first dimension) is resolved to one by everything that runs the model.
        if any(size < 0 for size in signature[1:]):
            found[index] = signature
    return found


def _tensor(tensor: Tensor, shape: list[int] | None = None) -> str:
    return f"'{tensor.name}' {tensor.dtype} {list(tensor.shape) if shape is None else shape}"


_CONVERT_AGAIN = (
    "convert the trained model: nanoexport convert MODEL --data CALIB.npz -o OUT.tflite"
)

_DYNAMIC = Rule(
    "has tensors of dynamic shape",
    "fixed sizes, except for the batch",
    "export the model with a fixed input size",
    lambda graph: iter(()),
)

# In the order in which they explain most: a hybrid model also has float tensors.
RULES: tuple[Rule, ...] = (
    Rule(
        "has control flow or variables",
        "straight-line operators",
        "export the model without loops, conditions and state (unroll it)",
        _control_flow,
    ),
    Rule(
        "is a hybrid model: integer weights, float activations",
        "int8 weights and activations",
        f"dynamic-range quantisation is not enough; {_CONVERT_AGAIN}",
        _hybrid,
    ),
    Rule(
        "computes in floating point",
        "int8 throughout",
        f"{_CONVERT_AGAIN}; if the layer is still float then, it has no int8 form: replace it",
        _float,
    ),
    Rule(
        "has inputs or outputs that are not int8",
        "int8 inputs and outputs",
        _CONVERT_AGAIN,
        _edges,
    ),
    Rule(
        "has int8 tensors without a scale",
        "every int8 tensor has a positive, finite scale",
        _CONVERT_AGAIN,
        _unquantised,
    ),
)
