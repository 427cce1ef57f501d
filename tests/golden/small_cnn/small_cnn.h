/* model: what a program needs to run the model.
 *
 * Compiled by nanoexport from the flatbuffer with the SHA-256
 * 3265f17274f3e7d50229712abb6feb5d485e2c7bf55dd0046638c39fae5e024b
 * in the dialect `tflite`: outputs are bit for bit those of its reference.
 *
 *     small_cnn_init();
 *     memcpy(small_cnn_input_0, ..., SMALL_CNN_INPUT_0_BYTES);
 *     small_cnn_invoke();
 *     ... small_cnn_output_0[...] ...
 *
 * Inputs and outputs share one arena: an inference overwrites its inputs, and writing an input may
 * overwrite the outputs of the inference before. Not reentrant. */
#ifndef SMALL_CNN_H
#define SMALL_CNN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMALL_CNN_ARENA_BYTES 264

/* Input 0 'image': int8 [1,6,6,2],
 * real = 0.00911863055 * (q - 0) */
#define SMALL_CNN_INPUT_0_BYTES 72
#define SMALL_CNN_INPUT_0_SCALE 0.009118630550801754f
#define SMALL_CNN_INPUT_0_ZERO_POINT 0
extern int8_t *const small_cnn_input_0;

/* Output 0 'scores': int8 [1,3],
 * real = 0.00390625 * (q - (-128)) */
#define SMALL_CNN_OUTPUT_0_BYTES 3
#define SMALL_CNN_OUTPUT_0_SCALE 0.00390625f
#define SMALL_CNN_OUTPUT_0_ZERO_POINT (-128)
extern int8_t *const small_cnn_output_0;

/* Call once before the first inference. */
void small_cnn_init(void);

/* Runs one inference: reads the inputs, writes the outputs. */
void small_cnn_invoke(void);

#ifdef __cplusplus
}
#endif

#endif
