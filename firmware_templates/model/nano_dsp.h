/* What the kernels for the DSP extension share: int16 halves of words. */
#ifndef NANO_DSP_H
#define NANO_DSP_H

#include <stdint.h>
#include <string.h>

#include "nano_arithmetic.h"

/* Two int16 halves in a word. */
static inline int32_t nano_dsp_pair(int32_t low, int32_t high)
{
    return (int32_t)((uint32_t)low & 0xffff) | (int32_t)((uint32_t)high << 16);
}

/* Four bytes from any address. */
static inline int32_t nano_dsp_load(const int8_t *bytes)
{
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

#if defined(__ARM_FEATURE_DSP) && !defined(NANO_C_TWINS)
/* Bytes 0 and 2 of a word as int16 halves; then bytes 1 and 3. */
static inline int32_t nano_dsp_sxtb16(int32_t word)
{
    int32_t halves;
    __asm__("sxtb16 %0, %1" : "=r"(halves) : "r"(word));
    return halves;
}

static inline int32_t nano_dsp_sxtb16_odd(int32_t word)
{
    int32_t halves;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word));
    return halves;
}
#else
/* What the C twins of the micro-kernels in assembly share. */

/* Sums wrap around, as those of the processor do. */
static inline int32_t nano_dsp_add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

static inline int32_t nano_dsp_subtract(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

static inline int32_t nano_dsp_multiply(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a * (uint32_t)b);
}

/* sum + a.low * b.low + a.high * b.high, on int16 halves. */
static inline int32_t nano_dsp_smlad(int32_t a, int32_t b, int32_t sum)
{
    return nano_dsp_add(sum, nano_dsp_add((int16_t)a * (int16_t)b, (a >> 16) * (b >> 16)));
}

/* Bytes 0 and 2 of a word as int16 halves; then bytes 1 and 3. */
static inline int32_t nano_dsp_sxtb16(int32_t word)
{
    return nano_dsp_pair((int8_t)word, (int8_t)(word >> 16));
}

static inline int32_t nano_dsp_sxtb16_odd(int32_t word)
{
    return nano_dsp_sxtb16(word >> 8);
}

/* The scaled form, record {multiplier, rounding}. */
static inline int8_t nano_dsp_scaled(int32_t sum, const int32_t *record, int32_t shift, int32_t low,
                                     int32_t high)
{
    const int32_t scaled = (int32_t)(((int64_t)sum * record[0]) >> 32) + record[1];
    return (int8_t)nano_clamp(scaled >> shift, low, high);
}

/* The shifted form, record {multiplier, rounding, shift}. */
static inline int8_t nano_dsp_shifted(int32_t sum, const int32_t *record, int32_t low, int32_t high)
{
    const int64_t half = (int64_t)1 << 31;
    const int32_t scaled = (int32_t)(((int64_t)sum * record[0] + half) >> 32) + record[1];
    return (int8_t)nano_clamp((scaled - (sum < 0)) >> record[2], low, high);
}
#endif

#endif
