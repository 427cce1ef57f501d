"""Cheap integer forms of operators of two int8 operands, proven equal for every pair of operands.

The reference rounds each operand's term and their sum, or a product, in several steps. All of it is
a function of 65,536 pairs, so a form with one shift can be tried and its constants corrected until
no pair differs: that is the proof. Where none of the tries succeeds there is no form, and the
operator computes as the reference does.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from exporter.ops.arithmetic import INT32_MAX

Int64Array = npt.NDArray[np.int64]

REACH = 3
"""How far from its rounded real value a factor is tried: that covers what rounding does to ties."""

PRODUCT_STEPS = (0, 1, -1, 2, -2, 4, -4, 8, -8, 16, -16)
"""Corrections of a product's factor, in parts of 2^24: ties go away from zero in the reference."""


LARGEST_HIGH_SHIFT = 21
"""Leaves room in an int32 for offsets of some hundreds of output steps."""


class Linear(NamedTuple):
    """output = clamp((left * left_factor + right * right_factor + offset) >> shift) in int32."""

    left_factor: int
    right_factor: int
    offset: int
    shift: int


class HighProduct(NamedTuple):
    """output = clamp((high + offset) >> shift), high = the upper 32 bits of (p << scale) * factor.

    p: the product of the operands without their zero points.
    """

    scale: int
    factor: int
    offset: int
    shift: int


def linear_form(
    outputs: Int64Array, slopes: tuple[float, float], constant: float, limits: tuple[int, int]
) -> Linear | None:
    """The form of a linear operator of two int8 operands.

    `outputs`: int64 [256,256], the clamped outputs for left and right operands from -128 to 127,
    close to `slopes[0] * left + slopes[1] * right + constant`; `limits`: what they are clamped to.
    """
    inputs = np.arange(-128, 128, dtype=np.int64)
    worst = 128 * (abs(slopes[0]) + abs(slopes[1])) + abs(constant) + 1
    shift = int(np.floor(31 - np.log2(worst)))
    if shift < 1:
        return None
    near = round(slopes[0] * 2**shift), round(slopes[1] * 2**shift)
    for away in sorted(product(range(-REACH, REACH + 1), repeat=2), key=_distance):
        factors = near[0] + away[0], near[1] + away[1]
        sums = factors[0] * inputs[:, None] + factors[1] * inputs
        offset = _offset(outputs, sums, shift, limits)
        if offset is not None and 128 * sum(map(abs, factors)) + abs(offset) <= INT32_MAX:
            return Linear(*factors, offset, shift)
    return None


def high_product_form(
    outputs: Int64Array, products: Int64Array, slope: float, limits: tuple[int, int]
) -> HighProduct | None:
    """The form of a multiple of a product.

    `outputs`: the clamped outputs, int64, for each of the `products`, int64; an output is close to
    `slope` times its product, plus a constant.
    """
    scale = 31 - int(np.abs(products).max()).bit_length()
    shift = min(int(np.floor(scale - 1 - np.log2(slope))), LARGEST_HIGH_SHIFT)
    if scale < 0 or shift < 1:
        return None
    for step in PRODUCT_STEPS:
        factor = round(slope * (1 + step * 2.0**-24) * 2.0 ** (shift + 32 - scale))
        highs = (products << scale) * factor >> 32
        offset = _offset(outputs, highs, shift, limits)
        if offset is not None and factor <= INT32_MAX and _fits(highs, offset):
            return HighProduct(scale, factor, offset, shift)
    return None


def _distance(away: tuple[int, ...]) -> int:
    return max(map(abs, away))


def _offset(
    outputs: Int64Array, values: Int64Array, shift: int, limits: tuple[int, int]
) -> int | None:
    """What added to `values` makes all of them the outputs, once shifted and clamped."""
    low, high = limits
    at_least = ((outputs << shift) - values)[outputs > low].max(initial=-INT32_MAX)
    at_most = (((outputs + 1) << shift) - 1 - values)[outputs < high].min(initial=INT32_MAX)
    return int(at_least + at_most) // 2 if at_least <= at_most else None


def _fits(values: Int64Array, offset: int) -> bool:
    return int(np.abs(values).max()) + abs(offset) <= INT32_MAX
