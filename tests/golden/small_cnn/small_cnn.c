/* model: 6 layers, 3,996 multiply-accumulates, arena of 264 bytes.
 *
 * Compiled by nanoexport; edit the model, not this file. First the kernels, one function for all
 * layers of one signature; then the layers, which give the kernels
 * their rows; then the inference. */
#if defined(__GNUC__) && !defined(__clang__)
/* GCC 12 addresses one pointer by the steps of another, relative to 0; then it takes the access for one
 * of a null pointer, which may not be, and drops the loop, or the call of its function. */
#pragma GCC optimize("no-delete-null-pointer-checks")
#endif

#include "small_cnn.h"

#include <string.h>

#include "nano_arithmetic.h"
#include "small_cnn_layers.h"
#include "small_cnn_weights.h"

/* CONV_2D 3x3, 2 -> 4 channels: one output row of 6 columns.
 *
 * rows:    3 input rows, int8 [W,2], padded
 * output:  int8 [6,4]
 * weights: int8, 2 output channels side by side
 *
 * output[x,c] = quantise(bias[c] + sum over ky, kx, i of
 *     rows[ky][x * 1 + kx, i] * w[c,ky,kx,i]) */
static void conv_2d_3x3_2x4(
    const int8_t *const *rows, int8_t *output,
    const int8_t *weights, const int32_t *bias, const int32_t *multiplier, const int32_t *offset)
{
    for (int32_t x = 0; x < 6; x += 2) {
        const int8_t *w = weights;
        int8_t *const out = output + x * 4;
        for (int32_t c = 0; c < 4; c += 2) {
            int32_t sum00 = bias[c], sum01 = bias[c + 1];
            int32_t sum10 = bias[c], sum11 = bias[c + 1];
            for (int32_t ky = 0; ky < 3; ++ky) {
                const int8_t *in = rows[ky] + x * 2;
                sum00 += in[0] * w[0]; sum01 += in[0] * w[1];
                sum10 += in[2] * w[0]; sum11 += in[2] * w[1];
                sum00 += in[1] * w[2]; sum01 += in[1] * w[3];
                sum10 += in[3] * w[2]; sum11 += in[3] * w[3];
                sum00 += in[2] * w[4]; sum01 += in[2] * w[5];
                sum10 += in[4] * w[4]; sum11 += in[4] * w[5];
                sum00 += in[3] * w[6]; sum01 += in[3] * w[7];
                sum10 += in[5] * w[6]; sum11 += in[5] * w[7];
                sum00 += in[4] * w[8]; sum01 += in[4] * w[9];
                sum10 += in[6] * w[8]; sum11 += in[6] * w[9];
                sum00 += in[5] * w[10]; sum01 += in[5] * w[11];
                sum10 += in[7] * w[10]; sum11 += in[7] * w[11];
                w += 12;
                in += 6;
            }
            out[c] = nano_quantize_scaled(sum00, 14, multiplier[c], offset[c], 0, 21, 35, 127);
            out[c + 1] = nano_quantize_scaled(sum01, 14, multiplier[c + 1], offset[c + 1], 0, 21, 35, 127);
            out[c + 4] = nano_quantize_scaled(sum10, 14, multiplier[c], offset[c], 0, 21, 35, 127);
            out[c + 5] = nano_quantize_scaled(sum11, 14, multiplier[c + 1], offset[c + 1], 0, 21, 35, 127);
        }
    }
}

/* DEPTHWISE_CONV_2D 3x3, 4 -> 4 channels: one output row of 6 columns.
 *
 * rows:    3 input rows, int8 [W,4], padded
 * output:  int8 [6,4]
 * weights: int8 [3,3,4]
 *
 * output[x,c] = quantise(bias[c] + sum over ky, kx of
 *     rows[ky][x * 1 + kx, c] * w[ky,kx,c]) */
