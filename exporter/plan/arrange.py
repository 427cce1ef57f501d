"""Which layers there are and in which order they run: what is searched for stages.

Two decisions come before all others, on the model of one layer after another (`schedule`): whether
what could be a view is one, and the order. A view saves the copy, but all of its storage lives as
long as any part of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from exporter.graph.ir import Graph, TensorId
from exporter.ops.base import Target
from exporter.ops.candidate import Candidate
from exporter.plan.arena import aligned
from exporter.plan.lives import BEFORE, Lives, Storage, activations, lives
from exporter.plan.schedule import Model, best_order, ordering
from exporter.plan.search import Kernels
from exporter.plan.stages import Stage, single, smallest_union
from exporter.plan.views import optional_views

MOST_VIEWS = 40
"""Views that are tried as copies, at most."""


def arrangements(graph: Graph, target: Target, kernels: Kernels) -> list[Lives]:
    """The lives of all activations in every arrangement worth a search, the plainest first.

    The fastest has every view there can be, and the order costs no time.
    """
    models = Models(kernels)
    plain = lives(graph)
    found = _ordered(models, plain, ())
    if target.ram_for_time > 0:
        copied = _better_copied(models, plain)
        if copied:
            found += _ordered(models, lives(graph, None, copied), copied)
    return found


def _ordered(models: Models, given: Lives, copied: Sequence[TensorId]) -> list[Lives]:
    order = best_order(models.of(given))
    if order == tuple(range(len(order))):
        return [given]
    return [given, lives(given.graph, order, copied)]


def _better_copied(models: Models, plain: Lives) -> tuple[TensorId, ...]:
    """What had better be computed than be a view: one after another, as long as that saves.

    Only views of what is live when most is can save anything.
    """
    graph, alive, copied = plain.graph, plain, tuple[TensorId, ...]()
    made = {op.outputs[0] for op in plain.ops}
    layer, least = _peak(models, plain)
    for outputs in list(optional_views(graph))[:MOST_VIEWS]:
        storage = alive.storages[outputs[0]]
        if made.issuperset(outputs) or not storage.first <= layer <= storage.last:
            continue
        tried = lives(graph, None, (*copied, *outputs))
        at, peak = _peak(models, tried)
        if peak < least:
            alive, copied, layer, least = tried, (*copied, *outputs), at, peak
    return copied


def _peak(models: Models, alive: Lives) -> tuple[int, int]:
    """The layer during which most is live, and how much."""
    model = models.of(alive)
    needs = model.needs(range(len(alive.ops)))
    return max(enumerate(needs), key=lambda item: item[1], default=(BEFORE, model.start()))


class Models:
    """What layers need with the kernel that needs least, in one arrangement or another."""

    def __init__(self, kernels: Kernels) -> None:
        self.kernels = kernels
        self.known: dict[tuple[object, ...], int] = {}

    def of(self, alive: Lives) -> Model:
        """The model of the layers in `alive`."""
        return ordering(alive, lambda layer, storage: self._extra(alive, layer, storage))

    def _extra(self, alive: Lives, layer: int, read: Storage | None) -> int:
        """Found once for one layer and the same places in storages of the same sizes."""
        output = alive.ops[layer].outputs[0]
        made = alive.storages[output]
        key: tuple[object, ...] = (output,)
        if read is not None:
            tensors = activations(alive.graph, alive.ops[layer])
            places = [
                (position, alive.offsets[t])
                for position, t in enumerate(tensors)
                if alive.storages[t] is read
            ]
            key = (output, made.bytes, alive.offsets[output], read.bytes, *places)
        if key not in self.known:
            stages = [single(alive, layer, item) for item in self._offers(output)]
            self.known[key] = min(_extra(stage, made, read) for stage in stages)
        return self.known[key]

    def _offers(self, tensor: TensorId) -> list[Candidate]:
        offers = self.kernels[tensor]
        return list(dict.fromkeys((*offers.all, *offers.by_rows)))


def _extra(stage: Stage, made: Storage, read: Storage | None) -> int:
    working = sum(aligned(size) for _, size in stage.working_memory)
    if read is None:
        return working
    union = smallest_union(made.bytes, read.bytes, stage.apart(made, read))
    return working + union - aligned(read.bytes)
