"""The allocator: nothing live together overlaps, offsets are aligned, results repeat."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.plan.arena import ALIGNMENT_BYTES, Request, allocate

_request = st.tuples(st.integers(0, 300), st.integers(-1, 12), st.integers(0, 6))
_requests = st.lists(_request, max_size=25).map(
    lambda items: [
        Request(f"r{number}", size, first, first + length)
        for number, (size, first, length) in enumerate(items)
    ]
)


@settings(max_examples=300, deadline=None)
@given(_requests)
def test_what_lives_together_is_apart(requests: list[Request]) -> None:
    offsets, _ = allocate(requests)
    for a, b in combinations(requests, 2):
        if a.overlaps(b) and a.bytes and b.bytes:
            first, second = sorted((a, b), key=lambda request: offsets[request.name])
            assert offsets[first.name] + first.bytes <= offsets[second.name]


@settings(max_examples=200, deadline=None)
@given(_requests)
def test_offsets_are_aligned_and_inside(requests: list[Request]) -> None:
    offsets, total = allocate(requests)
    assert offsets.keys() == {request.name for request in requests}
    assert all(offset >= 0 and offset % ALIGNMENT_BYTES == 0 for offset in offsets.values())
    assert total == max((offsets[r.name] + r.bytes for r in requests), default=0)


@settings(max_examples=200, deadline=None)
@given(_requests)
def test_the_arena_is_between_the_peak_and_the_sum(requests: list[Request]) -> None:
    _, total = allocate(requests)
    steps = range(-1, 20)
    peak = max(sum(r.bytes for r in requests if r.first <= step <= r.last) for step in steps)
    padded = sum(-(-r.bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES for r in requests)
    assert peak <= total <= padded


@settings(max_examples=100, deadline=None)
@given(_requests)
def test_deterministic(requests: list[Request]) -> None:
    assert allocate(requests) == allocate(list(requests))


def test_both_ends_of_a_lifetime_count() -> None:
    assert Request("a", 1, 0, 2).overlaps(Request("b", 1, 2, 3))
    assert not Request("a", 1, 0, 1).overlaps(Request("b", 1, 2, 3))


def test_memory_is_used_again() -> None:
    requests = [Request("a", 100, 0, 1), Request("b", 60, 1, 2), Request("c", 100, 2, 3)]
    offsets, total = allocate(requests)
    assert total == 160 and offsets["a"] == offsets["c"]


def test_nothing_needs_nothing() -> None:
    assert allocate([]) == ({}, 0)