static void depthwise_conv_2d_3x3_4(
    const int8_t *const *rows, int8_t *restrict output,
    const int8_t *weights, const int32_t *bias, const int32_t *multiplier, const int8_t *shift)
{
    for (int32_t x = 0; x < 6; x += 3) {
        const int32_t left = x * 4;
        int8_t *const out = output + x * 4;
        for (int32_t c = 0; c < 4; ++c) {
            const int8_t *const w = weights + c;
            int32_t sum00 = bias[c];
            int32_t sum10 = bias[c];
            int32_t sum20 = bias[c];
            const int8_t *const row0 = rows[0] + left + c;
            const int8_t *const row1 = rows[1] + left + c;
            const int8_t *const row2 = rows[2] + left + c;
            sum00 += row0[0] * w[0];
            sum10 += row0[4] * w[0];
            sum20 += row0[8] * w[0];
            sum00 += row0[4] * w[4];
            sum10 += row0[8] * w[4];
            sum20 += row0[12] * w[4];
            sum00 += row0[8] * w[8];
            sum10 += row0[12] * w[8];
            sum20 += row0[16] * w[8];
            sum00 += row1[0] * w[12];
            sum10 += row1[4] * w[12];
            sum20 += row1[8] * w[12];
            sum00 += row1[4] * w[16];
            sum10 += row1[8] * w[16];
            sum20 += row1[12] * w[16];
            sum00 += row1[8] * w[20];
            sum10 += row1[12] * w[20];
            sum20 += row1[16] * w[20];
            sum00 += row2[0] * w[24];
            sum10 += row2[4] * w[24];
            sum20 += row2[8] * w[24];
            sum00 += row2[4] * w[28];
            sum10 += row2[8] * w[28];
            sum20 += row2[12] * w[28];
            sum00 += row2[8] * w[32];
            sum10 += row2[12] * w[32];
            sum20 += row2[16] * w[32];
            out[c] = nano_quantize_right(sum00, multiplier[c], shift[c], -12, -128, 127);
            out[c + 4] = nano_quantize_right(sum10, multiplier[c], shift[c], -12, -128, 127);
            out[c + 8] = nano_quantize_right(sum20, multiplier[c], shift[c], -12, -128, 127);
        }
    }
}

/* ADD as one sum: the factors were checked for every pair of operands.
 *
 * loops:   24
 * output:  int8, may be an operand of its own size */
static void add_24(
    const int8_t *left, const int8_t *right, int8_t *output)
{
    for (int32_t i = 0; i < 24; i += 8) {
        output[i] = (int8_t)nano_clamp((-1205318165 + left[i] * 4166509 + right[i] * 838119) >> 23, -128, 127);
        output[i + 1] = (int8_t)nano_clamp((-1205318165 + left[i + 1] * 4166509 + right[i + 1] * 838119) >> 23, -128, 127);
        output[i + 2] = (int8_t)nano_clamp((-1205318165 + left[i + 2] * 4166509 + right[i + 2] * 838119) >> 23, -128, 127);
        output[i + 3] = (int8_t)nano_clamp((-1205318165 + left[i + 3] * 4166509 + right[i + 3] * 838119) >> 23, -128, 127);
        output[i + 4] = (int8_t)nano_clamp((-1205318165 + left[i + 4] * 4166509 + right[i + 4] * 838119) >> 23, -128, 127);
        output[i + 5] = (int8_t)nano_clamp((-1205318165 + left[i + 5] * 4166509 + right[i + 5] * 838119) >> 23, -128, 127);
        output[i + 6] = (int8_t)nano_clamp((-1205318165 + left[i + 6] * 4166509 + right[i + 6] * 838119) >> 23, -128, 127);
        output[i + 7] = (int8_t)nano_clamp((-1205318165 + left[i + 7] * 4166509 + right[i + 7] * 838119) >> 23, -128, 127);
    }
}

/* MAX_POOL_2D 2x2, 4 channels: one output row of 3 columns.
 *
 * rows:    2 input rows, int8 [6,4]
 * output:  int8 [3,4] */
