"""Which bytes hold which tensors, and between which layers they live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from exporter.graph.ir import Graph, Op, TensorId
from exporter.ops import operator
from exporter.plan.views import Views

BEFORE = -1
"""Where graph inputs are made: before the first layer. In a group it stands for the application,
which gives the input row by row.
"""


@dataclass(eq=False)
class Storage:
    """Bytes that hold a tensor and its parts. `first`: the first layer that writes there, `last`:
    the last that reads there; graph outputs are read after the last layer.

    `writers`: several where parts of it are made one by one; none for a graph input.
    """

    name: str
    bytes: int
    first: int
    last: int
    tensors: list[TensorId] = field(default_factory=list)
    writers: list[int] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Around:
    """Seen from some layers: made before and read there for the last time; made there; made before
    and read later.
    """

    dying: tuple[Storage, ...]
    born: tuple[Storage, ...]
    crossing: tuple[Storage, ...]


@dataclass(frozen=True, eq=False)
class Lives:
    """The operators that compute something, in order, and the storage of each activation.

    `offsets`: the byte of its storage where a tensor begins.
    """

    views: Views
    ops: tuple[Op, ...]
    storages: dict[TensorId, Storage]
    offsets: dict[TensorId, int]
    _around: dict[tuple[int, int], Around] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        return self.views.graph

    def around(self, first: int, last: int) -> Around:
        """The storages that are there while the layers from `first` to `last` run."""
        if (first, last) not in self._around:
            self._around[first, last] = Around(
                tuple(s for s in self.all if s.first < first <= s.last <= last),
                tuple(s for s in self.all if first <= s.first <= last),
                tuple(s for s in self.all if s.first < first and s.last > last),
            )
        return self._around[first, last]

    @cached_property
    def all(self) -> list[Storage]:
        """Each storage once, in the order in which they are made."""
        return list(dict.fromkeys(self.storages.values()))

    def read(self, layer: int) -> list[Storage]:
        """The storage of each input of a layer that is no constant, in order."""
        return [self.storages[tensor] for tensor in activations(self.graph, self.ops[layer])]

    def written(self, layer: int) -> Iterator[tuple[int, int]]:
        """Which bytes of its output's storage a layer writes: from, and up to."""
        op = self.ops[layer]
        start = at = self.offsets[op.outputs[0]]
        shared = operator(op.kind).shared_bytes(self.graph, op) if op.in_place else ()
        for position in op.in_place:
            yield at, start + shared[position].offset
            at = start + shared[position].offset + self.graph[shared[position].part].bytes
        yield at, start + self.graph[op.outputs[0]].bytes


def activations(graph: Graph, op: Op) -> list[TensorId]:
    """The operator's inputs that it reads in the arena, in order."""
    return [
        tensor
        for position, tensor in enumerate(op.inputs)
        if tensor is not None and position not in op.in_place and not graph[tensor].is_constant
    ]


def lives(found: Views, order: Sequence[int] | None = None) -> Lives:
    """The lifetimes of all activations. Views share the storage of what they are part of.

    `order`: the layers as they are run, by their number in the graph's order, which is the default.
    """
    graph = found.graph
    ops = tuple(found.ops if order is None else (found.ops[n] for n in order))
    storages: dict[TensorId, Storage] = {}
    offsets: dict[TensorId, int] = {}
    by_root: dict[TensorId, Storage] = {}

    def hold(tensor: TensorId, name: str, layer: int) -> Storage:
        root, offsets[tensor] = found.place(tensor)
        if root not in by_root:
            by_root[root] = Storage(f"{name}_{root}", graph[root].bytes, layer, layer)
        storages[tensor] = by_root[root]
        return by_root[root]

    for tensor in graph.inputs:
        hold(tensor, "input", BEFORE)
    for layer, op in enumerate(ops):
        hold(op.outputs[0], "tensor", layer).writers.append(layer)
    for tensor in (output for op in graph.ops for output in op.outputs):
        storages[tensor], offsets[tensor] = by_root[found.place(tensor)[0]], found.place(tensor)[1]
    _use(graph, ops, storages)
    return Lives(found, ops, storages, offsets)


def _use(graph: Graph, ops: Sequence[Op], storages: dict[TensorId, Storage]) -> None:
    """Completes the storages: which tensors are there, and until when."""
    for tensor, storage in storages.items():
        storage.tensors.append(tensor)
    for layer, op in enumerate(ops):
        for tensor in activations(graph, op):
            storages[tensor].last = max(storages[tensor].last, layer)
    for output in graph.outputs:
        storages[output].last = len(ops)
    for storage in storages.values():
        if any(layer > storage.first for layer in storage.writers):
            # What is written last is there until it is read, or nobody reads it.
            storage.last = max(storage.last, storage.writers[-1] + 1)
