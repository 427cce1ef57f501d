"""Where an output may lie over its input: compared with trying every distance, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.ops.candidate import Candidate, Ring, Rows, Tiling, Window
from exporter.plan.access import forbidden, read_rows, written_rows

Access = tuple[str, int, int]
"""`read` or `write`, and the bytes from the first to one past the last."""


@st.composite
def row_kernels(draw: st.DrawFn) -> Candidate:
    """Any window over a few short rows, with a ring or without."""
    size, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    before, rows = draw(st.integers(0, size - 1)), draw(st.integers(1, 9))
    output = max(1, -(-rows // stride) - draw(st.integers(0, 1)))
    ring = draw(st.sampled_from([None, Ring(16, 16, 0, 0)]))
    source, made = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    return Candidate(
        kernel="k", name="k", inputs=(Rows(rows, source),), output=Rows(output, made),
        window=Window(size, stride, 1, before), ring=ring,
        rows_per_call=draw(st.integers(1, 3)), images=1,
    )  # fmt: skip


@st.composite
def moving_kernels(draw: st.DrawFn) -> Candidate:
    """Whole kernels, and row by row, that go from tile to tile."""
    pixels, count = draw(st.integers(1, 11)), draw(st.integers(1, 3))
    tiling = Tiling(
        pixels,
        draw(st.integers(1, 4)),
        draw(st.integers(1, 4)),
        draw(st.integers(1, min(4, pixels))),
        draw(st.booleans()),
        draw(st.booleans()),
    )
    return Candidate(
        kernel="k", name="k", inputs=(Rows(count, pixels * tiling.input_bytes),),
        output=Rows(count, pixels * tiling.output_bytes), tiling=tiling,
    )  # fmt: skip


def accesses(candidate: Candidate, order: Sequence[int]) -> Iterator[list[Access]]:
    """What may happen in any order, one group after another."""
    for call in order:
        rows, read = written_rows(candidate, call), read_rows(candidate, 0, call)
        source, output = candidate.inputs[0].bytes, candidate.output.bytes
        reads = [("read", row * source, (row + 1) * source) for row in read]
        writes = [("write", row * output, (row + 1) * output) for row in rows]
        if candidate.tiling is not None:
            yield from _tiles(candidate.tiling, rows[0] * source, rows[0] * output)
        elif candidate.ring is not None:
            yield from (reads, writes)
        else:
            yield [*reads, *writes]


def _tiles(tiling: Tiling, source: int, output: int) -> Iterator[list[Access]]:
    for start, end in zip(*tiling.tiles(), strict=True):
        low, high = int(start), int(end)
        read = ("read", source + low * tiling.input_bytes, source + high * tiling.input_bytes)
        write = ("write", output + low * tiling.output_bytes, output + high * tiling.output_bytes)
        yield from ([[read], [write]] if tiling.reads_first else [[read, write]])


def is_safe(candidate: Candidate, order: Sequence[int], distance: int) -> bool:
    """Whether nothing is read of the input that was, or may have been, written over.

    `distance`: from the beginning of the output to that of the input.
    """
    written = np.zeros(600, bool)
    base = 300
    for together in accesses(candidate, order):
        for kind, low, high in together:
            if kind == "write":
                written[base + low : base + high] = True
        for kind, low, high in together:
            if kind == "read" and written[base + distance + low : base + distance + high].any():
                return False
    return True


@settings(max_examples=300, deadline=None)
@given(st.one_of(row_kernels(), moving_kernels()), st.booleans())
def test_what_is_allowed_is_safe_and_the_limits_are_tight(
    candidate: Candidate, backward: bool
) -> None:
    order = list(range(candidate.calls))
    if backward and candidate.ring is None:
        order.reverse()
    intervals = forbidden({0: candidate}, [(0, call) for call in order], {0: 0}, 0)
    safe = {distance for distance in range(-120, 121) if is_safe(candidate, order, distance)}
    assert all(
        any(low < d < high for low, high in intervals) for d in range(-120, 121) if d not in safe
    )
    for low, high in intervals:
        if high - low > 1:
            assert low + 1 not in safe and high - 1 not in safe


@pytest.mark.parametrize("row_bytes", [4, 8])
def test_kernels_by_channels_may_write_on_the_row_above(row_bytes: int) -> None:
    """A 3x3 window: one row ahead is enough, and no distance that is not a whole row."""
    candidate = Candidate(
        kernel="k", name="k", inputs=(Rows(6, row_bytes),), output=Rows(6, row_bytes),
        window=Window(3, 1, 1, 1), rows_per_call=2, by_channels=True,
    )  # fmt: skip
    intervals = forbidden({0: candidate}, [(0, call) for call in range(3)], {0: 0}, 0)

    def is_allowed(distance: int) -> bool:
        return not any(low < distance < high for low, high in intervals)

    assert is_allowed(row_bytes) and is_allowed(2 * row_bytes) and is_allowed(3 * row_bytes)
    assert not any(is_allowed(distance) for distance in range(row_bytes))
    assert not is_allowed(row_bytes + 1)
