/* A general-purpose timer of a Stellaris LM3S, as one of 32 bits: it counts clocks of the core down,
 * interrupts at 0 and begins anew (LM3S6965 Microcontroller Data Sheet, General-Purpose Timers). */
#include "board.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define TIMER_CFG REGISTER(BOARD_TIMER_BASE + 0x000u)
#define TIMER_CFG_32_BITS 0u
#define TIMER_TAMR REGISTER(BOARD_TIMER_BASE + 0x004u)
#define TIMER_TAMR_PERIODIC 2u
#define TIMER_CTL REGISTER(BOARD_TIMER_BASE + 0x00Cu)
#define TIMER_CTL_ENABLE (1u << 0)
#define TIMER_IMR REGISTER(BOARD_TIMER_BASE + 0x018u)
#define TIMER_ICR REGISTER(BOARD_TIMER_BASE + 0x024u)
#define TIMER_TIME_OUT (1u << 0)
#define TIMER_TAILR REGISTER(BOARD_TIMER_BASE + 0x028u)

#define IRQ_BIT (1u << BOARD_TIMER_IRQ % 32u)

static void (*timer_handler)(void);

static uint32_t clocks_per_us(void)
{
    return clock_core_hz() / 1000000u;
}

uint32_t platform_timer_longest_us(void)
{
    return UINT32_MAX / clocks_per_us();
}

static void clear_event(void)
{
    TIMER_ICR = TIMER_TIME_OUT;
    (void)TIMER_IMR; /* it has reached the timer: no second interrupt */
}

void platform_timer_start(uint32_t period_us, void (*handler)(void))
{
    timer_handler = handler;
    TIMER_CTL = 0;
    TIMER_CFG = TIMER_CFG_32_BITS;
    TIMER_TAMR = TIMER_TAMR_PERIODIC;
    TIMER_TAILR = period_us * clocks_per_us() - 1u;
    clear_event();
    TIMER_IMR = TIMER_TIME_OUT;
    NVIC_ISER(BOARD_TIMER_IRQ / 32u) = IRQ_BIT;
    TIMER_CTL = TIMER_CTL_ENABLE;
}

void platform_timer_stop(void)
{
    TIMER_CTL = 0;
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