static void max_pool_2d_2x2_4(
    const int8_t *const *rows, int8_t *output)
{
    for (int32_t x = 0; x < 3; ++x, output += 4) {
        const int32_t left = x * 2;
        for (int32_t c = 0; c < 4; c += 4) {
            int32_t max0 = -128;
            int32_t max1 = -128;
            int32_t max2 = -128;
            int32_t max3 = -128;
            for (int32_t ky = 0; ky < 2; ++ky) {
                const int8_t *in = rows[ky] + left * 4 + c;
                for (int32_t kx = 0; kx < 2; ++kx, in += 4) {
                    max0 = in[0] > max0 ? in[0] : max0;
                    max1 = in[1] > max1 ? in[1] : max1;
                    max2 = in[2] > max2 ? in[2] : max2;
                    max3 = in[3] > max3 ? in[3] : max3;
                }
            }
            output[c] = (int8_t)max0;
            output[c + 1] = (int8_t)max1;
            output[c + 2] = (int8_t)max2;
            output[c + 3] = (int8_t)max3;
        }
    }
}

/* FULLY_CONNECTED 36 -> 3.
 *
 * input:   int8 [1,36]
 * output:  int8 [1,3]
 * weights: int8, 3 output channels side by side
 *
 * output[n,c] = quantise(bias[c] + sum over k of input[n,k] * w[c,k]) */
static void fully_connected_36x3(
    const int8_t *input, int8_t *restrict output,
    const int8_t *weights, const int32_t *bias)
{
    const int8_t *w = weights;
    int8_t *const out = output;
    for (int32_t c = 0; c < 3; c += 3) {
        const int8_t *in = input;
        int32_t sum00 = bias[c], sum01 = bias[c + 1], sum02 = bias[c + 2];
        for (const int8_t *const end = in + 36; in != end; in += 9, w += 27) {
            sum00 += in[0] * w[0]; sum01 += in[0] * w[1]; sum02 += in[0] * w[2];
            sum00 += in[1] * w[3]; sum01 += in[1] * w[4]; sum02 += in[1] * w[5];
            sum00 += in[2] * w[6]; sum01 += in[2] * w[7]; sum02 += in[2] * w[8];
            sum00 += in[3] * w[9]; sum01 += in[3] * w[10]; sum02 += in[3] * w[11];
            sum00 += in[4] * w[12]; sum01 += in[4] * w[13]; sum02 += in[4] * w[14];
            sum00 += in[5] * w[15]; sum01 += in[5] * w[16]; sum02 += in[5] * w[17];
            sum00 += in[6] * w[18]; sum01 += in[6] * w[19]; sum02 += in[6] * w[20];
            sum00 += in[7] * w[21]; sum01 += in[7] * w[22]; sum02 += in[7] * w[23];
            sum00 += in[8] * w[24]; sum01 += in[8] * w[25]; sum02 += in[8] * w[26];
        }
        out[c] = nano_quantize_scaled(sum00, 14, 1161918157, -143650816, 8192, 21, -128, 127);
        out[c + 1] = nano_quantize_scaled(sum01, 14, 1161918157, -143650816, 8192, 21, -128, 127);
        out[c + 2] = nano_quantize_scaled(sum02, 14, 1161918157, -143650816, 8192, 21, -128, 127);
    }
}

/* SOFTMAX over 3 entries, in fixed point.
 *
 * input:       int8 [1,3]
 * output:      int8 [1,3], scale 1/256, zero point -128, may be the input
 * exponential: Q0.31, exp of the distance below the row's largest input */
static void softmax_3(
    const int8_t *input, int8_t *output,
    const int32_t *exponential)
{
    for (int32_t row = 0; row < 1; ++row, input += 3, output += 3) {
        int32_t largest = -128;
        for (int32_t i = 0; i < 3; ++i) {
            largest = input[i] > largest ? input[i] : largest;
        }

        uint32_t sum = 0; /* Q12.19 */
        for (int32_t i = 0; i < 3; ++i) {
            sum += ((uint32_t)exponential[largest - input[i]] + (1u << 11)) >> 12;
        }

        /* sum = 2^(shift - 23) * (1 + x), x in [0, 1): its reciprocal without the power of two. */
        int32_t shift = 35;
        for (; sum < 0x80000000u; sum <<= 1) {
            --shift;
        }
        const uint32_t reciprocal = 2u * (uint32_t)nano_reciprocal((int32_t)(sum - 0x80000000u));

        for (int32_t i = 0; i < 3; ++i) {
            /* round(product / 2^32): the reciprocal is in Q0.32. */
            const uint64_t product = (uint64_t)reciprocal * (uint32_t)exponential[largest - input[i]];
            const uint32_t share = (uint32_t)(product >> 32) + ((uint32_t)product >> 31);
            const uint32_t rounded = (share + (1u << (shift - 1))) >> shift;
            output[i] = (int8_t)nano_clamp((int32_t)rounded - 128, -128, 127);
        }
    }
}

