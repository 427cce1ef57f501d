/* Time: mcycle counts the core's clocks (RISC-V Instruction Set Manual, volume II, 3.1.10). */
#include "board.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

/* It runs from reset on; cores before version 1.11 of the privileged architecture cannot stop it. */
void ticks_init(void)
{
}

/* Both halves of one moment: read again where the low half has wrapped in between (volume I, 10.1). */
uint64_t platform_ticks(void)
{
    uint32_t high, low, again;
    do {
        high = CSR_READ(mcycleh);
        low = CSR_READ(mcycle);
        again = CSR_READ(mcycleh);
    } while (high != again);
    return (uint64_t)high << 32 | low;
}

uint32_t platform_ticks_hz(void)
{
    return clock_core_hz();
}
