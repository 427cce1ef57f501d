/* What the linker script put into regions of its own: copied there from flash, or cleared. */
#include <string.h>

#include "linker_symbols.h"

void place_sections(void)
{
    for (const struct linker_placed *s = linker_placed_start; s < linker_placed_end; s++) {
        if (s->to == s->from) {
            memset(s->to, 0, s->bytes);
        } else {
            memcpy(s->to, s->from, s->bytes);
        }
    }
}
