/* A periodic timer: target 0 of the system timer, on counter 0. ESP32-C3 Technical Reference Manual, v1.0,
 * 10.5.3. */
#include <stddef.h>

#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define SYSTIMER_CONF REGISTER(BOARD_TIMER_BASE + 0x00u)
#define SYSTIMER_CONF_TARGET0_WORK_EN (1u << 24)
#define TARGET0_CONF REGISTER(BOARD_TIMER_BASE + 0x34u)
#define TARGET0_CONF_PERIOD_MODE (1u << 30)
#define TARGET0_LONGEST_PERIOD 0x3FFFFFFu /* 26 bits */
#define COMP0_LOAD REGISTER(BOARD_TIMER_BASE + 0x50u)
#define SYSTIMER_INT_ENA REGISTER(BOARD_TIMER_BASE + 0x64u)
#define SYSTIMER_INT_CLR REGISTER(BOARD_TIMER_BASE + 0x6Cu)
#define SYSTIMER_INT_TARGET0 1u

#define COUNTS_PER_US (BOARD_TIMER_HZ / 1000000u)

static void (*timer_handler)(void); /* NULL: not running */

uint32_t platform_timer_longest_us(void)
{
    return TARGET0_LONGEST_PERIOD / COUNTS_PER_US;
}

/* The mode is set after the period has been loaded: it takes the period that is there then. */
void platform_timer_start(uint32_t period_us, void (*handler)(void))
{
    platform_timer_stop();
    timer_handler = handler;
    TARGET0_CONF = period_us * COUNTS_PER_US;
    COMP0_LOAD = 1;
    TARGET0_CONF |= TARGET0_CONF_PERIOD_MODE;
    SYSTIMER_INT_CLR = SYSTIMER_INT_TARGET0;
    SYSTIMER_INT_ENA |= SYSTIMER_INT_TARGET0;
    SYSTIMER_CONF |= SYSTIMER_CONF_TARGET0_WORK_EN;
    controller_enable(BOARD_TIMER_IRQ);
}

void platform_timer_stop(void)
{
    SYSTIMER_CONF &= ~SYSTIMER_CONF_TARGET0_WORK_EN;
    SYSTIMER_INT_ENA &= ~SYSTIMER_INT_TARGET0;
    SYSTIMER_INT_CLR = SYSTIMER_INT_TARGET0;
    timer_handler = NULL;
}

/* The line is its own: an interrupt that was on its way when the timer stopped has nothing to call. */
bool timer_interrupt(void)
{
    SYSTIMER_INT_CLR = SYSTIMER_INT_TARGET0;
    if (timer_handler != NULL) {
        timer_handler();
    }
    return true;
}
