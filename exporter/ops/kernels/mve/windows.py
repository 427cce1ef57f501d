"""The micro-kernels under pooling and MEAN with Helium: windows of one row after another."""

from __future__ import annotations

from exporter.ops.candidate import MicroKernel

MOST_POSITIONS = 256
"""The sum of as many int8 fits an int16 lane."""

LANES = 16
"""Channels at a time; of fewer, a sum takes 8."""

FINISH = {"max": 2, "average": 18, "mean": 40}
"""Instructions from sixteen accumulators to outputs."""


def micro_kernel(operation: str, depth: int) -> MicroKernel:
    """What makes windows of `depth` channels their `max`, `average` or `mean`."""
    tail = depth < LANES
    name = f"windows_{operation}{'_tail' if tail else ''}"
    if operation == "max":
        return MicroKernel("mve/micro/windows_max", name, (("tail", tail),))
    params = (("tail", tail), ("average", operation == "average"))
    return MicroKernel("mve/micro/windows_sum", name, params)


def instructions(operation: str, depth: int, height: int, width: int) -> int:
    """Of one window of the micro-kernel, as counted."""
    tail = depth < LANES
    blocks = -(-depth // (LANES // 2 if tail and operation != "max" else LANES))
    position = (4 if operation == "max" else 5) if tail else 4 if operation == "max" else 6
    finish = FINISH[operation] // (2 if tail and operation != "max" else 1)
    return 6 + blocks * (12 + finish + height * (5 + width * position))
