/* TIMER of RP2040 (datasheet, 4.6) and RP2350 (12.8): microseconds, and alarm 0 on them. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define TIMER_ALARM_0 REGISTER(BOARD_TIMER_BASE + 0x10u) /* a write arms it */
#define TIMER_ARMED REGISTER(BOARD_TIMER_BASE + 0x20u) /* a one disarms */
#define TIMER_RAW_LOW REGISTER(BOARD_TIMER_BASE + 0x28u)
#define TIMER_INTR REGISTER(BOARD_TIMER_BASE + BOARD_TIMER_INTERRUPTS)
#define TIMER_INTE_SET REGISTER(BOARD_TIMER_BASE + BOARD_TIMER_INTERRUPTS + 4u + 0x2000u)
#define TIMER_INTE_CLEAR REGISTER(BOARD_TIMER_BASE + BOARD_TIMER_INTERRUPTS + 4u + 0x3000u)
#define ALARM_0 1u

#define IRQ_BIT (1u << BOARD_TIMER_IRQ % 32u)

static void (*timer_handler)(void);
static volatile uint32_t timer_period_us, timer_due_us;

/* An alarm is an equality: one whose moment has passed would come 71 minutes later. */
static void arm_next(void)
{
    do {
        timer_due_us += timer_period_us;
        TIMER_ALARM_0 = timer_due_us;
    } while ((int32_t)(timer_due_us - TIMER_RAW_LOW) <= 0 && (TIMER_INTR & ALARM_0) == 0);
}

uint32_t platform_timer_longest_us(void)
{
    return INT32_MAX;
}

void platform_timer_start(uint32_t period_us, void (*handler)(void))
{
    timer_handler = handler;
    timer_period_us = period_us;
    timer_due_us = TIMER_RAW_LOW;
    TIMER_INTR = ALARM_0;
    TIMER_INTE_SET = ALARM_0;
    NVIC_ISER(BOARD_TIMER_IRQ / 32u) = IRQ_BIT;
    arm_next();
}

void platform_timer_stop(void)
{
    TIMER_INTE_CLEAR = ALARM_0;
    TIMER_ARMED = ALARM_0;
    TIMER_INTR = ALARM_0;
    NVIC_ICER(BOARD_TIMER_IRQ / 32u) = IRQ_BIT;
    NVIC_ICPR(BOARD_TIMER_IRQ / 32u) = IRQ_BIT;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

void timer_interrupt(void)
{
    TIMER_INTR = ALARM_0;
    arm_next();
    timer_handler();
}
