"""Fixed-point exponential and softmax scaling, in exact integers.

A number in format Qi.f is an int32 `raw` standing for raw / 2^f, with i + f = 31.

Sources: `exp_on_negative_values` and `exp_on_interval_between_negative_one_quarter_and_0_excl` in
gemmlowp/fixedpoint/fixedpoint.h; `PreprocessSoftmaxScaling`, `CalculateInputRadius` in
tensorflow/lite/kernels/internal/quantization_util.cc.
"""

from __future__ import annotations

import math

from exporter.ops.arithmetic import INT32_MAX, INT32_MIN, Multiplier, quantize_multiplier

SCALED_DIFFERENCE_INTEGER_BITS = 5
"""Softmax scales the distance to the row's maximum into Q5.26."""

FRACTION_BITS = 31 - SCALED_DIFFERENCE_INTEGER_BITS
ONE_QUARTER = 1 << (FRACTION_BITS - 2)


def softmax_exponentials(input_scale: float, beta: float) -> list[int]:
    """exp(-d * scale * beta) in Q0.31 for the distances d = 0..255 of an int8 from the maximum.

    Zero from the distance on where the reference stops to look (`diff_min`).
    """
    multiplier = softmax_multiplier(input_scale, beta)
    radius = input_radius(multiplier.shift)
    return [
        exp_on_negative_values(multiply_high((-d) << multiplier.shift, multiplier.mantissa))
        if d <= radius
        else 0
        for d in range(256)
    ]


def softmax_multiplier(input_scale: float, beta: float) -> Multiplier:
    """The multiplier (at least 1) that takes a difference of int8 inputs to Q5.26."""
    return quantize_multiplier(min(beta * input_scale * 2**FRACTION_BITS, 2**31 - 1.0))


def input_radius(left_shift: int) -> int:
    """The largest difference that stays inside Q5.26 once shifted left."""
    largest = ((1 << SCALED_DIFFERENCE_INTEGER_BITS) - 1) << FRACTION_BITS
    return largest >> left_shift


def exp_on_negative_values(raw: int) -> int:
    """exp of a number <= 0 in Q5.26, in Q0.31: a polynomial on [-1/4, 0), then powers of e."""
    if raw == 0:
        return INT32_MAX
    fraction = (raw & (ONE_QUARTER - 1)) - ONE_QUARTER
    result = _exp_near_zero(saturate(fraction << SCALED_DIFFERENCE_INTEGER_BITS))
    remainder = fraction - raw
    for exponent in range(-2, SCALED_DIFFERENCE_INTEGER_BITS):
        if remainder & (1 << (FRACTION_BITS + exponent)):
            result = multiply_high(result, _fraction(math.exp(-(2.0**exponent))))
    return result


def _exp_near_zero(a: int) -> int:
    """exp on [-1/4, 0), Q0.31: the Taylor polynomial of fourth degree around -1/8."""
    constant = _fraction(math.exp(-1.0 / 8.0))
    x = a + (1 << 28)
    x2 = multiply_high(x, x)
    x3 = multiply_high(x2, x)
    x4 = multiply_high(x2, x2)
    third = multiply_high(divide_by_power_of_two(x4, 2) + x3, _fraction(1.0 / 3.0))
    return constant + multiply_high(constant, x + divide_by_power_of_two(third + x2, 1))


def multiply_high(a: int, b: int) -> int:
    """round(a * b / 2^31), halves up (gemmlowp's `SaturatingRoundingDoublingHighMul`)."""
    if a == b == INT32_MIN:
        return INT32_MAX
    return (a * b + (1 << 30)) >> 31


def divide_by_power_of_two(value: int, exponent: int) -> int:
    """round(value / 2^exponent), halves away from zero (gemmlowp's `RoundingDivideByPOT`)."""
    return (value + (1 << (exponent - 1)) - (value < 0)) >> exponent


def saturate(value: int) -> int:
    return max(INT32_MIN, min(INT32_MAX, value))


def _fraction(real: float) -> int:
    """A real in [0, 1) in Q0.31."""
    return round(real * 2**31)
