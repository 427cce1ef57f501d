/* Clocks that are right after reset: there is nothing to set up. */
#include "board.h"
#include "clock.h"

void clock_init(void)
{
}

uint32_t clock_core_hz(void)
{
    return BOARD_TICKS_HZ;
}

uint32_t clock_uart_hz(void)
{
    return BOARD_UART_CLOCK_HZ;
}
