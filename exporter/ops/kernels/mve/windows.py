"""The micro-kernels under pooling and MEAN with Helium: windows of one row after another."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.ops.candidate import MicroKernel

MOST_POSITIONS = 256
"""The sum of as many int8 fits an int16 lane."""

LANES = 16
"""Channels at a time; of fewer, a sum takes 8."""

FINISH = {"max": 2, "average": 18, "mean": 34}
"""Instructions from sixteen accumulators to outputs."""


def micro_kernel(operation: str, depth: int) -> MicroKernel:
    """What makes windows of `depth` channels their `max`, `average` or `mean`."""
    tail = depth < LANES
    name = f"windows_{operation}{'_tail' if tail else ''}"
    if operation == "max":
        return MicroKernel("mve/micro/windows_max", name, (("tail", tail),))
    params = (("tail", tail), ("average", operation == "average"))
    return MicroKernel("mve/micro/windows_sum", name, params)


def instructions(operation: str, depth: int, heights: Sequence[int], widths: Sequence[int]) -> int:
    """Of the micro-kernel's loops over windows of all these heights by all these widths."""
    tail, is_max = depth < LANES, operation == "max"
    count, positions = len(heights) * len(widths), sum(heights) * sum(widths)
    rows = sum(heights) * len(widths)
    if tail:
        blocks = 1 if is_max else -(-depth // (LANES // 2))
        finish = FINISH[operation] // (1 if is_max else 2) + 1
        return count * 6 + blocks * (count * (8 + finish) + rows * 5 + positions * 5)
    blocks = -(-depth // LANES)
    block = FINISH[operation] + (5 if is_max else 6)
    loops = rows * 5 + positions * (4 if is_max else 6)
    return count * (5 + (blocks - 1) * 7) + blocks * (count * block + loops)
