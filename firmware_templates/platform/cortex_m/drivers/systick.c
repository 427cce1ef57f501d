/* Time: SysTick, a 24 bit down counter of processor clocks, extended to 64 bits. */
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

static volatile uint32_t wraps;

void ticks_init(void)
{
    SYST_RVR = SYST_MAX;
    SYST_CVR = 0; /* any write clears it; it counts from SYST_MAX at the next clock */
    SYST_CSR = SYST_CSR_CLKSOURCE | SYST_CSR_TICKINT | SYST_CSR_ENABLE;
}

void ticks_interrupt(void)
{
    wraps += 1;
}

/* The counter as it goes up: 0 at the moment of the wrap. A reading of 0 is passed over, since it
 * lasts one clock and it alone would be ambiguous about whether the wrap is already pending. */
static uint32_t elapsed_in_wrap(void)
{
    uint32_t value;
    do {
        value = SYST_CVR;
    } while (value == 0);
    return SYST_MAX + 1u - value;
}

uint64_t platform_ticks(void)
{
    uint32_t masked;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(masked)::"memory");
    uint32_t elapsed = elapsed_in_wrap();
    uint32_t periods = wraps;
    if ((SCB_ICSR & SCB_ICSR_PENDSTSET) != 0) { /* it wrapped, and the interrupt has yet to run */
        elapsed = elapsed_in_wrap();
        periods += 1;
    }
    __asm__ volatile("msr primask, %0" ::"r"(masked) : "memory");
    return ((uint64_t)periods << 24) + elapsed;
}

uint32_t platform_ticks_hz(void)
{
    return clock_core_hz();
}
