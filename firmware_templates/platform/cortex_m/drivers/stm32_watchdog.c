/* A general-purpose timer of STM32 as the watchdog: its interrupt goes to the fault handler.
 *
 * The chips' own watchdogs do not serve. Neither stops again once it runs, so that an idle board would
 * have to feed it for ever; the independent one resets without a word of what hung, and the window one
 * counts for 60 ms at most. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "stm32_tim.h"

void platform_watchdog_start(uint32_t milliseconds)
{
    const uint64_t clocks = (uint64_t)milliseconds * (tim_hz(BOARD_WATCHDOG_HZ) / 1000u);
    stm32_enable(BOARD_WATCHDOG_ENABLE, BOARD_WATCHDOG_ENABLE_BIT);
    if (tim_set(BOARD_WATCHDOG_BASE, BOARD_WATCHDOG_BITS, clocks)) {
        NVIC_ISER(BOARD_WATCHDOG_IRQ / 32u) = 1u << BOARD_WATCHDOG_IRQ % 32u;
        tim_start(BOARD_WATCHDOG_BASE);
    } /* else it would end the run too early: the host's deadline is left */
}

void platform_watchdog_stop(void)
{
    tim_stop(BOARD_WATCHDOG_BASE, BOARD_WATCHDOG_IRQ);
}

bool watchdog_expired(void)
{
    return (TIM_SR(BOARD_WATCHDOG_BASE) & TIM_SR_UIF) != 0;
}
