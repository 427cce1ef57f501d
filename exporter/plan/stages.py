"""Stages: one layer, or several that make their rows in turn, with the memory they need."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from exporter.graph.ir import TensorId
from exporter.ops.candidate import Candidate, Ring, Rows
from exporter.plan.access import Call, Interval, forbidden, forbidden_alone
from exporter.plan.arena import ALIGNMENT_BYTES, Request, aligned
from exporter.plan.lives import BEFORE, Lives, Storage, activations
from exporter.plan.streams import row_order, slots

CALL_INSTRUCTIONS = 45
"""What a call in a group takes beside its kernel: finding the layer, and its rows."""


@dataclass(frozen=True)
class RowBuffer:
    """The few rows that exist of a tensor made and read in the same stage.

    `owner`: the layer whose ring this is, with its padding; `phase`: rows outside the image above.
    """

    slots: int
    pitch_bytes: int
    margin_bytes: int = 0
    phase: int = 0
    owner: int | None = None

    @property
    def bytes(self) -> int:
        return self.slots * self.pitch_bytes


@dataclass(frozen=True, eq=False)
class Stage:
    """The layers from `first` to `last`, and the calls of their kernels in order.

    Calls of the layer `BEFORE` are rows of the input, one each, that the application gives.
    """

    lives: Lives
    first: int
    last: int
    candidates: Mapping[int, Candidate]
    order: tuple[Call, ...]
    rows: Mapping[TensorId, RowBuffer]

    @property
    def is_group(self) -> bool:
        """Whether rows are made in turn."""
        return bool(self.rows)

    @cached_property
    def instructions(self) -> int:
        """Estimate for one inference."""
        owners = {buffer.owner for buffer in self.rows.values()}
        kernels = sum(
            item.instructions + (0 if layer in owners else item.copy_instructions)
            for layer, item in self.candidates.items()
        )
        return kernels + (CALL_INSTRUCTIONS * len(self.order) if self.is_group else 0)

    @cached_property
    def constant_bytes(self) -> int:
        return sum(item.constant_bytes for item in self.candidates.values())

    @property
    def dying(self) -> tuple[Storage, ...]:
        """Made before, and read here for the last time."""
        around = self.lives.around(self.first, self.last)
        return tuple(s for s in around.dying if s.tensors[0] not in self.rows)

    @cached_property
    def born(self) -> tuple[Storage, ...]:
        """Made here, as a whole."""
        born = self.lives.around(self.first, self.last).born
        return tuple(storage for storage in born if storage.tensors[0] not in self.rows)

    @property
    def crossing(self) -> tuple[Storage, ...]:
        """Made before, and read later."""
        return self.lives.around(self.first, self.last).crossing

    @cached_property
    def working_memory(self) -> tuple[tuple[str, int], ...]:
        """Rings, rows and scratch: names and bytes. Calls share the scratch, one after another."""
        owners = {buffer.owner for buffer in self.rows.values()}
        rings = [
            (f"ring_{layer}", item.ring.bytes)
            for layer, item in self.candidates.items()
            if item.ring is not None and layer not in owners
        ]
        rows = [(f"rows_{tensor}", buffer.bytes) for tensor, buffer in self.rows.items()]
        scratch = max(item.scratch_bytes for item in self.candidates.values())
        return (*rings, *rows, *([(f"scratch_{self.first}", scratch)] if scratch else []))

    @cached_property
    def peak_bytes(self) -> int:
        """The least that is live during this stage: no arena can be smaller."""
        working = sum(aligned(size) for _, size in self.working_memory)
        crossing = sum(aligned(storage.bytes) for storage in self.crossing)
        apart = sum(aligned(storage.bytes) for storage in (*self.dying, *self.born))
        saved = max(
            (
                aligned(a.bytes) + aligned(b.bytes) - smallest_union(a.bytes, b.bytes, distances)
                for (a, b), distances in self.overlaps.items()
            ),
            default=0,
        )
        return working + crossing + apart - saved

    @cached_property
    def overlaps(self) -> dict[tuple[Storage, Storage], tuple[Interval, ...]]:
        """By (output, input that dies): the distances that are forbidden, in either direction."""
        return {(made, read): self.apart(made, read) for read in self.dying for made in self.born}

    def apart(self, made: Storage, read: Storage) -> tuple[Interval, ...]:
        """The distances from `made` to `read` that are forbidden, in either direction."""
        forward = self._distances(made, read)
        if not self.may_run_backward:
            return forward
        return _intersection(forward, self._distances(made, read, backward=True))

    @property
    def may_run_backward(self) -> bool:
        """Whether the rows may be made from the last to the first."""
        (only, *others) = self.candidates.values()
        inputs = len(only.inputs)
        return not others and only.images == inputs == 1 and only.calls > 1 and only.ring is None

    def distances(self) -> dict[tuple[Storage, Storage], tuple[Interval, ...]]:
        """As `overlaps`, where the rows are made in order."""
        return {
            (made, read): self._distances(made, read) for read in self.dying for made in self.born
        }

    def _distances(
        self, made: Storage, read: Storage, *, backward: bool = False
    ) -> tuple[Interval, ...]:
        """What each layer that reads there forbids: both may be parts of their storages."""
        found: set[Interval] = set()
        for writer in (layer for layer in made.writers if layer in self.candidates):
            written = self.lives.offsets[self.lives.ops[writer].outputs[0]]
            for layer, position, start in self._readers(read):
                for low, high in self._forbidden(layer, position, writer, backward):
                    found.add((low + written - start, high + written - start))
        return tuple(sorted(found))

    def _forbidden(
        self, reader: int, position: int, writer: int, backward: bool
    ) -> tuple[Interval, ...]:
        if not self.is_group:
            return forbidden_alone(self.candidates[writer], position, backward)
        return forbidden(self.candidates, self.order, {reader: position}, writer)

    def _readers(self, storage: Storage) -> Iterator[tuple[int, int, int]]:
        """The layers that read `storage`, as which of their inputs, and from which byte on."""
        for layer in self.candidates:
            tensors = activations(self.lives.graph, self.lives.ops[layer])
            for position, tensor in enumerate(tensors):
                if self.lives.storages[tensor] is storage:
                    yield layer, position, self.lives.offsets[tensor]


def single(lives: Lives, layer: int, candidate: Candidate) -> Stage:
    """A layer by itself."""
    calls = tuple((layer, number) for number in range(candidate.images * candidate.calls))
    return Stage(lives, layer, layer, {layer: candidate}, calls, {})


def group(
    lives: Lives, candidates: Mapping[int, Candidate], source: TensorId | None = None
) -> Stage | None:
    """Layers one after another whose rows are made in turn; None where that is no use.

    `candidates`: a kernel for each that makes one image in several calls. What only they read is
    never there as a whole; each of them but the last must make something that another one reads.
    `source`: the graph input, where the application gives it row by row.
    """
    first, last = min(candidates), max(candidates)
    inner = _inner(lives, candidates, source)
    if inner is None:
        return None
    making = dict(candidates)
    if source is not None:
        making[BEFORE] = _given_rows(lives, source)
    makers = {lives.ops[layer].outputs[0]: layer for layer in candidates}
    if source is not None:
        makers[source] = BEFORE
    producers = {
        (layer, position): makers[tensor]
        for layer in candidates
        for position, tensor in enumerate(activations(lives.graph, lives.ops[layer]))
        if tensor in makers
    }
    whole = [
        layer for layer in making if layer == BEFORE or lives.ops[layer].outputs[0] not in inner
    ]
    order = row_order(making, producers, whole)
    rows = {
        tensor: _row_buffer(lives, making, order, tensor, producer)
        for tensor, producer in inner.items()
    }
    return Stage(lives, first, last, candidates, order, rows)


def _given_rows(lives: Lives, source: TensorId) -> Candidate:
    """The application as a kernel that makes the rows of the input one by one."""
    _, height, *row = lives.graph[source].shape
    return Candidate(kernel="", name="input", inputs=(), output=Rows(height, prod(row)))


def _inner(
    lives: Lives, candidates: Mapping[int, Candidate], source: TensorId | None
) -> dict[TensorId, int] | None:
    """The tensors that nobody else reads, by the layer that makes them; None: no group."""
    last = max(candidates)
    inner: dict[TensorId, int] = {}
    made = {lives.ops[layer].outputs[0]: layer for layer in candidates if layer < last}
    given = {} if source is None else {source: BEFORE}
    for tensor, layer in (given | made).items():
        storage = lives.storages[tensor]
        readers = [r for r in candidates if r > layer and storage in lives.read(r)]
        if not readers or not _read_as_made(lives, readers, tensor):
            return None
        if storage.last <= last:
            if len(storage.tensors) > 1 or not _all_by_rows(lives, candidates, readers, tensor):
                return None
            inner[tensor] = layer
    return inner if inner and (source is None or source in inner) else None


def _read_as_made(lives: Lives, readers: Collection[int], tensor: TensorId) -> bool:
    """Whether what is read of a storage is all of `tensor`, row by row as it is made."""
    storage = lives.storages[tensor]
    return all(
        read == tensor
        for reader in readers
        for read in activations(lives.graph, lives.ops[reader])
        if lives.storages[read] is storage
    )


def _all_by_rows(
    lives: Lives, candidates: Mapping[int, Candidate], readers: Collection[int], tensor: TensorId
) -> bool:
    """Whether each reader takes the rows of `tensor` one after another, at one of its inputs."""
    for reader in readers:
        positions = activations(lives.graph, lives.ops[reader])
        candidate = candidates[reader]
        rows = [candidate.inputs[p] for p, t in enumerate(positions) if t == tensor]
        if candidate.window is None and rows[0].count != candidate.output.count:
            return False
    return True


def _row_buffer(
    lives: Lives,
    candidates: Mapping[int, Candidate],
    order: Sequence[Call],
    tensor: TensorId,
    producer: int,
) -> RowBuffer:
    readers = {
        layer: inputs.index(tensor)
        for layer in candidates
        if layer != BEFORE and tensor in (inputs := activations(lives.graph, lives.ops[layer]))
    }
    owner = next((layer for layer in readers if candidates[layer].ring is not None), None)
    count = slots(order, candidates, producer, readers, owner)
    if owner is None:
        return RowBuffer(count, candidates[producer].output.bytes)
    ring, window = candidates[owner].ring, candidates[owner].window
    assert ring is not None and window is not None
    return RowBuffer(count, ring.pitch_bytes, ring.margin_bytes, window.before, owner)


def ring_in(buffer: RowBuffer, ring: Ring) -> Ring:
    """The ring of a layer that reads the rows where they were made."""
    return Ring(buffer.slots, ring.pitch_bytes, ring.margin_bytes, ring.fill, ring.lead_bytes)


def requests(stage: Stage, step: int) -> list[Request]:
    """The working memory of a stage that runs as number `step`."""
    return [Request(name, size, step, step) for name, size in stage.working_memory]


def smallest_union(output: int, read: int, distances: Sequence[Interval]) -> int:
    """Bytes that two buffers take where they overlap as much as `distances` allow."""
    ends = [end for interval in distances for end in interval]
    starts = {0, output - read, *ends}
    options = {a for s in starts for a in (aligned(s), aligned(s) - ALIGNMENT_BYTES)}
    fitting = [d for d in options if not any(low < d < high for low, high in distances)]
    return aligned(min(max(output, d + read) - min(0, d) for d in fitting))


def _intersection(a: Sequence[Interval], b: Sequence[Interval]) -> tuple[Interval, ...]:
    """What both forbid."""
    both = [(max(c[0], d[0]), min(c[1], d[1])) for c in a for d in b]
    return tuple((low, high) for low, high in sorted(both) if high - low > 1)
