"""The strict audit: nothing but integers, and only useful ones, in what runs on a board.

All rules run, and all that they find is told together, first what explains most. A rule is data
(`Rule`): what is wrong, what is allowed, what to do, and a function that names the layers at fault.
To add one, write it in the module it belongs to and list it here; every rule has a test with a
model built to break it.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.convert.audit.dtypes import (
    BIASES,
    EDGES,
    FLOAT,
    FOREIGN_INTEGERS,
    HYBRID,
)
from exporter.convert.audit.facts import read_facts
from exporter.convert.audit.rules import AuditFailed, Edges, Finding, Mode, Rule, Subject
from exporter.convert.audit.scales import (
    COARSE_CURVES,
    CONSTANT_LAYERS,
    CONSTANT_OUTPUTS,
    DEAD_CHANNELS,
    EXTREME_SCALES,
    FEW_STEPS,
    UNEVEN_CHANNELS,
    UNSCALED,
    VANISHING,
    ZERO_POINTS,
)
from exporter.convert.audit.structure import (
    CONTROL_FLOW,
    CUSTOM,
    DYNAMIC,
    FLEX,
    SUBGRAPHS,
    UNUSED,
    UNUSED_BUFFERS,
    VARIABLES,
)
from exporter.convert.audit.target import NOT_COMPILED
from exporter.errors import BadInput
from exporter.graph.ir import Graph
from exporter.graph.tflite_reader import read
from exporter.graph.verify import problems
from exporter.ops.base import Target

# In the order in which they explain most: a loop hides whole subgraphs, a hybrid model also has
# float tensors, and what is float has no scale to speak of.
ERRORS: tuple[Rule, ...] = (
    SUBGRAPHS,
    CONTROL_FLOW,
    VARIABLES,
    FLEX,
    CUSTOM,
    DYNAMIC,
    HYBRID,
    FLOAT,
    FOREIGN_INTEGERS,
    EDGES,
    BIASES,
    UNSCALED,
    ZERO_POINTS,
    VANISHING,
    EXTREME_SCALES,
    CONSTANT_OUTPUTS,
    UNUSED,
    UNUSED_BUFFERS,
    NOT_COMPILED,  # last: what it refuses often has one of the reasons above
)
WARNINGS: tuple[Rule, ...] = (
    FEW_STEPS,
    COARSE_CURVES,
    UNEVEN_CHANNELS,
    CONSTANT_LAYERS,
    DEAD_CHANNELS,
)


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found in a model. `errors` is empty in what `audit` returns."""

    name: str
    graph: Graph
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    def check(self) -> Audit:
        """This audit, if nothing is wrong. Raises AuditFailed (exit code 2) otherwise."""
        if self.errors:
            raise AuditFailed(self.name, self.errors)
        return self


def audit(
    data: bytes,
    name: str = "the model",
    *,
    mode: Mode = "int8",
    edges: Edges | None = None,
    target: Target | None = None,
) -> Audit:
    """The graph of a flatbuffer that computes with integers throughout, and the warnings.

    `mode`: the type of activations; int16x8 may mix int16 and int8. `edges`: the type of the
    model's inputs and outputs, by default that of `mode`. With `target`, every operator must also
    be one that the engine compiles for it.

    Raises AuditFailed, a BadInput, with everything that was found.
    """
    return examine(data, name, mode=mode, edges=edges, target=target).check()


def examine(
    data: bytes,
    name: str = "the model",
    *,
    mode: Mode = "int8",
    edges: Edges | None = None,
    target: Target | None = None,
) -> Audit:
    """All findings, as `audit`; raises BadInput only where `data` cannot be read as a model."""
    graph = read(data, name=name, source=name, first_subgraph=True)
    malformed = problems(graph)
    if malformed:
        raise BadInput(
            f"the graph of {name} is malformed",
            value="; ".join(malformed[:5]),
            next_step="export or convert the model again",
        )
    edges = edges or ("int16" if mode == "int16x8" else "int8")
    subject = Subject(graph, read_facts(data), mode, edges, target)
    return Audit(name, graph, _run(ERRORS, subject), _run(WARNINGS, subject))


def _run(rules: tuple[Rule, ...], subject: Subject) -> tuple[Finding, ...]:
    found = (rule.examine(subject) for rule in rules)
    return tuple(finding for finding in found if finding is not None)


__all__ = [
    "ERRORS",
    "WARNINGS",
    "Audit",
    "AuditFailed",
    "Edges",
    "Finding",
    "Mode",
    "Rule",
    "audit",
    "examine",
]
