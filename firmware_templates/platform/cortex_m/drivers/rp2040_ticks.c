/* Time on the RP2040: SysTick counts processor clocks in 24 bits, which is 134 ms; how often it has
 * wrapped is told by TIMER's microseconds (RP2040 datasheet, 4.6), which come from the same
 * oscillator. No interrupt takes part: it is right however long interrupts are masked. */
#include "board.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define TIMER_RAW_HIGH REGISTER(BOARD_TICKS_BASE + 0x24u)
#define TIMER_RAW_LOW REGISTER(BOARD_TICKS_BASE + 0x28u)

#define WRAP_BITS 24
#define HALF_A_WRAP (1u << (WRAP_BITS - 1))

static uint64_t origin_us;

static uint64_t microseconds(void)
{
    uint32_t high, low;
    do {
        high = TIMER_RAW_HIGH;
        low = TIMER_RAW_LOW;
    } while (high != TIMER_RAW_HIGH);
    return (uint64_t)high << 32 | low;
}

void ticks_init(void)
{
    SYST_RVR = SYST_MAX;
    SYST_CVR = 0; /* any write clears it; it counts from SYST_MAX at the next clock */
    SYST_CSR = SYST_CSR_CLKSOURCE | SYST_CSR_ENABLE;
    origin_us = microseconds();
}

void ticks_interrupt(void)
{
}

/* The microseconds are some hundred clocks late at most, and half a wrap may be: the wraps are those
 * that bring SysTick's figure nearest to theirs. */
uint64_t platform_ticks(void)
{
    uint32_t masked;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(masked)::"memory");
    const uint32_t elapsed = (0u - SYST_CVR) & SYST_MAX; /* as it goes up: 0 at the wrap */
    const uint64_t passed_us = microseconds() - origin_us;
    __asm__ volatile("msr primask, %0" ::"r"(masked) : "memory");
    const uint64_t clocks = passed_us * (clock_core_hz() / 1000000u) + HALF_A_WRAP;
    const uint64_t wraps = clocks < elapsed ? 0 : (clocks - elapsed) >> WRAP_BITS;
    return (wraps << WRAP_BITS) + elapsed;
}

uint32_t platform_ticks_hz(void)
{
    return clock_core_hz();
}
