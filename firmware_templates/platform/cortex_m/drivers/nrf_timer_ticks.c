/* Time: a TIMER with 32 bits at 16 MHz, the clock of nRF51's core, extended to 64 bits.
 *
 * A second TIMER interrupts every second to look at the first, which so misses no wrap. Interrupts may be
 * masked for as long as the first takes to go round once, 268 s. */
#include "board.h"
#include "interrupts.h"
#include "nrf_timer.h"
#include "platform.h"

enum { READING = 0, ALARM = 0 };

/* 16 MHz divided by 2^9: a second is less than 2^16 counts. */
enum { ALARM_PRESCALER = 9, ALARM_COUNTS = 31250 };

static uint32_t last, wraps;

void ticks_init(void)
{
    TIMER_BITMODE(BOARD_TICKS_BASE) = TIMER_BITMODE_32;
    TIMER_PRESCALER(BOARD_TICKS_BASE) = 0;
    TIMER_START(BOARD_TICKS_BASE) = 1;
    TIMER_BITMODE(BOARD_TICKS_ALARM) = TIMER_BITMODE_16;
    TIMER_PRESCALER(BOARD_TICKS_ALARM) = ALARM_PRESCALER;
    TIMER_CC(BOARD_TICKS_ALARM, ALARM) = ALARM_COUNTS;
    TIMER_SHORTS(BOARD_TICKS_ALARM) = TIMER_SHORTS_CLEAR(ALARM);
    TIMER_INTENSET(BOARD_TICKS_ALARM) = TIMER_INTEN_COMPARE(ALARM);
    NVIC_ISER(BOARD_TICKS_IRQ / 32u) = 1u << BOARD_TICKS_IRQ % 32u;
    TIMER_START(BOARD_TICKS_ALARM) = 1;
}

void ticks_interrupt(void)
{
    TIMER_COMPARE(BOARD_TICKS_ALARM, ALARM) = 0;
    (void)platform_ticks();
}

uint64_t platform_ticks(void)
{
    uint32_t masked;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(masked)::"memory");
    TIMER_CAPTURE(BOARD_TICKS_BASE, READING) = 1;
    const uint32_t now = TIMER_CC(BOARD_TICKS_BASE, READING);
    wraps += now < last;
    last = now;
    const uint64_t ticks = (uint64_t)wraps << 32 | now;
    __asm__ volatile("msr primask, %0" ::"r"(masked) : "memory");
    return ticks;
}

uint32_t platform_ticks_hz(void)
{
    return BOARD_TICKS_HZ;
}
