/* Work of a known length: the load of docs/budgets.md. */
#include "assembly.h"
#include "platform.h"

/* Two instructions a round. */
bool platform_spin(uint32_t instructions)
{
    uint32_t rounds = instructions / 2 + 1;
    __asm__ volatile(ASSEMBLY_UNIFIED ".p2align 2\n"
                                      "1: subs %0, %0, #1\n\t"
                                      "bne 1b"
                     : "+l"(rounds)::"cc");
    return true;
}
