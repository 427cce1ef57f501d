/* The constants of model: 1,236 bytes, packed for the kernels that read them. */
#ifndef SMALL_CNN_WEIGHTS_H
#define SMALL_CNN_WEIGHTS_H

#include <stdint.h>

extern const int8_t small_cnn_weights_0[72];
extern const int32_t small_cnn_bias_0[4];
extern const int32_t small_cnn_multiplier_0[4];
extern const int32_t small_cnn_offset_0[4];
extern const int8_t small_cnn_weights_1[36];
extern const int32_t small_cnn_bias_1[4];
extern const int32_t small_cnn_multiplier_1[4];
extern const int8_t small_cnn_shift_1[4];
extern const int8_t small_cnn_weights_5[108];
extern const int32_t small_cnn_bias_5[3];
extern const int32_t small_cnn_exponential_6[231];

#endif
