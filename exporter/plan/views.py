"""Which tensors are parts of others, so that no layer has to move their bytes.

RESHAPE always is, SPLIT and SLICE where the part lies in one piece, CONCATENATION where its inputs
can be made where they end up. A tensor can be part of one other only, and only at a word: what does
not fit is left to the kernel that copies.

With `partly`, so can some inputs of a layer that has to write the rest of its output: the border
of a PAD, what is constant in a CONCATENATION or cannot be made there. Graph inputs and outputs then
can be parts too, though all that is joined to them lives as long as they do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set
from dataclasses import dataclass, field, replace

from exporter.graph.ir import Graph, Op, TensorId
from exporter.ops import operator
from exporter.ops.base import Shared
from exporter.plan.arena import ALIGNMENT_BYTES


@dataclass(eq=False)
class Views:
    """Each tensor that is a part of another one, and the operators that are left to compute."""

    graph: Graph
    copied: frozenset[TensorId] = frozenset()
    partly: bool = False
    wholes: dict[TensorId, tuple[TensorId, int]] = field(default_factory=dict)
    """By part: the tensor that it is a part of, and from which byte on."""
    ops: list[Op] = field(default_factory=list)

    def place(self, tensor: TensorId) -> tuple[TensorId, int]:
        """The tensor that is no part of another one, and the byte of it where `tensor` begins."""
        offset = 0
        while tensor in self.wholes:
            tensor, more = self.wholes[tensor]
            offset += more
        return tensor, offset


def views(graph: Graph, copied: Collection[TensorId] = (), *, partly: bool = False) -> Views:
    """All parts that there can be, in the graph's order.

    Outputs in `copied` are computed, and graph inputs in it are no parts.
    """
    found = Views(graph, frozenset(copied), partly)
    for op in (part for whole in graph.ops for part in whole.parts):
        shared = () if op.outputs[0] in copied else operator(op.kind).shared_bytes(graph, op)
        if shared and _fit(found, op, shared):
            for relation in shared:
                _join(found, relation)
        else:
            found.ops.append(replace(op, in_place=_placed(found, op, shared)) if partly else op)
    return found


def optional_views(found: Views) -> Iterator[tuple[TensorId, ...]]:
    """What could be computed as well, or stay apart, instead of being a view: see `Views.copied`.

    The outputs of an operator, or a graph input.
    """
    graph, whole = found.graph, {op.outputs[0] for op in found.ops if not op.in_place}
    if found.partly:
        yield from ((tensor,) for tensor in graph.inputs if tensor in found.wholes)
    for op in graph.ops:
        rules = operator(op.kind)
        if not rules.is_view:
            parts = [part.outputs[0] for part in op.parts if rules.shared_bytes(graph, part)]
            if parts and not whole.issuperset(parts):
                yield tuple(parts)


def _join(found: Views, relation: Shared) -> None:
    """The output of a split; of an input that is joined all that is in it."""
    part = found.place(relation.part)[0]
    found.wholes[part] = (relation.whole, relation.offset)


def _fit(found: Views, op: Op, shared: tuple[Shared, ...]) -> bool:
    """Whether nothing is left to compute."""
    if operator(op.kind).is_view:
        return True
    graph = found.graph
    if shared[0].part == op.outputs[0]:
        return not graph[shared[0].whole].is_constant and not shared[0].offset % ALIGNMENT_BYTES
    parts = [found.place(relation.part)[0] for relation in shared]
    return (
        sum(graph[relation.part].bytes for relation in shared) == graph[op.outputs[0]].bytes
        and len(set(parts)) == len(parts)
        and all(_can_move(found, relation) for relation in shared)
    )


def _placed(found: Views, op: Op, shared: tuple[Shared, ...]) -> tuple[int, ...]:
    """Joins the inputs that can be made in the output; their positions."""
    placed: list[int] = []
    for position, relation in enumerate(shared):
        if relation.whole == op.outputs[0] and _can_move(found, relation):
            _join(found, relation)
            placed.append(position)
    return tuple(placed)


def _can_move(found: Views, relation: Shared) -> bool:
    """Whether an input can be made in the output: all that it is a part of is no more than it."""
    graph, root = found.graph, found.place(relation.part)[0]
    return (
        not graph[root].is_constant
        and not relation.offset % ALIGNMENT_BYTES
        and root not in _apart(found)
        and graph[root].bytes == graph[relation.part].bytes
    )


def _apart(found: Views) -> Set[TensorId]:
    """What is no part of anything: unless `partly`, the interface keeps its tensors for itself."""
    inputs = found.graph.inputs
    if found.partly:
        return found.copied.intersection(inputs)
    return {*inputs, *(found.place(output)[0] for output in found.graph.outputs)}
