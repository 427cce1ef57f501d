"""Gives buffers with known lifetimes offsets in one arena, as low as it can.

First fit over several orders, then over variations of each, the best one first, until the arena is
as small as the largest sum of what is live together, or the variations are used up. Few buffers are
then placed from the lowest up in every way that could be smaller. First fit by decreasing size is
what TFLite Micro does (`GreedyMemoryPlanner`). Two buffers that meet in one step may overlap at
some distances: an output over the input that is consumed while it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exporter.plan.access import Interval

ALIGNMENT_BYTES = 4
VARIATIONS = (400, 200, 200, 200, 200)
"""Of the best order, the second best and so on; fewer for many buffers, so that the time stays
bounded.
"""
MOST_COMPARISONS = 2_000_000
FEW = 12
"""Buffers whose places are searched exactly; more of them are never done in time."""
MOST_PLACES = 5_000
"""Places that the exact search tries, at most."""


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
Placement = tuple[dict[str, int], int]
Forbidden = Mapping[tuple[str, str], Sequence[Interval]]
"""By (a, b): the distances, bytes from the beginning of a to that of b, that are not allowed."""

ORDERS: tuple[Order, ...] = (
    lambda request: (-request.bytes, request.first),
    lambda request: (-request.bytes * (request.last - request.first + 1), request.first),
    lambda request: (request.first, -request.bytes),
    lambda request: (-request.last, -request.bytes),
    lambda request: (request.first - request.last, -request.bytes),
)


def allocate(
    requests: Sequence[Request], forbidden: Forbidden | None = None, floor: int = 0
) -> Placement:
    """Offsets by name, and the arena's size in bytes. Deterministic.

    `forbidden`: for pairs that may overlap, at which distances they may not; other pairs that live
    at one time never overlap. `floor`: a size that cannot be beaten.
    """
    distances = _Distances(requests, forbidden or {})
    orders = [sorted(range(len(requests)), key=lambda i: order(requests[i])) for order in ORDERS]
    orders.sort(key=lambda order: distances.first_fit(order)[1])
    offsets, size = distances.first_fit(orders[0])
    left = MOST_COMPARISONS // len(requests) ** 2 if len(requests) > 1 else 0
    rng = np.random.default_rng(len(requests))
    for order, most in zip(orders, VARIATIONS, strict=True):
        variations = min(most, left)
        if size <= floor or not variations:
            break
        left -= variations
        found = _local_search(distances, order, floor, variations, rng)
        if found[1] < size:
            offsets, size = found
    if floor < size and len(requests) <= FEW:
        offsets, size = distances.exhaustive(offsets, size, floor)
    return {requests[i].name: offset for i, offset in offsets.items()}, size


def _local_search(
    distances: _Distances,
    order: list[int],
    floor: int,
    variations: int,
    rng: np.random.Generator,
) -> tuple[dict[int, int], int]:
    """First fit in `order`, and in variations of it that are no worse."""
    offsets, size = distances.first_fit(order)
    for _ in range(variations):
        if size <= floor:
            break
        varied = _varied(order, offsets, distances.requests, size, rng)
        tried = distances.first_fit(varied)
        if tried[1] <= size:
            (offsets, size), order = tried, varied
    return offsets, size


def _varied(
    order: list[int],
    offsets: Mapping[int, int],
    requests: Sequence[Request],
    size: int,
    rng: np.random.Generator,
) -> list[int]:
    """A buffer that reaches the top, or one that lives with it, earlier; now and then any one."""
    top = [i for i in order if offsets[i] + requests[i].bytes == size]
    chosen = int(rng.choice(top if top and rng.random() < 0.6 else order))
    beside = [i for i in order if i != chosen and requests[i].overlaps(requests[chosen])]
    other = int(rng.choice(beside or order))
    varied = [i for i in order if i != chosen]
    varied.insert(varied.index(other) if other != chosen else 0, chosen)
    return varied


class _Distances:
    """Which distances between two buffers are allowed, for first fit in any order."""

    def __init__(self, requests: Sequence[Request], forbidden: Forbidden) -> None:
        self.requests = requests
        self.apart: list[list[tuple[int, int, int]]] = [
            [
                (j, low, high)
                for j, other in enumerate(requests)
                if j != i and request.first <= other.last and other.first <= request.last
                for low, high in _between(other, request, forbidden)
            ]
            for i, request in enumerate(requests)
        ]

    def first_fit(self, order: Sequence[int]) -> tuple[dict[int, int], int]:
        """Each buffer at the lowest offset that those before it allow."""
        offsets: dict[int, int] = {}
        size = 0
        for i in order:
            offsets[i] = self._place(i, offsets)
            size = max(size, offsets[i] + self.requests[i].bytes)
        return offsets, size

    def exhaustive(
        self, offsets: dict[int, int], size: int, floor: int
    ) -> tuple[dict[int, int], int]:
        """`offsets`, or smaller ones: each buffer as low as it can, in every order from below up.

        Some such order gives the smallest arena where nothing may overlap. `floor` ends the search.
        """
        best, left = (offsets, size), MOST_PLACES
        largest = sorted(range(len(self.requests)), key=lambda i: -self.requests[i].bytes)
        placed: dict[int, int] = {}

        def extend(lowest: int) -> None:
            nonlocal best, left
            if len(placed) == len(largest):
                ends = [placed[i] + self.requests[i].bytes for i in placed]
                best = dict(placed), max(ends)
            for i in largest:
                if i in placed:
                    continue
                offset = self._place(i, placed)
                if left == 0 or best[1] <= floor or offset + self.requests[i].bytes >= best[1]:
                    return  # nor does `i` fit later
                if offset >= lowest:
                    placed[i], left = offset, left - 1
                    extend(offset)
                    del placed[i]

        extend(0)
        return best

    def _place(self, i: int, offsets: Mapping[int, int]) -> int:
        """The lowest offset of buffer `i` that those in `offsets` allow."""
        taken = [
            (offsets[j] + low, offsets[j] + high) for j, low, high in self.apart[i] if j in offsets
        ]
        taken.sort()
        return _lowest(taken)


def aligned(size: int) -> int:
    """`size` bytes up to the next word."""
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _between(a: Request, b: Request, forbidden: Forbidden) -> tuple[Interval, ...]:
    """The distances from `a` to `b` that are not allowed."""
    if (a.name, b.name) in forbidden:
        return tuple(forbidden[a.name, b.name])
    if (b.name, a.name) in forbidden:
        return tuple((-high, -low) for low, high in forbidden[b.name, a.name])
    return ((-b.bytes, a.bytes),)


def _lowest(taken: Sequence[Interval]) -> int:
    """The lowest aligned offset outside the open intervals `taken`, sorted."""
    offset = 0
    for low, high in taken:
        if low < offset < high:
            offset = aligned(high)
    return offset
