/* A board without a watchdog that this project can use: a run that hangs is ended by the host. */
#include "platform.h"

void platform_watchdog_start(uint32_t milliseconds)
{
    (void)milliseconds;
}

void platform_watchdog_stop(void)
{
}
