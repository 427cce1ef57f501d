"""Frames: both sides agree on any bytes, in any portions, and accept nothing that is damaged."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.link import frames
from tests.link.c_frames import CAPACITY, CFrames

BODIES = st.binary(max_size=700) | st.integers(240, 520).map(lambda n: b"\x07" * n)
QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICK
@given(body=BODIES)
def test_python_and_c_encode_alike(c_frames: CFrames, body: bytes) -> None:
    assert c_frames.encode(body) == frames.encode(body)


@QUICK
@given(bodies=st.lists(BODIES, max_size=4), cuts=st.lists(st.integers(0, 3000), max_size=8))
def test_frames_survive_any_splitting(
    c_frames: CFrames, bodies: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(frames.encode(body) for body in bodies)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    decoder = frames.Decoder()
    got = [
        body for start, end in itertools.pairwise(edges) for body in decoder.feed(stream[start:end])
    ]
    assert got == bodies
    assert c_frames.decode(stream) == bodies


@QUICK
@given(garbage=st.binary(max_size=600), body=BODIES)
def test_a_frame_behind_garbage_is_found_and_both_decoders_agree(
    c_frames: CFrames, garbage: bytes, body: bytes
) -> None:
    c_frames.reset()
    decoder = frames.Decoder()
    stream = garbage + frames.encode(body)
    from_python = decoder.feed(stream)
    assert from_python[-1] == body
    assert c_frames.decode(stream) == from_python


@QUICK
@given(body=st.binary(min_size=1, max_size=300), data=st.data())
def test_a_flipped_bit_is_never_accepted(
    c_frames: CFrames, body: bytes, data: st.DataObject
) -> None:
    frame = bytearray(frames.encode(body))
    place = data.draw(st.integers(1, len(frame) - 2))
    frame[place] ^= 1 << data.draw(st.integers(0, 7))
    c_frames.reset()
    assert body not in frames.Decoder().feed(bytes(frame))
    assert body not in c_frames.decode(bytes(frame))


def test_a_body_that_is_too_long_is_counted_and_the_next_one_found(c_frames: CFrames) -> None:
    stream = frames.encode(bytes(CAPACITY)) + frames.encode(b"next")
    assert c_frames.decode(stream) == [b"next"]
    assert c_frames.bad_frames == 1


@pytest.mark.parametrize("size", [CAPACITY - 4, CAPACITY - 5])
def test_a_body_that_just_fits(c_frames: CFrames, size: int) -> None:
    assert c_frames.decode(frames.encode(b"x" * size)) == [b"x" * size]


def test_python_bounds_what_it_keeps() -> None:
    decoder = frames.Decoder()
    for _ in range(100):
        assert decoder.feed(b"x" * 1000) == []
    assert len(decoder._pending) < 40_000
    assert decoder.feed(b"\0" + frames.encode(b"next")) == [b"next"]
    assert decoder.bad_frames == 1


def test_idle_delimiters_are_no_frames(c_frames: CFrames) -> None:
    assert c_frames.decode(bytes(10)) == [] and c_frames.bad_frames == 0
