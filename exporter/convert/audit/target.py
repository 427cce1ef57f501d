"""The rule about the board: every operator is one that the engine compiles for it."""

from __future__ import annotations

from collections.abc import Iterator

from exporter import ops, passes
from exporter.convert.audit.rules import FLOATS, Rule, Subject, operands
from exporter.errors import BadInput
from exporter.plan.search import Kernels


def _not_compiled(subject: Subject) -> Iterator[str]:
    """Of the graph after all passes, which is what is compiled. Floats have a rule of their own."""
    if subject.target is None:
        return
    if (subject.mode, subject.edges) != ("int8", "int8"):
        yield f"{subject.mode} with {subject.edges} edges, where boards run int8 throughout"
        return
    graph = passes.run(subject.graph)
    found = False
    for op in graph.ops:
        if all(tensor.dtype not in FLOATS for tensor in operands(graph, op)):
            problems = ops.op_problems(graph, op)
            found = found or bool(problems)
            yield from problems
    if not found and not ops.problems(graph):
        try:
            Kernels(graph, subject.target)
        except BadInput as error:
            yield f"{error.what}: {error.value}"


NOT_COMPILED = Rule(
    "not-compiled",
    "has operators that cannot be compiled for the board",
    "the operators and rules of docs/operators.md",
    "replace the layer in the trained model, or add the operator: see README, 'Where do I add'",
    _not_compiled,
)
