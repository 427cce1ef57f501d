/* SysTick, a 24 bit down counter, extended to 64 bits. */
#ifndef NANO_SYSTICK_COUNTER_H
#define NANO_SYSTICK_COUNTER_H

#include <stdint.h>

#include "registers.h"

static volatile uint32_t systick_wraps;

/* `clock`: SYST_CSR_CLKSOURCE for that of the core, 0 for the chip's reference. */
static inline void systick_start(uint32_t clock)
{
    SYST_RVR = SYST_MAX;
    SYST_CVR = 0; /* any write clears it; it counts from SYST_MAX at the next clock */
    SYST_CSR = clock | SYST_CSR_TICKINT | SYST_CSR_ENABLE;
}

/* The counter as it goes up: 0 at the moment of the wrap. A reading of 0 is passed over, since it
 * lasts one clock and it alone would be ambiguous about whether the wrap is already pending. */
static inline uint32_t systick_elapsed_in_wrap(void)
{
    uint32_t value;
    do {
        value = SYST_CVR;
    } while (value == 0);
    return SYST_MAX + 1u - value;
}

static inline uint64_t systick_count(void)
{
    uint32_t masked;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(masked)::"memory");
    uint32_t elapsed = systick_elapsed_in_wrap();
    uint32_t periods = systick_wraps;
    if ((SCB_ICSR & SCB_ICSR_PENDSTSET) != 0) { /* it wrapped, and the interrupt has yet to run */
        elapsed = systick_elapsed_in_wrap();
        periods += 1;
    }
    __asm__ volatile("msr primask, %0" ::"r"(masked) : "memory");
    return ((uint64_t)periods << 24) + elapsed;
}

#endif
