"""Rules about the graph: straight-line operators of fixed shape, and nothing to spare."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.convert.audit.rules import Rule, Subject, described, named
from exporter.graph.ir import Graph, Op

_CONTROL_FLOW = frozenset({"IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_CASE"})
_VARIABLES = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"})

# Which input is the output's shape, by operator.
_SHAPE_INPUTS = {"RESHAPE": 1, "BROADCAST_TO": 1, "FILL": 0, "TRANSPOSE_CONV": 0}
_SIZED_BY_DATA = frozenset({"SHAPE", "WHERE", "UNIQUE", "RANGE", "NON_MAX_SUPPRESSION_V4"})


def _subgraphs(subject: Subject) -> Iterator[str]:
    return (f"'{name}'" for name in subject.facts.other_subgraphs)


def _control_flow(subject: Subject) -> Iterator[str]:
    return _of_kinds(subject.graph, _CONTROL_FLOW)


def _variables(subject: Subject) -> Iterator[str]:
    yield from _of_kinds(subject.graph, _VARIABLES)
    for tensor in sorted(subject.facts.variables):
        yield f"the variable {named(subject.graph, subject.graph[tensor])}"


def _of_kinds(graph: Graph, kinds: frozenset[str]) -> Iterator[str]:
    return (described(graph, op) for op in graph.ops if op.kind in kinds)


def _flex(subject: Subject) -> Iterator[str]:
    return (described(subject.graph, op) for op in subject.graph.ops if _is_flex(op))


def _custom(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    customs = (op for op in graph.ops if op.kind.startswith("CUSTOM:") and not _is_flex(op))
    return (described(graph, op) for op in customs)


def _is_flex(op: Op) -> bool:
    return op.kind.startswith("CUSTOM:Flex")


def _dynamic(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    for index, sizes in subject.facts.signatures.items():
        # The batch (first dimension) is resolved to one by everything that runs the model.
        if any(size < 0 for size in sizes[1:]):
            yield named(graph, graph[index], sizes)
    for op in graph.ops:
        position = _SHAPE_INPUTS.get(op.kind)
        shape = None if position is None else op.optional_input(position)
        computed = shape is not None and not graph[shape].is_constant
        if computed or op.kind in _SIZED_BY_DATA:
            yield described(graph, op)


def _unused(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    read = {t for op in graph.ops for t in op.inputs} | set(graph.outputs)
    written = {t for op in graph.ops for t in op.outputs}
    yield from (f"input {named(graph, graph[t])}" for t in graph.inputs if t not in read)
    for tensor in graph.tensors.values():
        if tensor.id not in read | written | set(graph.inputs):
            yield f"tensor {named(graph, tensor)}"
    for op in graph.ops:
        if op.outputs and not read & set(op.outputs):
            yield f"{described(graph, op)}, whose output nobody reads"


def _unused_buffers(subject: Subject) -> Iterator[str]:
    for number, size in subject.facts.unused_buffers.items():
        yield f"buffer {number} of {size:,} bytes"


_UNROLL = "export the model without loops, conditions and state (unroll it)"

SUBGRAPHS = Rule(
    "subgraphs",
    "has further subgraphs: what they compute was not looked at",
    "one subgraph",
    _UNROLL,
    _subgraphs,
)
CONTROL_FLOW = Rule(
    "control-flow", "has control flow", "straight-line operators", _UNROLL, _control_flow
)
VARIABLES = Rule(
    "variables",
    "has variables that live from one inference to the next",
    "operators without state",
    "export the model with its state as an input and an output",
    _variables,
)
FLEX = Rule(
    "flex",
    "has operators of TensorFlow itself (Flex), which need TensorFlow to run",
    "operators of TensorFlow Lite",
    "replace the layer by one that TensorFlow Lite has, and convert without SELECT_TF_OPS",
    _flex,
)
CUSTOM = Rule(
    "custom",
    "has custom operators, whose code is not in the file",
    "operators of TensorFlow Lite",
    "replace the layer, or leave it out of the model and compute it in the application",
    _custom,
)
DYNAMIC = Rule(
    "dynamic-shape",
    "has tensors of dynamic shape",
    "fixed sizes, except for the batch",
    "export the model with a fixed input size and a batch of 1",
    _dynamic,
)
UNUSED = Rule(
    "unused-tensor",
    "has tensors that nobody uses",
    "tensors that lead from the inputs to the outputs",
    "export only what the outputs depend on: remove the input or layer from the trained model",
    _unused,
)
UNUSED_BUFFERS = Rule(
    "unused-buffer",
    "carries data that no tensor uses",
    "buffers of tensors and of metadata",
    "convert the trained model again; whatever edited the file left them behind",
    _unused_buffers,
)
