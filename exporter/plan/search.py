"""Chooses kernels, and the layers whose rows are made in turn: little memory for little time.

A plan is a sequence of stages, and what it needs at least is the largest peak of them. For a limit
on that peak the cheapest sequence is a shortest path; the lowest limit whose path is fast enough
gives the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from exporter.errors import BadInput
from exporter.graph.ir import Graph, Op, TensorId
from exporter.ops import operator, tensor_intervals
from exporter.ops.base import Lowering, Target
from exporter.ops.candidate import Candidate
from exporter.plan.lives import Lives
from exporter.plan.rows import row_candidates
from exporter.plan.stages import Stage, group, single

LONGEST_GROUP = 12
"""Layers in a group, at most."""
MOST_GROUPS = 1500
"""Groups that are examined, those around the largest peaks first."""
DEARER = (1.25, 2.0)
"""How many times as dear as the cheapest a kernel may be that needs less memory in a group."""

LOWER = 0.997
"""The limit for the next plan, as a share of the peak of the one before."""


def cost(target: Target, candidate: Candidate) -> int:
    """Instructions and flash together, at the target's price of a byte of flash."""
    flash = target.price_of_flash * candidate.constant_bytes
    return candidate.instructions + candidate.copy_instructions + flash


def cheapest(target: Target, candidates: Sequence[Candidate]) -> Candidate:
    """The first of those that cost least."""
    return min(candidates, key=lambda item: cost(target, item))


@dataclass(frozen=True, eq=False)
class Offers:
    """What can compute a layer: every kernel, and those that make its output row by row."""

    all: tuple[Candidate, ...]
    by_rows: tuple[Candidate, ...]


class Kernels:
    """The kernels of every operator in `graph`, those too that a plan may have as views.

    Raises:
        BadInput: an int32 of some layer could overflow.
    """

    def __init__(self, graph: Graph, target: Target) -> None:
        self._graph = graph
        self._target = target
        self._bounds = tensor_intervals(graph)
        self._found: dict[tuple[TensorId, tuple[int, ...]], Offers] = {}
        for op in (part for whole in graph.ops for part in whole.parts):
            self.of(op)

    def of(self, op: Op) -> Offers:
        """Those of an operator that makes one tensor, or what is not `in_place` of it."""
        key = op.outputs[0], op.in_place
        if key not in self._found:
            context = Lowering(self._graph, op, self._bounds, self._target)
            offers = operator(op.kind).candidates(context)
            by_rows = () if op.in_place else row_candidates(context, offers)
            self._found[key] = Offers(offers, by_rows)
        return self._found[key]


