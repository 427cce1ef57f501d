"""The fixed-point arithmetic of TFLite, in exact integers.

Sources: `QuantizeMultiplier`, `MultiplyByQuantizedMultiplier` in
tensorflow/lite/kernels/internal/{quantization_util.cc,common.cc};
`CalculateActivationRangeQuantized` in tensorflow/lite/kernels/kernel_util.cc.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]

INT8_MIN, INT8_MAX = -128, 127
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


class Rounding(Enum):
    """How a product with a fixed-point multiplier is rounded."""

    DOUBLE = "double"  # to 31 fractional bits first, then to the result
    SINGLE = "single"  # once


class Multiplier(NamedTuple):
    """A real multiplier as `mantissa * 2^(shift - 31)`, mantissa in [2^30, 2^31) or 0."""

    mantissa: int
    shift: int


def quantize_multiplier(real: float) -> Multiplier:
    """`real` (>= 0) as TFLite's `QuantizeMultiplier` rounds it."""
    if real == 0.0:
        return Multiplier(0, 0)
    fraction, shift = math.frexp(real)
    mantissa = _round_half_away(fraction * 2**31)
    if mantissa == 2**31:
        mantissa //= 2
        shift += 1
    if shift < -31:
        return Multiplier(0, 0)
    return Multiplier(mantissa, shift)


def requantize(
    values: Int64Array | int, multiplier: Multiplier, rounding: Rounding = Rounding.DOUBLE
) -> Int64Array:
    """`values * multiplier`, rounded as the dialect rounds. Exact where no int32 overflows.

    Values that leave int32, before or after the shift to the left, saturate: the result is still
    monotone, which is all that bounds of a layer that will be refused need.
    """
    x = np.clip(np.asarray(values, dtype=np.int64), INT32_MIN, INT32_MAX)
    mantissa, shift = multiplier
    if rounding is Rounding.SINGLE:
        total = 31 - shift
        return (x * mantissa + (1 << (total - 1))) >> total
    shifted = np.clip(x << min(max(shift, 0), 31), INT32_MIN, INT32_MAX)
    high = (shifted * mantissa + (1 << 30)) >> 31
    return rounding_divide_by_power_of_two(high, max(-shift, 0))


def rounding_divide_by_power_of_two(values: Int64Array, exponent: int) -> Int64Array:
    """`values / 2^exponent`, halves away from zero (gemmlowp's `RoundingDivideByPOT`)."""
    if exponent == 0:
        return values
    return (values + (1 << (exponent - 1)) - (values < 0)) >> exponent


def activation_range(activation: str, scale: float, zero_point: int) -> tuple[int, int]:
    """The int8 range [min, max] of a fused activation on an output of `scale`, `zero_point`.

    Raises:
        KeyError: `activation` has no quantised form.
    """
    low, high = ACTIVATIONS[activation]
    low_q = INT8_MIN if low is None else max(INT8_MIN, zero_point + _divide_f32(low, scale))
    high_q = INT8_MAX if high is None else min(INT8_MAX, zero_point + _divide_f32(high, scale))
    return low_q, high_q


ACTIVATIONS: dict[str, tuple[float | None, float | None]] = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


def _divide_f32(value: float, scale: float) -> int:
    """round(value / scale) in float32, as TFLite computes activation bounds."""
    return _round_half_away(float(np.float32(value) / np.float32(scale)))


def _round_half_away(value: float) -> int:
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)
