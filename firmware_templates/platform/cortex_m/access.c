/* Armv6-M keeps no address of a fault: here it is made again, from the instruction and its registers.
 *
 * All loads and stores of these cores are 16 bits long. Other cores have a register for it, and the
 * linker leaves this out. */
#include "access.h"
#include "linker_symbols.h"

/* Three bits of an instruction, the number of one of r0 to r7. */
static uint32_t register_at(uint32_t instruction, uint32_t bit)
{
    return instruction >> bit & 7u;
}

static uint32_t bits_set(uint32_t value)
{
    uint32_t count = 0;
    for (; value != 0; value &= value - 1u) {
        count++;
    }
    return count;
}

/* STR, STRB, STRH and their loads with an offset of five bits, in units of what they access. */
static uint32_t with_offset(uint32_t instruction, const uint32_t *low, uint32_t bytes)
{
    return low[register_at(instruction, 3)] + (instruction >> 6 & 31u) * bytes;
}

/* DDI 0419E, A5.2 and A5.2.4; the instruction's highest bits tell its form. Where the core went astray
 * there may be nothing to read. */
uint32_t accessed_address(uint32_t pc, const uint32_t *low, uint32_t sp)
{
    if (pc < (uintptr_t)linker_image_start || pc >= (uintptr_t)linker_image_end) {
        return 0;
    }
    const uint32_t instruction = *(const uint16_t *)(uintptr_t)(pc & ~1u);
    switch (instruction >> 12) {
    case 0x5: /* with a register as offset */
        return low[register_at(instruction, 3)] + low[register_at(instruction, 6)];
    case 0x6:
        return with_offset(instruction, low, 4);
    case 0x7:
        return with_offset(instruction, low, 1);
    case 0x8:
        return with_offset(instruction, low, 2);
    case 0x9: /* relative to the stack pointer */
        return sp + (instruction & 0xFFu) * 4u;
    case 0xC: /* STM and LDM */
        return low[register_at(instruction, 8)];
    case 0xB:
        if ((instruction & 0xFE00u) == 0xB400u) { /* PUSH */
            return sp - 4u * bits_set(instruction & 0x1FFu);
        }
        return (instruction & 0xFE00u) == 0xBC00u ? sp : 0; /* POP */
    default:
        return 0;
    }
}
