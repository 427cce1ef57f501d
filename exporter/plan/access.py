"""What the calls of kernels read and write, in the order in which they do.

A call is `(layer, number)`: the number counts the calls of a layer over all images of the batch.
Bytes are those of a tensor that is stored as a whole, from its first one on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from exporter.ops.candidate import Candidate

Call = tuple[int, int]
Int64Array = npt.NDArray[np.int64]
Interval = tuple[int, int]
"""Open: the integers between its ends."""

NEVER = 1 << 40
"""Beyond all offsets: where what is not read begins, and what is not written ends."""


def written_rows(candidate: Candidate, call: int) -> range:
    """The output rows that a call makes."""
    first = call * candidate.rows_per_call
    return range(first, min(first + candidate.rows_per_call, candidate.output.count))


def window_rows(candidate: Candidate, call: int) -> range:
    """The input rows that a call of a row kernel is given; some may be outside the image."""
    assert candidate.window is not None
    window = candidate.window
    top = call * candidate.rows_per_call * window.stride - window.before
    return range(top, top + candidate.input_rows)


def brought_rows(candidate: Candidate, call: int) -> range:
    """The rows among `window_rows` that the calls before were not given."""
    rows = window_rows(candidate, call)
    if call == 0:
        return rows
    return range(max(rows.start, window_rows(candidate, call - 1).stop), rows.stop)


def needed_rows(candidate: Candidate, position: int, call: int) -> range:
    """The rows of input `position` that a call needs, all inside the image."""
    count = candidate.inputs[position].count
    if candidate.window is not None:
        rows = window_rows(candidate, call)
        return range(max(rows.start, 0), min(rows.stop, count))
    return range(call, call + 1) if count == candidate.output.count > 1 else range(count)


def read_rows(candidate: Candidate, position: int, call: int) -> range:
    """The rows of input `position` that are read during a call: a ring keeps those of before."""
    rows = needed_rows(candidate, position, call)
    if candidate.ring is None:
        return rows
    brought = brought_rows(candidate, call)
    return range(max(brought.start, 0), min(brought.stop, rows.stop))


@dataclass(frozen=True, eq=False)
class _Spans:
    """Successive accesses: bytes [low, high) read and written; `reads_first`: in this order."""

    read_low: Int64Array
    read_high: Int64Array
    write_low: Int64Array
    write_high: Int64Array
    reads_first: npt.NDArray[np.bool_]


def forbidden(
    candidates: Mapping[int, Candidate],
    order: Sequence[Call],
    readers: Mapping[int, int],
    writer: int,
) -> tuple[Interval, ...]:
    """Where an input that dies may not begin, in bytes after the beginning of the output.

    `readers`: the layers that read this input, and as which of theirs; `writer`: the layer that
    makes the output. Elsewhere, what is written over the input was read before, for the calls in
    this `order`.
    """
    spans = _concatenated(
        _call_spans(candidates[layer], number, readers.get(layer), layer == writer)
        for layer, number in order
        if layer in readers or layer == writer
    )
    low, high = _limits(spans)
    if low >= high:
        return ()
    only = candidates[writer]
    if not only.by_channels or len(candidates) > 1 or only.window is None or only.images > 1:
        return ((low, high),)
    return _without_whole_rows(only, spans, (low, high))


@lru_cache(maxsize=20_000)
def forbidden_alone(candidate: Candidate, position: int, backward: bool) -> tuple[Interval, ...]:
    """`forbidden` for a layer by itself and its input `position`; `backward`: the last row first.

    The same in every plan that the search looks at, so it is found once.
    """
    calls = [(0, number) for number in range(candidate.images * candidate.calls)]
    return forbidden({0: candidate}, calls[::-1] if backward else calls, {0: position}, 0)


def _call_spans(
    candidate: Candidate, number: int, position: int | None, writes: bool
) -> tuple[Int64Array, ...]:
    """Of one call: by tiles where the kernel moves along its rows, else as a whole."""
    image, call = divmod(number, candidate.calls)
    output, rows = candidate.output, written_rows(candidate, call)
    start = (image * output.count + rows.start) * output.bytes
    read, written = (NEVER, -NEVER), (NEVER, -NEVER)
    if writes:
        written = (start, start + len(rows) * output.bytes)
    if position is not None:
        source, needed = candidate.inputs[position], read_rows(candidate, position, call)
        first = (image * source.count + needed.start) * source.bytes
        if writes and _moves_along(candidate, position):
            return _tile_spans(candidate, first, start)
        if len(needed):
            read = (first, first + len(needed) * source.bytes)
    reads_first = np.array([candidate.ring is not None])
    return (*(np.array([value]) for value in (*read, *written)), reads_first)


def _moves_along(candidate: Candidate, position: int) -> bool:
    tiling = candidate.tiling
    if tiling is None or candidate.ring is not None:
        return False
    same_rows = candidate.inputs[position].bytes == tiling.pixels * tiling.input_bytes
    return same_rows and candidate.output.bytes == tiling.pixels * tiling.output_bytes


def _tile_spans(candidate: Candidate, first: int, start: int) -> tuple[Int64Array, ...]:
    tiling = candidate.tiling
    assert tiling is not None
    starts, ends = tiling.tiles()
    return (
        first + starts * tiling.input_bytes,
        first + ends * tiling.input_bytes,
        start + starts * tiling.output_bytes,
        start + ends * tiling.output_bytes,
        np.full(len(starts), tiling.reads_first),
    )


def _concatenated(calls: Iterable[tuple[Int64Array, ...]]) -> _Spans:
    return _Spans(*(np.concatenate(column) for column in zip(*calls, strict=True)))


def _limits(spans: _Spans) -> Interval:
    """The output ends below what is yet to be read, or begins above it; between is forbidden."""
    lowest = np.minimum.accumulate(spans.read_low[::-1])[::-1]
    highest = np.maximum.accumulate(spans.read_high[::-1])[::-1]
    later_lowest = np.where(spans.reads_first, np.append(lowest[1:], NEVER), lowest)
    later_highest = np.where(spans.reads_first, np.append(highest[1:], -NEVER), highest)
    above = int(np.max(spans.write_high - later_lowest))
    below = int(np.max(later_highest - spans.write_low))
    return -below, above


def _without_whole_rows(
    candidate: Candidate, spans: _Spans, limits: Interval
) -> tuple[Interval, ...]:
    """`limits` without the distances at which output rows lie exactly on input rows of the call."""
    row = candidate.output.bytes
    if candidate.inputs[0].bytes != row:
        return (limits,)
    calls_read_first = _Spans(
        spans.read_low,
        spans.read_high,
        spans.write_low,
        spans.write_high,
        np.ones_like(spans.reads_first),
    )
    low, high = _limits(calls_read_first)
    rows = range(-(-limits[0] // row) * row, limits[1], row)
    allowed = [distance for distance in rows if not low < distance < high]
    ends = [limits[0], *allowed, limits[1]]
    return tuple((a, b) for a, b in pairwise(ends) if b - a > 1)
