"""Loops over tensors of any rank: dimensions that lie together are walked as one.

A loop nest is a tuple of dimensions, outermost first, each `(size, step, ...)`: its length and, for
each operand, the elements from one position to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Dimension = tuple[int, ...]


def row_major_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements from one index to the next along each axis."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def merged(dimensions: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """The same walk in as few dimensions as possible, at least one.

    An outer dimension takes in its inner neighbour when, for every operand, one outer step is the
    whole of the inner dimension.
    """
    result: list[Dimension] = []
    for size, *steps in (d for d in dimensions if d[0] != 1):
        if result and all(
            outer == size * inner for outer, inner in zip(result[-1][1:], steps, strict=True)
        ):
            outer_size = result.pop()[0]
            result.append((outer_size * size, *steps))
        else:
            result.append((size, *steps))
    operands = len(dimensions[0]) - 1 if dimensions else 1
    return tuple(result) or ((1, *(1,) * operands),)


def broadcast_shape(left: Sequence[int], right: Sequence[int]) -> tuple[int, ...] | None:
    """The shape two operands broadcast to; None where they do not."""
    rank = max(len(left), len(right))
    pairs = list(zip(_extended(left, rank), _extended(right, rank), strict=True))
    if any(a != b and 1 not in (a, b) for a, b in pairs):
        return None
    return tuple(max(pair) for pair in pairs)


def broadcast_dimensions(left: Sequence[int], right: Sequence[int]) -> tuple[Dimension, ...]:
    """Dimensions `(size, left step, right step)`; where an operand repeats, its step is 0."""
    shape = broadcast_shape(left, right)
    assert shape is not None
    steps = [_broadcast_strides(_extended(operand, len(shape))) for operand in (left, right)]
    return merged(list(zip(shape, *steps, strict=True)))


def _extended(shape: Sequence[int], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + tuple(shape)


def _broadcast_strides(shape: Sequence[int]) -> list[int]:
    strides = row_major_strides(shape)
    return [0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True)]
