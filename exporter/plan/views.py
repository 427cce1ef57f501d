"""Which tensors are parts of others, so that no layer has to move their bytes.

RESHAPE always is, SPLIT and SLICE where the part lies in one piece, CONCATENATION where its inputs
can be made where they end up. A tensor can be part of one other only, and only at a word: what does
not fit is left to the kernel that copies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from exporter.graph.ir import Graph, Op, TensorId
from exporter.ops import operator
from exporter.ops.base import Shared
from exporter.plan.arena import ALIGNMENT_BYTES


@dataclass(eq=False)
class Views:
    """Each tensor that is a part of another one, and the operators that are left to compute."""

    graph: Graph
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


def views(graph: Graph, copied: Collection[TensorId] = ()) -> Views:
    """All parts that there can be, in the graph's order. Outputs in `copied` are computed."""
    found = Views(graph)
    parts = [part for op in graph.ops for part in op.parts]
    for op in parts:
        shared = operator(op.kind).shared_bytes(graph, op)
        if op.outputs[0] not in copied and shared and _fit(found, op, shared):
            for relation in shared:
                part = _outermost(found, relation)
                found.wholes[part] = (relation.whole, relation.offset)
        else:
            found.ops.append(op)
    return found


def optional_views(graph: Graph) -> Iterator[tuple[TensorId, ...]]:
    """The outputs of each operator that can be a view, and can be computed as well."""
    for op in graph.ops:
        rules = operator(op.kind)
        parts = [part for part in op.parts if rules.shared_bytes(graph, part)]
        if parts and not rules.is_view:
            yield tuple(part.outputs[0] for part in parts)


def _outermost(found: Views, relation: Shared) -> TensorId:
    """What is to be placed: the output of a split; of an input that is joined all that is in it."""
    return found.place(relation.part)[0]


def _fit(found: Views, op: Op, shared: tuple[Shared, ...]) -> bool:
    if operator(op.kind).is_view:
        return True
    if any(relation.offset % ALIGNMENT_BYTES for relation in shared):
        return False
    if shared[0].part == op.outputs[0]:
        return not found.graph[shared[0].whole].is_constant
    parts = [_outermost(found, relation) for relation in shared]
    return len(set(parts)) == len(parts) and all(_can_move(found, relation) for relation in shared)


def _can_move(found: Views, relation: Shared) -> bool:
    """Whether an input of a concatenation can be made in the output.

    The interface keeps its tensors for itself: graph inputs and outputs would live as long as all
    that is joined to them.
    """
    graph, root = found.graph, found.place(relation.part)[0]
    interface = {*graph.inputs, *(found.place(output)[0] for output in graph.outputs)}
    return (
        not graph[root].is_constant
        and root not in interface
        and graph[root].bytes == graph[relation.part].bytes
    )
