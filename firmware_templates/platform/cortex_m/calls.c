/* Return addresses: words that point, with the Thumb bit, behind a call in the image. */
#include "callers.h"
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

bool is_return_address(uint32_t word)
{
    const uint32_t start = (uint32_t)(uintptr_t)linker_image_start;
    if ((word & 1u) == 0 || word < start + 4u || word >= (uintptr_t)linker_image_end) {
        return false;
    }
    const uint16_t *const behind = (const uint16_t *)(uintptr_t)(word - 1u);
    return is_bl(behind[-2], behind[-1]) || is_blx(behind[-1]);
}
