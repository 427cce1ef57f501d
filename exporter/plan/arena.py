"""Gives buffers with known lifetimes offsets in one arena, as low as it can.

Each strategy is first fit over a different order; the best result is kept. First fit by decreasing
size is what TFLite Micro does (`GreedyMemoryPlanner`); the other orders win on networks whose large
buffers live briefly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALIGNMENT_BYTES = 4


@dataclass(frozen=True)
class Request:
    """`bytes` needed from step `first` to step `last`, both inclusive."""

    name: str
    bytes: int
    first: int
    last: int

    def overlaps(self, other: Request) -> bool:
        return self.first <= other.last and other.first <= self.last


Order = Callable[[Request], tuple[int, ...]]

ORDERS: tuple[Order, ...] = (
    lambda request: (-request.bytes, request.first),
    lambda request: (-request.bytes * (request.last - request.first + 1), request.first),
    lambda request: (request.first, -request.bytes),
    lambda request: (-request.last, -request.bytes),
    lambda request: (request.first - request.last, -request.bytes),
)


def allocate(requests: Sequence[Request]) -> tuple[dict[str, int], int]:
    """Offsets by name, and the arena's size in bytes. Deterministic."""
    placements = (_first_fit(sorted(requests, key=order)) for order in ORDERS)
    return min(placements, key=lambda placement: placement[1])


def _first_fit(requests: Sequence[Request]) -> tuple[dict[str, int], int]:
    offsets: dict[str, int] = {}
    placed: list[Request] = []
    for request in requests:
        taken = sorted(
            (offsets[other.name], offsets[other.name] + other.bytes)
            for other in placed
            if request.overlaps(other)
        )
        offsets[request.name] = _lowest_gap(taken, request.bytes)
        placed.append(request)
    return offsets, max((offsets[r.name] + r.bytes for r in requests), default=0)


def _lowest_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The lowest aligned offset where `size` bytes fit between the ranges `taken`, sorted."""
    offset = 0
    for start, end in taken:
        if offset + size <= start:
            break
        offset = max(offset, -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES)
    return offset
