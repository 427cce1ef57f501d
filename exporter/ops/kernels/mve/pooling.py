"""Pooling with Helium: sixteen channels at a time, windows between the borders in one call."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from exporter.ops.arithmetic import INT8_MAX, INT8_MIN, INT32_MAX
from exporter.ops.candidate import Candidate, Param
from exporter.ops.geometry import Axis
from exporter.ops.kernels.mve import windows
from exporter.ops.layers import PoolLayer

CALL = 60
"""Instructions of a call of the micro-kernel, its form and its saved registers among them."""

OPTIONS_OF_LOOPS = frozenset({"block_channels", "words", "reciprocal"})
"""Literals of the generic kernels that are not of these."""


def candidates(layer: PoolLayer) -> tuple[Candidate, ...]:
    """Averages where every quotient is one multiplication."""
    is_average = layer.operation == "average"
    if is_average and not _quotients_are_exact(layer.positions):
        return ()
    generic = layer.generic
    params = {name: p for name, p in generic.params.items() if name not in OPTIONS_OF_LOOPS}
    return (
        replace(
            generic,
            kernel=generic.kernel.replace("generic/", "mve/"),
            params=params | (_global if layer.is_global else _row)(layer),
            micro_kernels=(windows.micro_kernel(layer.operation, layer.depth),),
            instructions=_instructions(layer),
            choice="sixteen channels at a time",
        ),
    )


def multiplier(count: int) -> int:
    """2^31 / count, a little more where it fits: a sum's high product is its rounded mean."""
    return INT32_MAX if count == 1 else INT32_MAX // count + 2


def _quotients_are_exact(positions: int) -> bool:
    return positions <= windows.MOST_POSITIONS and all(map(_is_exact, range(1, positions + 1)))


@cache
def _is_exact(count: int) -> bool:
    """Halves go away from zero, as in the reference."""
    sums = np.arange(INT8_MIN * count, INT8_MAX * count + 1, dtype=np.int64)
    expected = np.sign(sums) * ((np.abs(sums) + count // 2) // count)
    return bool(((2 * sums * multiplier(count) + 2**31) >> 32 == expected).all())


def _global(layer: PoolLayer) -> dict[str, Param]:
    return {"multiplier": multiplier(layer.positions) if layer.operation == "average" else 0}


def _row(layer: PoolLayer) -> dict[str, Param]:
    first, inside = _between_borders(layer.horizontal)
    return {**_global(layer), "first_inside": first, "inside": inside}


def _between_borders(axis: Axis) -> tuple[int, int]:
    """The first window that lies inside the image, and how many do."""
    first = -(-axis.before // axis.stride)
    end = min((axis.input - axis.size + axis.before) // axis.stride + 1, axis.output)
    return first, max(end - first, 0)


def _instructions(layer: PoolLayer) -> int:
    vertical, horizontal = layer.vertical, layer.horizontal
    images = layer.generic.images
    if layer.is_global:
        batch = layer.outputs // layer.depth
        sizes = [1] * batch, [layer.positions]
        return CALL + windows.instructions(layer.operation, layer.depth, *sizes)
    inside = _between_borders(horizontal)[1]
    calls = horizontal.output - inside + (inside > 0)
    sizes = _sizes(vertical), _sizes(horizontal)
    loops = windows.instructions(layer.operation, layer.depth, *sizes)
    return images * (vertical.output * calls * CALL + loops)


def _sizes(axis: Axis) -> list[int]:
    """Positions of each window that lie inside the image."""
    starts = [at * axis.stride - axis.before for at in range(axis.output)]
    return [min(start + axis.size, axis.input) - max(start, 0) for start in starts]
