/* A board without a timer that this project can use. */
#include "platform.h"

uint32_t platform_timer_longest_us(void)
{
    return 0;
}

void platform_timer_start(uint32_t period_us, void (*handler)(void))
{
    (void)period_us;
    (void)handler;
}

void platform_timer_stop(void)
{
}
