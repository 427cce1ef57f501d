"""Asserts that a graph is well formed. Runs after reading and after every pass."""

from __future__ import annotations

from exporter.errors import InternalError
from exporter.graph.ir import Graph, Tensor


def verify(graph: Graph, *, after: str) -> Graph:
    """Return `graph` if it is well formed.

    Raises:
        InternalError: it is not; the message names the stage `after` which it was found.
    """
    found = problems(graph)
    if found:
        raise InternalError(
            f"the graph is malformed after {after}",
            value="; ".join(found[:5]),
            next_step="report this defect with the model",
        )
    return graph


def problems(graph: Graph) -> list[str]:
    """What is wrong with `graph`, as phrases; empty where it is well formed."""
    return [*_tensor_problems(graph), *_order_problems(graph), *_output_problems(graph)]


def _tensor_problems(graph: Graph) -> list[str]:
    return [
        problem
        for key, tensor in graph.tensors.items()
        for problem in (
            f"tensor {key} calls itself {tensor.id}" if key != tensor.id else "",
            _data_problem(tensor),
            _quantization_problem(tensor),
        )
        if problem
    ]


def _data_problem(tensor: Tensor) -> str:
    if tensor.data is None or tensor.data.shape == tensor.shape:
        return ""
    return f"'{tensor.name}' has data of shape {tensor.data.shape}, states {tensor.shape}"


def _quantization_problem(tensor: Tensor) -> str:
    quantization = tensor.quantization
    if quantization is None or quantization.per_tensor:
        return ""
    axis, count = quantization.axis, len(quantization.scales)
    if axis < len(tensor.shape) and tensor.shape[axis] == count:
        return ""
    return f"'{tensor.name}' {list(tensor.shape)} has {count} scales along axis {axis}"


def _order_problems(graph: Graph) -> list[str]:
    """Operators read what is constant, an input, or written before; nothing is written twice."""
    written = {tensor.id for tensor in graph.tensors.values() if tensor.is_constant}
    written |= set(graph.inputs)
    problems = []
    for op in graph.ops:
        unknown = [t for t in (*op.inputs, *op.outputs) if t is not None and t not in graph.tensors]
        early = [t for t in op.inputs if t is not None and t not in written]
        twice = [t for t in op.outputs if t in written]
        if unknown or early or twice:
            problems.append(
                f"{op.kind} {op.index}: unknown {unknown}, read before write {early}, "
                f"written twice {twice}"
            )
        written |= set(op.outputs)
    return problems


def _output_problems(graph: Graph) -> list[str]:
    available = {tensor for op in graph.ops for tensor in op.outputs} | set(graph.inputs)
    return [
        f"output {tensor} is never written" for tensor in graph.outputs if tensor not in available
    ]
