"""What a rule of the audit is, what it finds, and how layers and tensors are named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from exporter.convert.audit.facts import Facts
from exporter.errors import BadInput
from exporter.graph.ir import Graph, Op, Tensor
from exporter.ops.base import Target

Mode = Literal["int8", "int16x8"]
Edges = Literal["int8", "uint8", "int16", "float"]

FLOATS = frozenset({"float16", "float32", "float64", "bfloat16", "complex64", "complex128"})
CONVERT_AGAIN = "convert the trained model: nanoexport convert MODEL --data CALIB.npz -o OUT.tflite"
_SHOWN = 5

# Names by which the converter calls what has none of its own.
_UNTELLING = re.compile(
    r"(Stateful)?PartitionedCall(_\d+)?|Identity(_\d+)?(_int8)?|(tfl|arith|mhlo)\..*"
    r"|(serving_default|tensor|functional|model|sequential)(_\w*)?|.*/ReadVariableOp.*|"
)


@dataclass(frozen=True)
class Subject:
    """A model under audit, and what is asked of it."""

    graph: Graph
    facts: Facts
    mode: Mode = "int8"
    edges: Edges = "int8"
    target: Target | None = None

    @property
    def edge_dtype(self) -> str:
        return "float32" if self.edges == "float" else self.edges

    @property
    def activation_dtypes(self) -> tuple[str, ...]:
        """Layers of an int16x8 model may stay int8: a search may choose by layer."""
        return ("int8",) if self.mode == "int8" else ("int16", "int8")

    @cached_property
    def used(self) -> tuple[Tensor, ...]:
        """Tensors that are an operand or an input of the graph."""
        ids = {t for op in self.graph.ops for t in (*op.inputs, *op.outputs) if t is not None}
        return tuple(self.graph[t] for t in sorted(ids | set(self.graph.inputs)))


@dataclass(frozen=True)
class Finding:
    """A rule that a model breaks: where (`found`, every place), and what to do."""

    rule: str
    what: str
    found: tuple[str, ...]
    allowed: str
    next_step: str

    @property
    def places(self) -> str:
        """The first few of `found`."""
        more = f"; and {len(self.found) - _SHOWN} more" if len(self.found) > _SHOWN else ""
        return "; ".join(self.found[:_SHOWN]) + more

    def as_dict(self) -> dict[str, object]:
        """The finding as the JSON output states it."""
        return {
            "rule": self.rule,
            "what": self.what,
            "found": list(self.found),
            "allowed": self.allowed,
            "next": self.next_step,
        }

    def __str__(self) -> str:
        return (
            f"{self.what}\n  found:   {self.places}\n"
            f"  allowed: {self.allowed}\n  next:    {self.next_step}"
        )


@dataclass(frozen=True)
class Rule:
    """What is checked, and what to do about a model that fails it.

    `what` and `allowed` may name {edges} and {mode}, what was asked for. `findings` names each
    layer or tensor at fault.
    """

    name: str
    what: str
    allowed: str
    next_step: str
    findings: Callable[[Subject], Iterator[str]]

    def examine(self, subject: Subject) -> Finding | None:
        """What the rule finds in a model; None where it has nothing to say."""
        found = tuple(self.findings(subject))
        if not found:
            return None
        asked = {"edges": subject.edge_dtype, "mode": subject.mode}
        return Finding(
            self.name,
            self.what.format(**asked),
            found,
            self.allowed.format(**asked),
            self.next_step,
        )


class AuditFailed(BadInput):
    """The audit found something. The message is the first finding's, and all others follow."""

    def __init__(self, name: str, findings: Sequence[Finding]) -> None:
        first = findings[0]
        super().__init__(
            f"{name} {first.what}",
            value=first.places,
            allowed=first.allowed,
            next_step=first.next_step,
        )
        self.findings = tuple(findings)

    def as_dict(self) -> dict[str, str | None]:
        also = [f"also it {f.what}: {f.places}" for f in self.findings[1:]]
        return {**super().as_dict(), "value": "; ".join([str(self.value), *also])}

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"also: it {f}" for f in self.findings[1:])])


def described(graph: Graph, op: Op) -> str:
    """The operator with the source layer it was made of."""
    return f"layer {op.index} {op.kind} '{source_layer(graph, op)}'"


def source_layer(graph: Graph, op: Op) -> str:
    """The shortest telling name of those that the converter joined, else one of the constants'.

    A name that other layers have too tells nothing: constants that are equal become one, and lend
    every layer the name of the first.
    """
    outputs = [part for t in op.outputs for part in _parts(graph[t].name)]
    constants = [graph[t].name for t in op.inputs if t is not None and graph[t].is_constant]
    others = {
        part
        for other in graph.ops
        if other.index != op.index
        for t in other.outputs
        for part in _parts(graph[t].name)
    }
    own = [part for part in outputs if part not in others]
    for names in (own, outputs, [part for name in constants for part in _parts(name)]):
        telling = [part for part in names if is_telling(part)]
        if telling:
            return min(telling, key=len)
    return outputs[0] if outputs else op.kind


def is_telling(part: str) -> bool:
    """Whether a name is one that the author of the model can know."""
    return not _UNTELLING.fullmatch(part)


def _parts(name: str) -> list[str]:
    """The names that the converter joined, without the number of the output."""
    return [re.sub(r":\d+$", "", part) for part in name.split(";")]


def named(graph: Graph, tensor: Tensor, shape: Sequence[int] | None = None) -> str:
    """A tensor as the layer that makes it, with type and shape: 'x' float32 [1, 4]."""
    producer = graph.producer(tensor.id)
    name = source_layer(graph, producer) if producer else _parts(tensor.name)[0]
    return f"'{name}' {tensor.dtype} {list(tensor.shape) if shape is None else list(shape)}"


def operands(graph: Graph, op: Op) -> list[Tensor]:
    """Inputs that are there, then outputs."""
    return [graph[t] for t in (*op.inputs, *op.outputs) if t is not None]
