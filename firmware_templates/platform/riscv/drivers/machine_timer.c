/* The machine timer as a periodic one. Where it is the watchdog, too, the earlier of both times is the
 * next interrupt. */
#include <stddef.h>

#include "board.h"
#include "interrupts.h"
#include "machine_time.h"
#include "platform.h"
#include "registers.h"

#if BOARD_TIMER_HZ % 1000000u != 0
#error "the period of this timer is counted in whole clocks of a microsecond"
#endif
#define CLOCKS_PER_US (BOARD_TIMER_HZ / 1000000u)

static void (*timer_handler)(void); /* NULL: not running */
static uint32_t period; /* in clocks */
static uint64_t next_time;
static uint64_t watchdog_time; /* UINT64_MAX: none */

static void await_next(void)
{
    machine_time_compare(BOARD_TIMER_BASE, next_time < watchdog_time ? next_time : watchdog_time);
}

uint32_t platform_timer_longest_us(void)
{
    return UINT32_MAX / CLOCKS_PER_US;
}

void platform_timer_start(uint32_t period_us, void (*handler)(void))
{
    const uint32_t enabled = CSR_READ(mie);
    const bool watched = (enabled & MIE_MTIE) != 0;
    CSR_WRITE(mie, enabled & ~MIE_MTIE);
    watchdog_time = watched ? machine_time_compared(BOARD_TIMER_BASE) : UINT64_MAX;
    period = period_us * CLOCKS_PER_US;
    next_time = machine_time(BOARD_TIMER_BASE) + period;
    timer_handler = handler;
    await_next();
    CSR_WRITE(mie, enabled | MIE_MTIE);
}

void platform_timer_stop(void)
{
    const uint32_t enabled = CSR_READ(mie) & ~MIE_MTIE;
    CSR_WRITE(mie, enabled);
    timer_handler = NULL;
    machine_time_compare(BOARD_TIMER_BASE, watchdog_time);
    if (watchdog_time != UINT64_MAX) {
        CSR_WRITE(mie, enabled | MIE_MTIE);
    }
}

bool timer_interrupt(void)
{
    if (timer_handler == NULL || machine_time(BOARD_TIMER_BASE) >= watchdog_time) {
        return false;
    }
    timer_handler();
    next_time += period;
    const uint64_t now = machine_time(BOARD_TIMER_BASE);
    if (next_time <= now) {
        next_time = now + period; /* those that were missed are not made up for */
    }
    await_next();
    return true;
}
