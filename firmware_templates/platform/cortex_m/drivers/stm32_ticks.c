/* Time: a general-purpose timer of STM32 with 32 bits, for cores without a cycle counter. Interrupts may
 * be masked for as long as it takes to go round once: 67 s at 64 MHz. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "stm32_tim.h"

enum { TICKS_BITS = 32 };

static volatile uint32_t wraps;

void ticks_init(void)
{
    stm32_enable(BOARD_TICKS_ENABLE, BOARD_TICKS_ENABLE_BIT);
    (void)tim_set(BOARD_TICKS_BASE, TICKS_BITS, (uint64_t)1 << TICKS_BITS);
    NVIC_ISER(BOARD_TICKS_IRQ / 32u) = 1u << BOARD_TICKS_IRQ % 32u;
    tim_start(BOARD_TICKS_BASE);
}

void ticks_interrupt(void)
{
    tim_acknowledge(BOARD_TICKS_BASE);
    wraps += 1;
}

uint64_t platform_ticks(void)
{
    uint32_t masked;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(masked)::"memory");
    uint32_t low = TIM_CNT(BOARD_TICKS_BASE);
    uint32_t high = wraps;
    if ((TIM_SR(BOARD_TICKS_BASE) & TIM_SR_UIF) !=
        0) { /* it wrapped, and the interrupt has yet to run */
        low = TIM_CNT(BOARD_TICKS_BASE);
        high += 1;
    }
    __asm__ volatile("msr primask, %0" ::"r"(masked) : "memory");
    return (uint64_t)high << 32 | low;
}

uint32_t platform_ticks_hz(void)
{
    return tim_hz(BOARD_TICKS_HZ);
}
