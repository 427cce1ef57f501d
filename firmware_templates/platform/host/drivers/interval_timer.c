/* The watchdog of a native process: a timer of its processor time, whose signal is a fault. */
#define _DEFAULT_SOURCE
#include <signal.h>
#include <sys/time.h>

#include "host.h"

static void set_timer(uint32_t milliseconds)
{
    struct itimerval timer = {{0, 0}, {0, 0}};
    timer.it_value.tv_sec = (time_t)(milliseconds / 1000u);
    timer.it_value.tv_usec = (suseconds_t)(milliseconds % 1000u * 1000u);
    setitimer(HOST_WATCHDOG_TIMER, &timer, NULL);
}

void platform_watchdog_start(uint32_t milliseconds)
{
    if (!HOST_SANITIZED) { /* nobody would catch the signal */
        set_timer(milliseconds);
    }
}

void platform_watchdog_stop(void)
{
    set_timer(0);
}
