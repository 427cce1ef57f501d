/* A tick each millisecond from SysTick: DDI 0403E, B3.3. */
#include "clock.h"
#include "line.h"
#include "registers.h"

void timer_open(void)
{
    SYST_RVR = clock_core_hz() / 1000u - 1u;
    SYST_CVR = 0;
    SYST_CSR = SYST_CSR_CLKSOURCE | SYST_CSR_TICKINT | SYST_CSR_ENABLE;
}

/* Reading the register clears the flag. */
bool timer_ticked(void)
{
    return (SYST_CSR & SYST_CSR_COUNTFLAG) != 0;
}
