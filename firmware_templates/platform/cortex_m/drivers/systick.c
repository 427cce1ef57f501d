/* Time: SysTick at the clock of the core. */
#include "systick_counter.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"

void ticks_init(void)
{
    systick_start(SYST_CSR_CLKSOURCE);
}

void ticks_interrupt(void)
{
    systick_wraps += 1;
}

uint64_t platform_ticks(void)
{
    return systick_count();
}

uint32_t platform_ticks_hz(void)
{
    return clock_core_hz();
}
