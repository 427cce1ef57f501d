/* The fixed-point arithmetic of TFLite, in the forms that the generated kernels use.
 *
 * A real multiplier is `multiplier * 2^(-31 - shift)`, multiplier in [2^30, 2^31) or 0; `shift` counts
 * to the right. All forms give the same integers as the reference wherever they are used: the
 * generator proves their ranges from the weights. */
#ifndef NANO_ARITHMETIC_H
#define NANO_ARITHMETIC_H

#include <stdint.h>

/* The limits are literals wherever this is inlined, so the test costs nothing. */
static inline int32_t nano_clamp(int32_t value, int32_t low, int32_t high)
{
#if defined(__ARM_FEATURE_SAT) && !defined(NANO_C_TWINS)
    if (low == INT8_MIN && high == INT8_MAX) { /* one instruction, which GCC does not find */
        __asm__("ssat %0, #8, %0" : "+r"(value));
        return value;
    }
#endif
    value = value < low ? low : value;
    return value > high ? high : value;
}

/* round(value / 2^shift), halves away from zero. Range: shift in [1, 31], |value| <= 2^30. */
static inline int32_t nano_rounding_shift_right(int32_t value, int32_t shift)
{
    return (value + (1 << (shift - 1)) + (value >> 31)) >> shift;
}

/* The upper 32 bits of a product. */
static inline int32_t nano_high_word(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b) >> 32);
}

/* round(value * multiplier / 2^31), halves up. Range: |value| < 2^30.
 * The high word of twice the product, plus the carry that rounding its low word gives. */
static inline int32_t nano_high_product(int32_t value, int32_t multiplier)
{
    const int64_t product = (int64_t)(value * 2) * multiplier;
    return (int32_t)(product >> 32) + (int32_t)((uint32_t)product >> 31);
}

/* Two roundings, shift to the right. Range: shift in [1, 31], |value| < 2^30. */
static inline int32_t nano_requantize_right(int32_t value, int32_t multiplier, int32_t shift)
{
    return nano_rounding_shift_right(nano_high_product(value, multiplier), shift);
}

/* Two roundings, any shift. Range: shift in [-30, 31], value * 2^-shift inside int32. */
static inline int32_t nano_requantize_any(int32_t value, int32_t multiplier, int32_t shift)
{
    const int32_t scaled = shift < 0 ? value * (1 << -shift) : value;
    const int64_t product = (int64_t)scaled * multiplier + (1 << 30);
    const int32_t high = (int32_t)(product >> 31);
    if (shift <= 0) {
        return high;
    }
    const int64_t half = (int64_t)1 << (shift - 1);
    return (int32_t)((high + half - (high < 0)) >> shift);
}

/* One rounding, any shift. Range: shift in [-30, 31]. */
static inline int32_t nano_requantize_single(int32_t value, int32_t multiplier, int32_t shift)
{
    const int32_t total = 31 + shift;
    const int64_t half = (int64_t)1 << (total - 1);
    return (int32_t)(((int64_t)value * multiplier + half) >> total);
}

/* An int8 output: requantised, offset by its zero point, clamped to the fused activation's range. */
static inline int8_t nano_quantize_right(int32_t sum, int32_t multiplier, int32_t shift,
                                         int32_t zero_point, int32_t low, int32_t high)
{
    return (int8_t)nano_clamp(zero_point + nano_requantize_right(sum, multiplier, shift), low,
                              high);
}

static inline int8_t nano_quantize_any(int32_t sum, int32_t multiplier, int32_t shift,
                                       int32_t zero_point, int32_t low, int32_t high)
{
    return (int8_t)nano_clamp(zero_point + nano_requantize_any(sum, multiplier, shift), low, high);
}

static inline int8_t nano_quantize_single(int32_t sum, int32_t multiplier, int32_t shift,
                                          int32_t zero_point, int32_t low, int32_t high)
{
    return (int8_t)nano_clamp(zero_point + nano_requantize_single(sum, multiplier, shift), low,
                              high);
}

/* Requantised, offset by the zero point and rounded, all in one product, for the channels whose
 * multiplier and offset the generator proved to give the reference's output at every sum. The sum may
 * leave int32 when it is lifted where the multiplier is 0. Range: lift in [0, 30], shift in [1, 22]. */
static inline int8_t nano_quantize_scaled(int32_t sum, int32_t lift, int32_t multiplier,
                                          int32_t offset, int32_t away, int32_t shift, int32_t low,
                                          int32_t high)
{
    const int32_t lifted = (int32_t)((uint32_t)sum << lift);
    const int32_t product = (int32_t)(((int64_t)lifted * multiplier) >> 32);
    return (int8_t)nano_clamp((product + offset - ((sum >> 31) & away)) >> shift, low, high);
}

/* round(sum / count), halves away from zero. Range: count >= 1, |sum| + count / 2 inside int32. */
static inline int32_t nano_divide(int32_t sum, int32_t count)
{
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

/* round(a * b / 2^31), halves up: the product of two fixed-point numbers, the first in Q0.31. */
static inline int32_t nano_fixed_product(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* 1 / (1 + x) in Q0.31. Range: x in [0, 1), Q0.31.
 * Three Newton-Raphson steps in Q2.29 towards y = 1 / half, half = (1 + x) / 2, from the line
 * 48/17 - 32/17 * half (gemmlowp's `one_over_one_plus_x_for_x_in_0_1`). */
static inline int32_t nano_reciprocal(int32_t x)
{
    const int32_t half = (int32_t)(((uint32_t)x + 0x80000000u) >> 1);
    int32_t y = 1515870810 + nano_fixed_product(half, -1010580540);
    for (int32_t step = 0; step < 3; ++step) {
        y += 4 * nano_fixed_product(y, (1 << 29) - nano_fixed_product(half, y));
    }
    return y >= 1 << 30 ? INT32_MAX : y * 2;
}

#endif
