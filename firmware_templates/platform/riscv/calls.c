/* Return addresses: words that point behind a call in the image. */
#include "callers.h"
#include "linker_symbols.h"

/* Calls leave the return address in ra: RISC-V Instruction Set Manual, Volume I, 2.5 and 16.4. */
static bool is_jal_or_jalr(uint32_t instruction)
{
    return (instruction & 0xFFFu) == 0x0EFu || (instruction & 0x7FFFu) == 0x00E7u;
}
static bool is_compressed_call(uint16_t instruction)
{
    const bool jal = (instruction & 0xE003u) == 0x2001u;
    const bool jalr = (instruction & 0xF07Fu) == 0x9002u && (instruction & 0x0F80u) != 0;
    return jal || jalr;
}

bool is_return_address(uint32_t word)
{
    const uint32_t start = (uint32_t)(uintptr_t)linker_image_start;
    if ((word & 1u) != 0 || word < start + 4u || word >= (uintptr_t)linker_image_end) {
        return false;
    }
    const uint16_t *const behind = linker_image_data + (word - start) / sizeof *behind;
    return is_jal_or_jalr((uint32_t)behind[-1] << 16 | behind[-2]) ||
           is_compressed_call(behind[-1]);
}
