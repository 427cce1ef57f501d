#include "small_cnn_weights.h"

/* Weights [4 / 2][3 * 3 * 2][2]: output channels side by side */
const int8_t small_cnn_weights_0[72] __attribute__((aligned(4))) = {
    -39, -59, -56, -21,   3,   7,  34, -27,  20, -10,  72,  -9,  30,  17,  26, -17,
    -29,  11, -44,   2,  59,  17,   2,   9,  32,  66, -55, -27, -17,  48, -52, -16,
    -31, -38,  36,  48, -18,  -2, -16,  24, -56,  -8, -84, -24,  25, -31, -47, -25,
     31, -27,  74, -18,  -5,  46, -45, -32,  16,  35,  30,  17, -10,   6,   1, -33,
     53, -18,  51,  79,  28,   4, -35,  22,
};

/* Bias input zero point folded in */
const int32_t small_cnn_bias_0[4] __attribute__((aligned(4))) = {
     7137, 10417, -3979, -3916,
};

/* Multiplier one per output channel */
const int32_t small_cnn_multiplier_0[4] __attribute__((aligned(4))) = {
    1273690835, 1719865558, 1621730756, 1324171425,
};

/* Offset output zero point and rounding, one per channel */
const int32_t small_cnn_offset_0[4] __attribute__((aligned(4))) = {
    -267382795, -267382795, -267382795, -267382795,
};

/* Weights [3][3][4] */
const int8_t small_cnn_weights_1[36] __attribute__((aligned(4))) = {
      49,  -22,  -19,   35,   -4,   14,  -29,    1,   17,  -53,  -28,   17,   90,   18,   -2,  -34,
      16, -100,   -2,  -13,  -21,   93,  -99,   -1,    3,   19,  -64,  -19,  -60,   -5,    8,    7,
      -8,    7,    7,   16,
};

/* Bias input zero point folded in */
const int32_t small_cnn_bias_1[4] __attribute__((aligned(4))) = {
     10726, -23676, -36811,   2666,
};

/* Multiplier one per output channel */
const int32_t small_cnn_multiplier_1[4] __attribute__((aligned(4))) = {
    1218045022, 1531348825,          0, 2072049620,
};

/* Offset output zero point and rounding, one per channel */
const int32_t small_cnn_offset_1[4] __attribute__((aligned(4))) = {
    -534765679, -534765679, -534765679, -534765679,
};

/* Weights [3 / 3][36][3]: output channels side by side */
const int8_t small_cnn_weights_5[108] __attribute__((aligned(4))) = {
    -32, -26,  -8,  -6, -10,  36, -95,  13, -40, -13,  69,  -4,  10,   1, -15,  41,
    -78, -58,  16,  26,  -5,  75,  -7,  44,  61, -70,  89, -65, -91, -58,  -9, -43,
     37,  -6,  15,  44,   4, -30,  48, -23,  24, -18,  24, -11,  12,  30,   7, -25,
    -61,  28,  22,  38,  23,  48, -26, -42, -10,  42,  77,   9,  23, -79,  34,  -5,
     -8,  28,  80, -41, -27,  36,  48,  54,   1, -52,  19,  10, -41,   6,  97, -46,
      1,  57, -55,  28,  38, -23,  41,   9,   7, -51,  23, -39, -35,   6, -68, -69,
    -61, -11,  18,  35,  -2,  15,  17,  28, -14, -54, -33, -44,
};

/* Bias input zero point folded in */
const int32_t small_cnn_bias_5[3] __attribute__((aligned(4))) = {
    -15240,  99187,   6586,
};

/* Multiplier Q31, one per output channel */
const int32_t small_cnn_multiplier_5[3] __attribute__((aligned(4))) = {
    1943094834, 1943094834, 1943094834,
};

/* Shift bits to the right, one per output channel */
const int8_t small_cnn_shift_5[3] __attribute__((aligned(4))) = {
    10, 10, 10,
};

/* Exponential [8]: exp(-d * 0.0134059), Q0.31 */
const int32_t small_cnn_exponential_6[8] __attribute__((aligned(4))) = {
    2147483647, 2118886554, 2090670676, 2062830480, 2035360980, 2008257256, 1981514445, 1955127748,
};