/* Layer 0: CONV_2D 'conv/Relu'
 *
 * input    int8 [1,6,6,2], scale 0.00911863, zero point 0, 'image'
 * weights  int8 [4,3,3,2], scale 0.00824547 to 0.0204724 along axis 0, 'conv/Relu'
 * bias     int32 [4], scale 7.51874e-05 to 0.00018668 along axis 0, 'conv/Relu'
 * output   int8 [1,6,6,4], scale 0.0537165, zero point 35, 'conv/Relu'
 *
 * 2,592 multiply-accumulates, kernel generic/conv_2d: requantised in one step */
void small_cnn_layer_0_conv_2d(int8_t *arena)
{
    const int8_t *const input = arena + 36;
    int8_t *const output = arena + 0;
    int8_t *const ring = arena + 144; /* 3 rows of 20 bytes */
    const int8_t *rows[3];

    memset(ring, 0, 60);
    for (int32_t y = 0; y < 6; ++y) {
        const int32_t top = y; /* counted with the 1 above the image */
        for (int32_t row = y == 0 ? 0 : top + 2; row < top + 3; ++row) {
            int8_t *const slot = ring + row % 3 * 20 + 4;
            if (row >= 1 && row < 7) {
                memcpy(slot, input + (row - 1) * 12, 12);
            } else {
                memset(slot, 0, 12);
            }
        }
        for (int32_t k = 0; k < 3; ++k) {
            rows[k] = ring + (top + k) % 3 * 20 + 2;
        }
        conv_2d_3x3_2x4(rows, output + y * 24,
                small_cnn_weights_0, small_cnn_bias_0, small_cnn_multiplier_0, small_cnn_offset_0);
    }
}

/* Layer 1: DEPTHWISE_CONV_2D 'depthwise'
 *
 * input    int8 [1,6,6,4], scale 0.0537165, zero point 35, 'conv/Relu'
 * weights  int8 [1,3,3,4], scale 0.000902372 to 0.00175826 along axis 3, 'depthwise/w'
 * bias     int32 [4], scale 4.84723e-05 to 9.44476e-05 along axis 0, 'depthwise/b'
 * output   int8 [1,6,6,4], scale 0.0108054, zero point -12, 'depthwise'
 *
 * 1,296 multiply-accumulates, kernel generic/depthwise_conv_2d */
static __attribute__((noinline)) void small_cnn_layer_1_depthwise_conv_2d_rows(int8_t *arena, int32_t y)
{
    const int8_t *const input = arena + 0;
    int8_t *const output = arena + 240;
    int8_t *const ring = arena + 144; /* 3 rows of 32 bytes */
    const int8_t *rows[3];

    const int32_t top = y; /* counted with the 1 above the image */
    for (int32_t row = y == 0 ? 0 : top + 2; row < top + 3; ++row) {
        int8_t *const slot = ring + row % 3 * 32 + 4;
        if (row >= 1 && row < 7) {
            memcpy(slot, input + (row - 1) * 24, 24);
        } else {
            memset(slot, 35, 24);
        }
    }
    for (int32_t k = 0; k < 3; ++k) {
        rows[k] = ring + (top + k) % 3 * 32;
    }
    depthwise_conv_2d_3x3_4(rows, output,
            small_cnn_weights_1, small_cnn_bias_1, small_cnn_multiplier_1, small_cnn_shift_1);
}

/* Layer 2: ADD 'residual'
 *
 * input 0  int8 [1,6,6,4], scale 0.0537165, zero point 35, 'conv/Relu'
 * input 1  int8 [1,6,6,4], scale 0.0108054, zero point -12, 'depthwise'
 * output   int8 [1,6,6,4], scale 0.10815, zero point -128, 'residual'
 *
 * No multiply-accumulates, kernel generic/add_linear: one shift, all pairs checked */
