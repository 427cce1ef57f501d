/* A TIMER of Nordic's nRF51 or nRF52, at 1 MHz: it counts to the period, interrupts and begins anew. On
 * nRF51 only the first has more than 16 bits. */
#include "nrf_timer.h"
#include "board.h"
#include "interrupts.h"
#include "platform.h"

enum { PERIOD = 0, PRESCALER_1_MHZ = 4 };

#define IRQ_BIT (1u << BOARD_TIMER_IRQ % 32u)

static void (*timer_handler)(void);

uint32_t platform_timer_longest_us(void)
{
    return BOARD_TIMER_BITS == 32u ? UINT32_MAX : (1u << BOARD_TIMER_BITS % 32u) - 1u;
}

static void clear_event(void)
{
    TIMER_COMPARE(BOARD_TIMER_BASE, PERIOD) = 0;
    (void)TIMER_COMPARE(BOARD_TIMER_BASE,
                        PERIOD); /* it has reached the timer: no second interrupt */
}

void platform_timer_start(uint32_t period_us, void (*handler)(void))
{
    timer_handler = handler;
    TIMER_STOP(BOARD_TIMER_BASE) = 1;
    TIMER_CLEAR(BOARD_TIMER_BASE) = 1;
    TIMER_BITMODE(BOARD_TIMER_BASE) = BOARD_TIMER_BITS == 32u ? TIMER_BITMODE_32 : TIMER_BITMODE_16;
    TIMER_PRESCALER(BOARD_TIMER_BASE) = PRESCALER_1_MHZ;
    TIMER_SHORTS(BOARD_TIMER_BASE) = TIMER_SHORTS_CLEAR(PERIOD);
    TIMER_CC(BOARD_TIMER_BASE, PERIOD) = period_us;
    clear_event();
    TIMER_INTENSET(BOARD_TIMER_BASE) = TIMER_INTEN_COMPARE(PERIOD);
    NVIC_ISER(BOARD_TIMER_IRQ / 32u) = IRQ_BIT;
    TIMER_START(BOARD_TIMER_BASE) = 1;
}

void platform_timer_stop(void)
{
    TIMER_STOP(BOARD_TIMER_BASE) = 1;
    TIMER_INTENCLR(BOARD_TIMER_BASE) = TIMER_INTEN_COMPARE(PERIOD);
    clear_event();
    NVIC_ICER(BOARD_TIMER_IRQ / 32u) = IRQ_BIT;
    NVIC_ICPR(BOARD_TIMER_IRQ / 32u) = IRQ_BIT;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

void timer_interrupt(void)
{
    clear_event();
    timer_handler();
}
