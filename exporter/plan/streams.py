"""Layers that make their rows in turn, so that only a few rows of what is between them exist.

The last layer asks for the rows that its next call needs, and so on up to the first: every layer
runs as late as it can. The order is found here, once; the generated code follows it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from exporter.ops.candidate import Candidate
from exporter.plan.access import (
    Call,
    brought_rows,
    needed_rows,
    read_rows,
    window_rows,
    written_rows,
)

Producers = Mapping[tuple[int, int], int]
"""By (layer, position of the input): the layer of the group that makes this input."""


def row_order(
    candidates: Mapping[int, Candidate], producers: Producers, whole: Collection[int]
) -> tuple[Call, ...]:
    """The calls of a group of layers, in order. `whole`: layers that make all of their rows."""
    order: list[Call] = []
    made = dict.fromkeys(candidates, 0)

    def make(layer: int, rows: int) -> None:
        """Calls of `layer` until it has made `rows` rows."""
        candidate = candidates[layer]
        while made[layer] * candidate.rows_per_call < min(rows, candidate.output.count):
            call = made[layer]
            for position in range(len(candidate.inputs)):
                if (layer, position) in producers:
                    needed = needed_rows(candidate, position, call)
                    make(producers[layer, position], needed.stop if needed else 0)
            order.append((layer, call))
            made[layer] += 1

    for layer in sorted(whole, reverse=True):
        make(layer, candidates[layer].output.count)
    return tuple(order)


def slots(
    order: Sequence[Call],
    candidates: Mapping[int, Candidate],
    producer: int,
    readers: Mapping[int, int],
    owner: int | None,
) -> int:
    """Rows of `producer`'s output that must exist together.

    `readers`: the layers that read it, and as which of their inputs; `owner`: the one whose padding
    is in the same ring, and which puts the rows outside the image there.
    """
    last_needed = _last_needs(order, candidates, readers, owner)
    needed_later = _least_after(last_needed, len(order))
    most = 0
    for time, (layer, call) in enumerate(order):
        written: range = range(0)
        if layer == producer:
            written = written_rows(candidates[layer], call)
        elif layer == owner:
            written = brought_rows(candidates[layer], call)
        if len(written):
            most = max(most, written.stop - min(needed_later[time], written.start))
    return most


def _last_needs(
    order: Sequence[Call],
    candidates: Mapping[int, Candidate],
    readers: Mapping[int, int],
    owner: int | None,
) -> list[int | None]:
    """For each call, the first row that it reads, or None."""
    first: list[int | None] = []
    for layer, call in order:
        rows = range(0)
        if layer in readers:
            candidate, position = candidates[layer], readers[layer]
            if layer == owner:
                rows = window_rows(candidate, call)
            else:
                rows = read_rows(candidate, position, call)
        first.append(rows.start if len(rows) else None)
    return first


def _least_after(rows: Sequence[int | None], count: int) -> list[int]:
    """For each time, the least row that is read then or later."""
    least = 1 << 40
    result = [0] * count
    for time in reversed(range(count)):
        row = rows[time]
        least = least if row is None else min(least, row)
        result[time] = least
    return result