class Search:
    """All stages that are considered for an order of layers, and the cheapest sequences of them."""

    def __init__(self, lives: Lives, target: Target, kernels: Kernels) -> None:
        self.lives = lives
        self.target = target
        offers = [kernels.of(op) for op in lives.ops]
        self.offers = [offer.all for offer in offers]
        self.row_offers = [offer.by_rows for offer in offers]
        self.source = _source(lives.graph) if target.input_by_rows else None

    @cached_property
    def fastest(self) -> tuple[Stage, ...]:
        """The cheapest sequence, whatever it needs; empty where the input cannot come by rows."""
        return self._path(self._all_singles, None)

    @cached_property
    def _all_singles(self) -> list[list[Stage]]:
        return [self._singles(layer) for layer in range(len(self.lives.ops))]

    def plans(self, fastest: int) -> list[tuple[Stage, ...]]:
        """Sequences of stages, each cheaper and with a larger peak than the next.

        All are within the time that the target allows over `fastest`, instructions.
        """
        allowed = fastest * (1 + self.target.ram_for_time / 100)
        plans = [self.fastest] if instructions(self.fastest) <= allowed else []
        if self.target.ram_for_time > 0:
            singles = self._all_singles
            stages = [*singles, *([stage] for stage in self._groups(singles))]
            limit = peak_bytes(self.fastest)
            while path := self._path(stages, limit):
                if instructions(path) > allowed:
                    break
                plans.append(path)
                limit = min(peak_bytes(path) - 1, int(peak_bytes(path) * LOWER))
        return plans

    def _singles(self, layer: int) -> list[Stage]:
        """A layer by itself, with each kernel that is cheaper or needs less than the others."""
        if layer == 0 and self.source is not None:
            rows = (group(self.lives, {0: c}, self.source) for c in self.row_offers[0])
            stages = [stage for stage in rows if stage is not None]
        else:
            offers = dict.fromkeys((*self.offers[layer], *self.row_offers[layer]))
            stages = [single(self.lives, layer, candidate) for candidate in offers]
        stages.sort(key=lambda stage: (self._cost(stage), stage.peak_bytes))
        kept: list[Stage] = []
        for stage in stages:
            if not kept or stage.peak_bytes < kept[-1].peak_bytes:
                kept.append(stage)
        return kept

    def _groups(self, singles: Sequence[Sequence[Stage]]) -> Iterator[Stage]:
        """Groups around the layers with the largest peaks, each with some sets of kernels."""
        peaks = [min(stage.peak_bytes for stage in options) for options in singles]
        intervals = [
            (first, last)
            for first in range(len(singles))
            for last in range(first + 1, min(first + LONGEST_GROUP, len(singles)))
            if all(self.row_offers[first : last + 1])
        ]
        intervals.sort(key=lambda ends: -max(peaks[ends[0] : ends[1] + 1]))
        for first, last in intervals[:MOST_GROUPS]:
            layers = range(first, last + 1)
            source = self.source if first == 0 else None
            fast = group(self.lives, {i: self._fastest(i) for i in layers}, source)
            if fast is not None:
                yield fast
                for limit in DEARER:
                    small = {i: self._smallest(i, limit) for i in layers}
                    stage = group(self.lives, small, source)
                    assert stage is not None
                    yield stage

    def _fastest(self, layer: int) -> Candidate:
        return cheapest(self.target, self.row_offers[layer])

    def _smallest(self, layer: int, limit: float) -> Candidate:
        """Of those at most `limit` times as dear as the cheapest, the one with the least memory."""
        offers = self.row_offers[layer]
        most = cost(self.target, self._fastest(layer)) * limit
        return min(
            (item for item in offers if cost(self.target, item) <= most),
            key=lambda item: (_working_bytes(item), cost(self.target, item)),
        )

    def _path(self, stages: Sequence[Sequence[Stage]], limit: int | None) -> tuple[Stage, ...]:
        """The cheapest sequence of stages whose peaks are within `limit`; empty: there is none."""
        count = len(self.lives.ops)
        ending: list[list[Stage]] = [[] for _ in range(count)]
        for options in stages:
            for stage in options:
                if limit is None or stage.peak_bytes <= limit:
                    ending[stage.last].append(stage)
        best: list[tuple[int, int, Stage | None] | None] = [(0, 0, None)]
        for last in range(count):
            ways = [
                (before[0] + self._cost(stage), max(before[1], stage.peak_bytes), stage)
                for stage in ending[last]
                if (before := best[stage.first]) is not None
            ]
            best.append(min(ways, key=lambda way: way[:2], default=None))
        return _traced(best)

    def _cost(self, stage: Stage) -> int:
        return stage.instructions + self.target.price_of_flash * stage.constant_bytes


def _source(graph: Graph) -> TensorId:
    """The input that the application gives row by row. Raises BadInput where there is none."""
    (first, *others) = graph.inputs
    shape = graph[first].shape
    if others or len(shape) != 4 or shape[0] != 1 or shape[1] == 1 or first in graph.outputs:
        raise no_rows(graph)
    return first


def no_rows(graph: Graph) -> BadInput:
    """The error for a model whose input cannot come by rows."""
    shapes = ", ".join(str(list(graph[tensor].shape)) for tensor in graph.inputs)
    return BadInput(
        "the input of this model cannot be given by rows",
        value=f"input {shapes}",
        allowed="one input, an image [1,H,W,C], that only the first layer or those made in turn "
        "with it read, row by row",
        next_step="leave out --input-by-rows",
    )


def _traced(best: Sequence[tuple[int, int, Stage | None] | None]) -> tuple[Stage, ...]:
    path: list[Stage] = []
    at = len(best) - 1
    while at > 0:
        way = best[at]
        if way is None or way[2] is None:
            return ()
        path.append(way[2])
        at = way[2].first
    return tuple(reversed(path))


def instructions(stages: Sequence[Stage]) -> int:
    """Estimate for one inference."""
    return sum(stage.instructions for stage in stages)


def peak_bytes(stages: Sequence[Stage]) -> int:
    """The least that an arena for all of them needs."""
    return max((stage.peak_bytes for stage in stages), default=0)


def _working_bytes(candidate: Candidate) -> int:
    ring = candidate.ring.bytes if candidate.ring else 0
    rows = candidate.rows_per_call * candidate.output.bytes
    if candidate.window is not None and candidate.ring is None:
        rows += candidate.input_rows * candidate.inputs[0].bytes
    return candidate.scratch_bytes + ring + rows
