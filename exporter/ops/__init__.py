"""The operators. Each module here that defines `OPERATOR` registers it under its `kind`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from exporter.errors import BadInput
from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op, TensorId
from exporter.ops.base import Operator, is_int8

TOOLS = {
    "FLOAT": "convert the model with full integer quantisation: "
    "nanoexport convert MODEL --data CALIB.npz -o OUT.tflite, without --edges",
    "TYPE": "what boards run is int8 throughout: convert with --mode int8 and without --edges",
    "OPERATOR": "replace the layer in the model, or add the operator: see README, 'Where do I add'",
}
_OTHER_TYPES = {"int16", "uint8"}
"""What other modes and edges of a conversion leave in a flatbuffer."""


@cache
def operators() -> Mapping[str, Operator]:
    """All operators by kind."""
    modules = (
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    )
    found = (module.OPERATOR for module in modules if hasattr(module, "OPERATOR"))
    return {operator.kind: operator for operator in sorted(found, key=lambda item: item.kind)}


def operator(kind: str) -> Operator:
    """The operator of `kind`, which `check` has accepted."""
    return operators()[kind]


def check(graph: Graph) -> Graph:
    """Return `graph` if every operator in it can be compiled.

    Raises:
        BadInput: a float or otherwise unsupported tensor, an unsupported operator, or a broken
            constraint; the message names every layer concerned.
    """
    _refuse_floats(graph)
    found = problems(graph)
    if found:
        types = {tensor.dtype for tensor in graph.tensors.values()}
        raise BadInput(
            f"the model '{graph.name}' cannot be compiled: {found[0]}",
            value=None if len(found) == 1 else "also: " + "; ".join(found[1:6]),
            allowed=f"operators {', '.join(operators())}",
            next_step=TOOLS["OPERATOR" if _OTHER_TYPES.isdisjoint(types) else "TYPE"],
        )
    if not graph.ops or not graph.inputs or not graph.outputs:
        raise BadInput(
            f"the model '{graph.name}' computes nothing",
            value=f"{len(graph.ops)} operators, {len(graph.inputs)} inputs, "
            f"{len(graph.outputs)} outputs",
            allowed="at least one of each",
            next_step="export the trained model again",
        )
    return graph


def problems(graph: Graph) -> list[str]:
    """Why operators, inputs and outputs of `graph` cannot be compiled; empty where they can."""
    return [problem for op in graph.ops for problem in op_problems(graph, op)] + [
        f"the {direction} '{graph[tensor].name}' is not int8 with one scale and zero point"
        for direction, tensors in (("input", graph.inputs), ("output", graph.outputs))
        for tensor in tensors
        if not is_int8(graph[tensor])
    ]


def _refuse_floats(graph: Graph) -> None:
    """A float tensor anywhere means a float or a hybrid model."""
    for op in graph.ops:
        for tensor in (*op.inputs, *op.outputs):
            if tensor is not None and graph[tensor].dtype.startswith("float"):
                hybrid = any(
                    t is not None and graph[t].is_constant and graph[t].dtype == "int8"
                    for t in op.inputs
                )
                raise BadInput(
                    f"the model '{graph.name}' is {'hybrid' if hybrid else 'float'}, not int8: "
                    f"{graph.describe(op)} uses the {graph[tensor].dtype} tensor "
                    f"'{graph[tensor].name}'",
                    value=graph[tensor].dtype,
                    allowed="int8 activations and weights, int32 biases",
                    next_step=TOOLS["FLOAT"],
                )


def op_problems(graph: Graph, op: Op) -> list[str]:
    """Why `op` cannot be compiled: its kind, a type, or the constraint it breaks."""
    found = operators().get(op.kind)
    if found is None:
        return [f"{graph.describe(op)} is not a supported operator"]
    wrong = [
        f"{tensor.dtype} '{tensor.name}'"
        for tensor in (graph[t] for t in (*op.inputs, *op.outputs) if t is not None)
        if tensor.dtype not in ("int8", "int32")
    ]
    if wrong:
        return [f"{graph.describe(op)} uses the unsupported tensor type {', '.join(wrong)}"]
    if op.inputs and all(t is None or graph[t].is_constant for t in op.inputs):
        return [f"{graph.describe(op)} reads only constants: fold it before the export"]
    rule = found.broken_constraint(graph, op)
    return [] if rule is None else [f"{graph.describe(op)} breaks the rule: {rule}"]


def tensor_intervals(graph: Graph) -> dict[TensorId, Interval]:
    """A proven interval for every tensor that an operator of `graph` reads or writes."""
    intervals = {
        tensor.id: Interval.of_constant(tensor) if tensor.is_constant else Interval.of_type(tensor)
        for tensor in graph.tensors.values()
        if tensor.dtype in ("int8", "int32")
    }
    for op in graph.ops:
        inputs = [intervals[tensor] for tensor in op.inputs if tensor is not None]
        for part in op.parts:
            intervals[part.outputs[0]] = operator(op.kind).output_interval(graph, part, inputs)
    return intervals


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one inference."""
    return sum(operator(op.kind).macs(graph, op) for op in graph.ops)
