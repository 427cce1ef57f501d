"""Which layers there are and in which order they run: what is searched for stages.

Two decisions come before all others, on the model of one layer after another (`schedule`): whether
what could be a view is one, and the order. A view saves the copy, but all of its storage lives as
long as any part of it.
"""

from __future__ import annotations

from exporter.graph.ir import Graph, Op
from exporter.ops.base import Target
from exporter.ops.candidate import Candidate
from exporter.plan.arena import aligned
from exporter.plan.lives import BEFORE, Lives, Storage, activations, lives
from exporter.plan.schedule import Model, best_order, ordering
from exporter.plan.search import Kernels
from exporter.plan.stages import Stage, single, smallest_union
from exporter.plan.views import Views, optional_views, views

MOST_VIEWS = 40
"""Views that are tried as copies, at most."""


def arrangements(graph: Graph, target: Target, kernels: Kernels) -> list[Lives]:
    """The lives of all activations in every arrangement worth a search, the plainest first.

    The fastest has every view there can be, and the order costs no time.
    """
    models = Models(kernels)
    whole, partly = views(graph), views(graph, partly=True)
    found = [alive for ordered in _family(models, target, whole) for alive in ordered]
    if partly.wholes != whole.wholes:
        found += [ordered[-1] for ordered in _family(models, target, partly)]
    return found


def _family(models: Models, target: Target, all_of_them: Views) -> list[list[Lives]]:
    """With all of these views, and with those that save memory; each in one order or two."""
    plain = lives(all_of_them)
    found = [_ordered(models, plain)]
    if target.ram_for_time > 0:
        better = _better_copied(models, plain)
        if better is not plain:
            found.append(_ordered(models, better))
    return found


def _ordered(models: Models, given: Lives) -> list[Lives]:
    """In the order that is given, then in the best one."""
    order = best_order(models.of(given))
    if order == tuple(range(len(order))):
        return [given]
    return [given, lives(given.views, order)]


def _better_copied(models: Models, plain: Lives) -> Lives:
    """Without what had better be computed than be a view: one after another, as long as that saves.

    Only views of what is live when most is can save anything.
    """
    graph, alive = plain.graph, plain
    layer, least = _peak(models, plain)
    for tensors in list(optional_views(plain.views))[:MOST_VIEWS]:
        storage = alive.storages[tensors[0]]
        if storage.first <= layer <= storage.last:
            copied = alive.views.copied.union(tensors)
            tried = lives(views(graph, copied, partly=plain.views.partly))
            at, peak = _peak(models, tried)
            if peak < least:
                alive, layer, least = tried, at, peak
    return alive


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
        op = alive.ops[layer]
        output = op.outputs[0]
        made = alive.storages[output]
        key: tuple[object, ...] = (output, op.in_place)
        if read is not None:
            tensors = activations(alive.graph, op)
            places = [
                (position, alive.offsets[t])
                for position, t in enumerate(tensors)
                if alive.storages[t] is read
            ]
            key = (*key, made.bytes, alive.offsets[output], read.bytes, *places)
        if key not in self.known:
            stages = [single(alive, layer, item) for item in self._offers(op)]
            self.known[key] = min(_extra(stage, made, read) for stage in stages)
        return self.known[key]

    def _offers(self, op: Op) -> list[Candidate]:
        offers = self.kernels.of(op)
        return list(dict.fromkeys((*offers.all, *offers.by_rows)))


def _extra(stage: Stage, made: Storage, read: Storage | None) -> int:
    working = sum(aligned(size) for _, size in stage.working_memory)
    if read is None:
        return working
    union = smallest_union(made.bytes, read.bytes, stage.apart(made, read))
    return working + union - aligned(read.bytes)
