/* The machine timer as a watchdog, where there is no other: its interrupt is a trap that reports the
 * interrupted code. It comes only while interrupts are enabled, and nothing resets a board whose handler
 * hangs. */
#include "board.h"
#include "machine_time.h"
#include "platform.h"
#include "registers.h"

void platform_watchdog_start(uint32_t milliseconds)
{
    const uint64_t counts = (uint64_t)milliseconds * (BOARD_WATCHDOG_HZ / 1000u);
    machine_time_compare(BOARD_WATCHDOG_BASE, machine_time(BOARD_WATCHDOG_BASE) + counts);
    CSR_SET(mie, MIE_MTIE);
}

void platform_watchdog_stop(void)
{
    CSR_CLEAR(mie, MIE_MTIE);
}
