/* Two models take turns on one arena, as large as the larger one needs.
 *
 * Reads an input of the first model, writes its output, then the same for the second, until there
 * is no more to read. Put your sensor and your decision where it reads and writes. */
#include <stdint.h>
#include <stdio.h>

#include "first.h"
#include "second.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))

static int8_t arena[MAX(FIRST_ARENA_BYTES, SECOND_ARENA_BYTES)]
    __attribute__((aligned(MAX(FIRST_ARENA_ALIGNMENT, SECOND_ARENA_ALIGNMENT))));

int main(void)
{
    if (first_init(arena) != FIRST_OK || second_init(arena) != SECOND_OK) {
        return 1;
    }
    while (fread(first_input_0(arena), FIRST_INPUT_0_BYTES, 1, stdin) == 1) {
        first_invoke(arena);
        fwrite(first_output_0(arena), FIRST_OUTPUT_0_BYTES, 1, stdout);

        /* From here on the arena is the second model's; nothing of the first is needed again. */
        if (fread(second_input_0(arena), SECOND_INPUT_0_BYTES, 1, stdin) != 1) {
            return 1;
        }
        second_invoke(arena);
        fwrite(second_output_0(arena), SECOND_OUTPUT_0_BYTES, 1, stdout);
    }
    return 0;
}
