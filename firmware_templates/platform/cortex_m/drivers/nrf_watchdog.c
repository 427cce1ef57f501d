/* A compare register of a TIMER as the watchdog: its interrupt goes to the fault handler.
 *
 * The chip's own watchdog does not serve: it cannot be stopped, not even by a reset from software, and
 * the two clocks of 32 kHz between its interrupt and the reset are too few for a report (nRF51 Series
 * Reference Manual v3.0 and nRF52840 Product Specification v1.1, chapters WDT). */
#include "board.h"
#include "interrupts.h"
#include "nrf_timer.h"
#include "platform.h"

enum { END = 3 };

#define BASE BOARD_WATCHDOG_BASE
#define IRQ_BIT (1u << BOARD_WATCHDOG_IRQ % 32u)

/* The timer of the ticks runs already; any other does from here on. */
static void run_timer(void)
{
#if !defined(BOARD_TICKS_BASE) || BOARD_TICKS_BASE != BOARD_WATCHDOG_BASE
    TIMER_STOP(BASE) = 1;
    TIMER_BITMODE(BASE) = TIMER_BITMODE_32;
    TIMER_PRESCALER(BASE) = 0;
    TIMER_START(BASE) = 1;
#endif
}

void platform_watchdog_start(uint32_t milliseconds)
{
    const uint64_t counts = (uint64_t)milliseconds * (BOARD_WATCHDOG_HZ / 1000u) + 1u;
    if (counts > UINT32_MAX) {
        return; /* it would end the run too early: the host's deadline is left */
    }
    run_timer();
    TIMER_CAPTURE(BASE, END) = 1;
    TIMER_CC(BASE, END) += (uint32_t)counts;
    TIMER_COMPARE(BASE, END) = 0;
    TIMER_INTENSET(BASE) = TIMER_INTEN_COMPARE(END);
    NVIC_ISER(BOARD_WATCHDOG_IRQ / 32u) = IRQ_BIT;
}

void platform_watchdog_stop(void)
{
    TIMER_INTENCLR(BASE) = TIMER_INTEN_COMPARE(END);
    TIMER_COMPARE(BASE, END) = 0;
    NVIC_ICER(BOARD_WATCHDOG_IRQ / 32u) = IRQ_BIT;
    NVIC_ICPR(BOARD_WATCHDOG_IRQ / 32u) = IRQ_BIT;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

bool watchdog_expired(void)
{
    return TIMER_COMPARE(BASE, END) != 0;
}
