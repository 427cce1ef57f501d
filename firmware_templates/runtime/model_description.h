/* What the hardware-in-the-loop application needs to know about the model it was built with.
 *
 * Rendered once per project into `model/model_description.c`; the standalone application and users'
 * programs need none of it, only `model.h`. */
#ifndef NANO_MODEL_DESCRIPTION_H
#define NANO_MODEL_DESCRIPTION_H

#include <stdint.h>

#define NANO_MAX_RANK 6

enum nano_type { NANO_INT8 = 1, NANO_INT16 = 2, NANO_INT32 = 3 };

struct nano_tensor {
    const char *name;
    uint32_t type;                 /* enum nano_type */
    uint32_t rank;
    uint32_t shape[NANO_MAX_RANK]; /* unused dimensions are 0 */
    float scale;
    int32_t zero_point;
    uint32_t bytes;
    int8_t *data;                  /* inside the arena */
};

struct nano_step {
    const char *op;                /* operator of the flatbuffer, e.g. "CONV_2D" */
    const char *name;              /* name of its output tensor in the flatbuffer */
    void (*run)(int8_t *arena);
};

struct nano_model {
    const char *name;
    const char *board;
    const char *dialect;           /* "tflite" or "litert" */
    uint8_t model_sha256[32];
    uint8_t build_id[32];
    uint8_t templates_sha256[32];  /* what all of this was rendered from */
    const char *toolchain;         /* compiler and version */
    uint32_t input_count, output_count, step_count;
    const struct nano_tensor *inputs, *outputs;
    const struct nano_step *steps; /* running all of them in order is one inference */
    int8_t *arena;
    uint32_t arena_bytes;
    uint32_t guard_bytes;          /* canary bytes on either side of the arena */
    void (*init)(void);
    void (*invoke)(void);
};

extern const struct nano_model nano_model;

#endif
