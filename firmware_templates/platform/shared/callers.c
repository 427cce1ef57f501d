/* There are no frame pointers to follow: every word on the stack is looked at. What lies there from earlier
 * calls counts, too, so that these are hints. */
#include "callers.h"
#include "linker_symbols.h"

void find_callers(uint32_t sp, uint32_t *callers, uint32_t capacity)
{
    const uint32_t *word = linker_stack_bottom;
    if (sp > (uintptr_t)word) {
        word += (sp - (uint32_t)(uintptr_t)word) / sizeof *word;
    }
    for (uint32_t found = 0; found < capacity && word < linker_stack_top; word++) {
        if (is_return_address(*word)) {
            callers[found++] = *word;
        }
    }
}
