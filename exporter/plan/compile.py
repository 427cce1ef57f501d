"""The front half of the pipeline: a flatbuffer becomes a proven program."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from exporter import ops, passes
from exporter.errors import BadInput
from exporter.graph import tflite_reader
from exporter.graph.ir import Graph
from exporter.graph.verify import problems
from exporter.ops.base import Target
from exporter.plan.check import check
from exporter.plan.planner import plan
from exporter.plan.program import Program


@dataclass(frozen=True, eq=False)
class Compilation:
    """A model, the graph after all passes, and the program made of it."""

    model: bytes
    graph: Graph
    program: Program


def compile_model(path: Path, target: Target, without: Collection[str] = ()) -> Compilation:
    """Read, rewrite, check, plan and prove the model at `path`; passes `without` are left out.

    Raises:
        BadInput: the file is no TFLite flatbuffer, or not one that can be compiled; no pass
            has one of the names in `without`.
        InternalError: a stage produced what the next one's verifier rejects.
    """
    graph, model = read_model(path)
    graph = passes.run(graph, without=without)
    graph = ops.check(graph)
    program = plan(graph, target)
    return Compilation(model, graph, check(program, graph))


def read_model(path: Path) -> tuple[Graph, bytes]:
    """The verified graph in the flatbuffer at `path`, and the file's bytes.

    Raises:
        BadInput: the file cannot be read, or what it says is not a graph.
    """
    graph, model = tflite_reader.read_file(path)
    found = problems(graph)
    if found:
        raise BadInput(
            f"the graph in '{path}' is malformed",
            value="; ".join(found[:5]),
            next_step="export or convert the model again",
        )
    return graph, model
