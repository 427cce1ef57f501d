/* Time: minstret counts the instructions retired, which is what a benchmark wants to know. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

void ticks_init(void)
{
    CSR_WRITE(mcountinhibit, 0);
}

/* Both halves of one moment: read again where the low half has wrapped in between (volume I, 10.1). */
uint64_t platform_ticks(void)
{
    uint32_t high, low, again;
    do {
        high = CSR_READ(minstreth);
        low = CSR_READ(minstret);
        again = CSR_READ(minstreth);
    } while (high != again);
    return (uint64_t)high << 32 | low;
}

uint32_t platform_ticks_hz(void)
{
    return BOARD_TICKS_HZ;
}
