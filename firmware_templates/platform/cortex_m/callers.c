/* Who called: words on the stack that are return addresses.
 *
 * There are no frame pointers to follow. A word counts where it points, with the Thumb bit, behind a
 * call in the image; what lies on the stack from earlier calls counts, too, so that these are hints. */
#include "interrupts.h"
#include "linker_symbols.h"

/* DDI 0403E, A7.7.18 and A7.7.19. */
static bool is_bl(uint16_t first, uint16_t second)
{
    return (first & 0xF800u) == 0xF000u && (second & 0xD000u) == 0xD000u;
}
static bool is_blx(uint16_t instruction)
{
    return (instruction & 0xFF87u) == 0x4780u;
}

static bool is_return_address(uint32_t word)
{
    const uint32_t start = (uint32_t)(uintptr_t)linker_image_start;
    if ((word & 1u) == 0 || word < start + 4u || word >= (uintptr_t)linker_image_end) {
        return false;
    }
    const uint16_t *const behind = (const uint16_t *)(uintptr_t)(word - 1u);
    return is_bl(behind[-2], behind[-1]) || is_blx(behind[-1]);
}

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
