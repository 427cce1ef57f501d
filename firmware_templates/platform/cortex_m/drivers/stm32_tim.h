/* The general-purpose timers of STM32 (RM0090, 18.4; the same in all families), counting up. */
#ifndef NANO_STM32_TIM_H
#define NANO_STM32_TIM_H

#include "clock.h"
#include "stm32.h"

#define TIM_CR1(base) REGISTER((base) + 0x00u)
#define TIM_CR1_CEN (1u << 0)
#define TIM_CR1_URS (1u << 2) /* UG is no update that interrupts */
#define TIM_DIER(base) REGISTER((base) + 0x0Cu)
#define TIM_DIER_UIE (1u << 0)
#define TIM_SR(base) REGISTER((base) + 0x10u)
#define TIM_SR_UIF (1u << 0)
#define TIM_EGR(base) REGISTER((base) + 0x14u)
#define TIM_EGR_UG (1u << 0) /* count from 0, with the prescaler of PSC from now on */
#define TIM_CNT(base) REGISTER((base) + 0x24u)
#define TIM_PSC(base) REGISTER((base) + 0x28u)
#define TIM_ARR(base) REGISTER((base) + 0x2Cu)
#define TIM_LARGEST_PRESCALER 65536u

/* `hz`, as the board's file has it, holds once the clocks are set up; before, nothing is divided. */
static inline uint32_t tim_hz(uint32_t hz)
{
    return clock_core_hz() == BOARD_CLOCK_CORE_HZ ? hz : clock_core_hz();
}

/* Stops the timer and makes it count `clocks` of its own: exactly where its bits are enough, otherwise
 * up to one part in 2^bits longer. False, and nothing happens, where it cannot count so long, or not
 * rightly: QEMU 7.2 has timers whose interrupts come at some other time, or none. */
static inline bool tim_set(uint32_t base, uint32_t bits, uint64_t clocks)
{
    const uint64_t prescaler = ((clocks - 1u) >> bits) + 1u;
    if (prescaler > TIM_LARGEST_PRESCALER || stm32_is_emulated()) {
        return false;
    }
    TIM_CR1(base) = TIM_CR1_URS;
    TIM_PSC(base) = (uint32_t)prescaler - 1u;
    TIM_ARR(base) = (uint32_t)((clocks - 1u) / prescaler);
    TIM_EGR(base) = TIM_EGR_UG;
    TIM_SR(base) = 0;
    return true;
}

static inline void tim_start(uint32_t base)
{
    TIM_DIER(base) = TIM_DIER_UIE;
    TIM_CR1(base) = TIM_CR1_URS | TIM_CR1_CEN;
}

/* For its handler: the line of the interrupt is down once the status was read again. */
static inline void tim_acknowledge(uint32_t base)
{
    TIM_SR(base) = 0;
    (void)TIM_SR(base);
}

static inline void tim_stop(uint32_t base, uint32_t irq)
{
    TIM_CR1(base) = 0;
    TIM_DIER(base) = 0;
    tim_acknowledge(base);
    NVIC_ICER(irq / 32u) = 1u << irq % 32u;
    NVIC_ICPR(irq / 32u) = 1u << irq % 32u;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

#endif
