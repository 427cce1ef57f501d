"""Layers that make their rows in turn: the order of their calls, and the rows that must exist."""

from __future__ import annotations

from exporter.ops.candidate import Candidate, Ring, Rows, Window
from exporter.plan.streams import row_order, slots

ROW_BYTES = 8


def layer(height: int, size: int, *, stride: int = 1, rows_per_call: int = 1) -> Candidate:
    """A window of `size` rows, padded so that the output has height / stride rows."""
    before = (size - 1) // 2
    output = -(-height // stride)
    return Candidate(
        kernel="k", name="k", inputs=(Rows(height, ROW_BYTES),), output=Rows(output, ROW_BYTES),
        window=Window(size, stride, 1, before), rows_per_call=rows_per_call,
    )  # fmt: skip


def test_each_layer_runs_as_late_as_it_can() -> None:
    """Two 3x3 layers over four rows: the second needs one row more than it has made."""
    candidates = {0: layer(4, 3), 1: layer(4, 3)}
    order = row_order(candidates, {(1, 0): 0}, whole=[1])
    assert [number for number, _ in order] == [0, 0, 1, 0, 1, 0, 1, 1]
    assert [call for number, call in order if number == 0] == [0, 1, 2, 3]


def test_no_row_is_made_that_nobody_reads() -> None:
    """A 1x1 layer of stride 2 reads every second row: the last is never made."""
    candidates = {0: layer(4, 3), 1: layer(4, 1, stride=2)}
    order = row_order(candidates, {(1, 0): 0}, whole=[1])
    assert order == ((0, 0), (1, 0), (0, 1), (0, 2), (1, 1))


def test_rows_that_must_exist_together() -> None:
    for rows_per_call, expected in ((1, 3), (2, 4), (4, 6)):
        candidates = {0: layer(12, 3), 1: layer(12, 3, rows_per_call=rows_per_call)}
        order = row_order(candidates, {(1, 0): 0}, whole=[1])
        assert slots(order, candidates, 0, {1: 0}, None) == expected


def test_a_producer_of_many_rows_needs_room_for_them() -> None:
    candidates = {0: layer(12, 3, rows_per_call=4), 1: layer(12, 3)}
    order = row_order(candidates, {(1, 0): 0}, whole=[1])
    assert slots(order, candidates, 0, {1: 0}, None) == 6  # 2 that are still read, and 4


def test_a_later_reader_keeps_rows() -> None:
    """A residual block: what is added is read two rows after the first layer has read it."""
    addition = Candidate(
        kernel="k", name="k", inputs=(Rows(8, ROW_BYTES), Rows(8, ROW_BYTES)),
        output=Rows(8, ROW_BYTES),
    )  # fmt: skip
    candidates = {0: layer(8, 1), 1: layer(8, 3), 2: layer(8, 3), 3: addition}
    producers = {(1, 0): 0, (2, 0): 1, (3, 0): 2, (3, 1): 0}
    order = row_order(candidates, producers, whole=[3])
    assert slots(order, candidates, 0, {1: 0, 3: 1}, None) == 3
    assert slots(order, candidates, 2, {3: 0}, None) == 1


def test_rows_outside_the_image_are_in_the_ring_of_their_reader() -> None:
    """Over two rows a padded 3x3 window needs all three slots, one of them for padding."""
    ring = Ring(slots=3, pitch_bytes=16, margin_bytes=4, fill=0)
    padded = layer(2, 3)
    padded = Candidate(
        kernel="k", name="k", inputs=padded.inputs, output=padded.output, window=padded.window,
        ring=ring,
    )  # fmt: skip
    candidates = {0: layer(2, 1), 1: padded}
    order = row_order(candidates, {(1, 0): 0}, whole=[1])
    assert slots(order, candidates, 0, {1: 0}, 1) == 3
    assert slots(order, candidates, 0, {1: 0}, None) == 2  # copied: its ring has the padding
