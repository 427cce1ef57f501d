/* Work of a known length: the load of docs/budgets.md. */
#include "platform.h"

/* Two instructions a round. */
bool platform_spin(uint32_t instructions)
{
    uint32_t rounds = instructions / 2 + 1;
    __asm__ volatile("1: addi %0, %0, -1\n\t"
                     "bnez %0, 1b"
                     : "+r"(rounds));
    return true;
}
