/* The APB timer of Arm's Cortex-M System Design Kit (DDI 0479D, section 4.2), on the MPS2 boards: it
 * counts down, interrupts at 0 and begins anew. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define TIMER_CTRL REGISTER(BOARD_TIMER_BASE + 0x0u)
#define TIMER_CTRL_ENABLE (1u << 0)
#define TIMER_CTRL_INTERRUPT (1u << 3)
#define TIMER_VALUE REGISTER(BOARD_TIMER_BASE + 0x4u)
#define TIMER_RELOAD REGISTER(BOARD_TIMER_BASE + 0x8u)
#define TIMER_INTCLEAR REGISTER(BOARD_TIMER_BASE + 0xCu)

#if BOARD_TIMER_HZ % 1000000u != 0
#error "the period of this timer is counted in whole clocks of a microsecond"
#endif
#define CLOCKS_PER_US (BOARD_TIMER_HZ / 1000000u)
#define IRQ_BIT (1u << BOARD_TIMER_IRQ % 32u)

static void (*timer_handler)(void);

uint32_t platform_timer_longest_us(void)
{
    return UINT32_MAX / CLOCKS_PER_US;
}

void platform_timer_start(uint32_t period_us, void (*handler)(void))
{
    timer_handler = handler;
    TIMER_CTRL = 0;
    TIMER_RELOAD = period_us * CLOCKS_PER_US - 1u;
    TIMER_VALUE = period_us * CLOCKS_PER_US - 1u;
    TIMER_INTCLEAR = 1;
    NVIC_ISER(BOARD_TIMER_IRQ / 32u) = IRQ_BIT;
    TIMER_CTRL = TIMER_CTRL_ENABLE | TIMER_CTRL_INTERRUPT;
}

void platform_timer_stop(void)
{
    TIMER_CTRL = 0;
    TIMER_INTCLEAR = 1;
    NVIC_ICER(BOARD_TIMER_IRQ / 32u) = IRQ_BIT;
    NVIC_ICPR(BOARD_TIMER_IRQ / 32u) = IRQ_BIT;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

void timer_interrupt(void)
{
    TIMER_INTCLEAR = 1;
    timer_handler();
}
