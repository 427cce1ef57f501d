/* A general-purpose timer of STM32 as the load of docs/budgets.md. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "stm32_tim.h"

static void (*timer_handler)(void);

static uint32_t clocks_per_us(void)
{
    return tim_hz(BOARD_TIMER_HZ) / 1000000u;
}

/* Without a prescaler, so that the period is exact; a timer of 16 bits takes one. */
uint32_t platform_timer_longest_us(void)
{
    return UINT32_MAX / clocks_per_us();
}

void platform_timer_start(uint32_t period_us, void (*handler)(void))
{
    timer_handler = handler;
    stm32_enable(BOARD_TIMER_ENABLE, BOARD_TIMER_ENABLE_BIT);
    if (tim_set(BOARD_TIMER_BASE, BOARD_TIMER_BITS, (uint64_t)period_us * clocks_per_us())) {
        NVIC_ISER(BOARD_TIMER_IRQ / 32u) = 1u << BOARD_TIMER_IRQ % 32u;
        tim_start(BOARD_TIMER_BASE);
    }
}

void platform_timer_stop(void)
{
    tim_stop(BOARD_TIMER_BASE, BOARD_TIMER_IRQ);
}

void timer_interrupt(void)
{
    tim_acknowledge(BOARD_TIMER_BASE);
    timer_handler();
}