static __attribute__((noinline)) void small_cnn_layer_2_add_rows(int8_t *arena, int32_t y)
{
    const int8_t *const input_0 = arena + 0;
    const int8_t *const input_1 = arena + 240;
    int8_t *const output = arena + 0;

    add_24(input_0 + y * 24, input_1, output + y * 24);
}

/* Layers 1 to 2: they make their rows in turn. Of what is between there is, at a time:
 *
 * layer 1   1 of 6 rows, 24 bytes each
 */
void small_cnn_layers_1_to_2(int8_t *arena)
{
    /* The layer that makes its next row, call by call. */
    static const uint8_t order[12] = {
        1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2
    };
    int32_t row_1 = 0;
    int32_t row_2 = 0;

    memset(arena + 144, 35, 96);
    for (int32_t i = 0; i < 12; ++i) {
        switch (order[i]) {
        case 1:
            small_cnn_layer_1_depthwise_conv_2d_rows(arena, row_1);
            row_1 += 1;
            break;
        default:
            small_cnn_layer_2_add_rows(arena, row_2);
            row_2 += 1;
            break;
        }
    }
}

/* Layer 3: MAX_POOL_2D 'pool'
 *
 * input 0  int8 [1,6,6,4], scale 0.10815, zero point -128, 'residual'
 * output   int8 [1,3,3,4], scale 0.10815, zero point -128, 'pool'
 *
 * No multiply-accumulates, kernel generic/max_pool_2d */
void small_cnn_layer_3_max_pool_2d(int8_t *arena)
{
    const int8_t *const input = arena + 0;
    int8_t *const output = arena + 120;
    const int8_t *rows[2];

    for (int32_t y = 2; y >= 0; --y) {
        const int32_t top = y * 2;
        for (int32_t k = 0; k < 2; ++k) {
            rows[k] = input + (top + k) * 24;
        }
        max_pool_2d_2x2_4(rows, output + y * 12);
    }
}

/* Layer 5: FULLY_CONNECTED 'logits'
 *
 * input    int8 [1,36], scale 0.10815, zero point -128, 'reshape'
 * weights  int8 [3,36], scale 0.00080284, zero point 0, 'logits/w'
 * bias     int32 [3], scale 8.68269e-05, zero point 0, 'logits/b'
 * output   int8 [1,3], scale 0.0410817, zero point -69, 'logits'
 *
 * 108 multiply-accumulates, kernel generic/fully_connected: one multiplier, as a literal */
void small_cnn_layer_5_fully_connected(int8_t *arena)
{
    fully_connected_36x3(arena + 120, arena + 0,
        small_cnn_weights_5, small_cnn_bias_5);
}

/* Layer 6: SOFTMAX 'scores'
 *
 * input 0  int8 [1,3], scale 0.0410817, zero point -69, 'logits'
 * output   int8 [1,3], scale 0.00390625, zero point -128, 'scores'
 *
 * No multiply-accumulates, kernel generic/softmax */
void small_cnn_layer_6_softmax(int8_t *arena)
{
    softmax_3(arena + 0, arena + 0,
        small_cnn_exponential_6);
}

int8_t small_cnn_arena[SMALL_CNN_GUARD_BYTES + 264 + SMALL_CNN_GUARD_BYTES] __attribute__((aligned(32)));

int8_t *const small_cnn_input_0 = small_cnn_arena + SMALL_CNN_GUARD_BYTES + 36;
int8_t *const small_cnn_output_0 = small_cnn_arena + SMALL_CNN_GUARD_BYTES + 0;

void small_cnn_init(void)
{
    memset(small_cnn_arena + SMALL_CNN_GUARD_BYTES, 0, SMALL_CNN_ARENA_BYTES);
}

void small_cnn_invoke(void)
{
    int8_t *const arena = small_cnn_arena + SMALL_CNN_GUARD_BYTES;

    small_cnn_layer_0_conv_2d(arena);
    small_cnn_layers_1_to_2(arena);
    small_cnn_layer_3_max_pool_2d(arena);
    small_cnn_layer_5_fully_connected(arena);
    small_cnn_layer_6_softmax(arena);
}
