/* The layers of model one by one, for profiling and debugging; layers that
 * make their rows in turn are one function.
 *
 * Running all of them in order on small_cnn_arena is one inference. */
#ifndef SMALL_CNN_LAYERS_H
#define SMALL_CNN_LAYERS_H

#include <stdint.h>

#define SMALL_CNN_GUARD_BYTES 32

/* The arena, with SMALL_CNN_GUARD_BYTES unused bytes on either side. */
extern int8_t small_cnn_arena[SMALL_CNN_GUARD_BYTES + 264 + SMALL_CNN_GUARD_BYTES];

void small_cnn_layer_0_conv_2d(int8_t *arena);
void small_cnn_layers_1_to_2(int8_t *arena);
void small_cnn_layer_3_max_pool_2d(int8_t *arena);
void small_cnn_layer_5_fully_connected(int8_t *arena);
void small_cnn_layer_6_softmax(int8_t *arena);

#endif
