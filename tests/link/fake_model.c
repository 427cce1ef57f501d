/* A model small enough to check by hand, that misbehaves when its first input byte says so.
 *
 * inputs: 0 "image" int8 [1,8], 1 "large" int8 [1,3000]; outputs: 0 "sum" int8 [1,4],
 * 1 "count" int32 [1,1]. `sum[i] = image[2i] + image[2i+1]`, `count` counts the runs since boot. */
#include <string.h>

#include "model_description.h"
#include "platform.h"

#ifndef FAKE_MODEL_IS_HARMLESS
#define FAKE_MODEL_IS_HARMLESS 0
#endif

#ifndef FAKE_MODEL_LARGE_BYTES
#define FAKE_MODEL_LARGE_BYTES 3000
#endif

enum { GUARD = 16, LARGE = FAKE_MODEL_LARGE_BYTES, ARENA = LARGE + 24 };
enum misbehaviour {
    OVERRUN = 101,
    UNDERRUN = 102,
    NULL_WRITE = 103,
    DIVIDE = 104,
    SLOW = 105,
    FAR_READ = 106, /* an address that no board has */
    HANG = 107,
    RECURSE = 108,
    LOW_HALF = 109, /* of the stack pointer: of 64 bits not the stack */
};

static int8_t memory[GUARD + ARENA + GUARD] __attribute__((aligned(16)));
#define image (memory + GUARD)
#define large (memory + GUARD + 8)
#define sum (memory + GUARD + 8 + LARGE)
#define count (memory + GUARD + 8 + LARGE + 4)

static int32_t runs;

/* How often the model has run since boot, whatever became of the arena. */
int32_t fake_model_runs(void);
int32_t fake_model_runs(void)
{
    return runs;
}

static void be_slow(void)
{
    const uint64_t start = platform_ticks();
    while (platform_ticks() - start < 2ull * platform_ticks_hz()) {
    }
}

/* Deeper than any stack; the argument keeps the compiler from making a loop of it. */
static int recurse(volatile int *depth)
{
    volatile int local[16];
    local[0] = *depth + 1;
    return local[0] == 0 ? 0 : recurse(&local[0]) + local[0];
}

static void misbehave(void)
{
    volatile int zero = 0, seven = 7;
    switch (image[0]) {
    case OVERRUN:
        memory[GUARD + ARENA + 3] = 0;
        break;
    case UNDERRUN:
        memory[1] = 0;
        break;
    case NULL_WRITE:
        *(volatile int8_t *)(uintptr_t)zero = 1;
        break;
    case DIVIDE:
        zero = seven / zero;
        break;
    case SLOW:
        be_slow();
        break;
    case FAR_READ:
        seven = *(volatile int *)0xD0000000u;
        break;
    case HANG:
        for (;;) {
        }
    case RECURSE:
        seven = recurse(&zero);
        break;
    case LOW_HALF:
        seven = *(volatile int *)(uintptr_t)(uint32_t)(uintptr_t)&zero;
        break;
    default:
        break;
    }
}

static void add_pairs(int8_t *arena)
{
    (void)arena;
    if (!FAKE_MODEL_IS_HARMLESS) {
        misbehave();
    }
    for (int i = 0; i < 4; i++) {
        sum[i] = (int8_t)(image[2 * i] + image[2 * i + 1]);
    }
}

static void count_runs(int8_t *arena)
{
    (void)arena;
    volatile uint8_t stack[2000]; /* so that the stack report has something to find */
    for (size_t i = 0; i < sizeof stack; i++) {
        stack[i] = (uint8_t)i;
    }
    runs++;
    memcpy(count, &runs, sizeof runs);
}

static void init(void)
{
    runs = 0;
}

static void invoke(void)
{
    add_pairs(image);
    count_runs(image);
}

static const struct nano_tensor inputs[] = {
    {"image", NANO_INT8, 2, {1, 8}, 0.5f, -3, 8, image},
    {"large", NANO_INT8, 2, {1, LARGE}, 0.25f, 0, LARGE, large},
};
static const struct nano_tensor outputs[] = {
    {"sum", NANO_INT8, 2, {1, 4}, 1.0f, -6, 4, sum},
    {"count", NANO_INT32, 2, {1, 1}, 1.0f, 0, 4, count},
};
static const struct nano_step steps[] = {
    {"ADD", "sum", add_pairs},
    {"COUNT", "count", count_runs},
};

const struct nano_model nano_model = {
    .name = "fake",
    .board = "host",
    .dialect = "tflite",
    .model_sha256 = {0x11, 0x22, 0x33},
    .build_id = {0xAA, 0xBB},
    .templates_sha256 = {0xCC},
    .toolchain = "cc 1.2.3",
    .input_count = 2,
    .output_count = 2,
    .step_count = 2,
    .inputs = inputs,
    .outputs = outputs,
    .steps = steps,
    .arena = image,
    .arena_bytes = ARENA,
    .guard_bytes = GUARD,
    .init = init,
    .invoke = invoke,
};
