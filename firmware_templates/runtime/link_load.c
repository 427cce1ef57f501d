/* LOAD: a timer interrupt that executes instructions while the model runs, as the other work of a
 * product does. It begins and ends with the run, so that its phase, and with it every figure, repeats. */
#include "link_commands.h"
#include "platform.h"

static uint32_t load_period_us; /* 0: none */
static uint32_t load_instructions;
static volatile uint32_t load_served;

static void serve_load(void)
{
    (void)platform_spin(load_instructions);
    load_served++;
}

void nano_load_start(void)
{
    if (load_period_us != 0) {
        platform_timer_start(load_period_us, serve_load);
    }
}

void nano_load_stop(void)
{
    if (load_period_us != 0) {
        platform_timer_stop();
    }
}

void nano_load_init(void)
{
    load_period_us = 0;
    load_served = 0;
}

enum nano_status nano_link_load(const uint8_t *payload, size_t size, struct nano_writer *reply)
{
    (void)size;
    const uint32_t longest_us = platform_timer_longest_us();
    const uint32_t period_us = nano_get_u32(payload);
    if (longest_us == 0) {
        return NANO_UNSUPPORTED;
    }
    if (period_us > longest_us) {
        return NANO_OUT_OF_RANGE;
    }
    nano_put_u32(reply, load_served);
    load_served = 0;
    load_period_us = period_us;
    load_instructions = nano_get_u32(payload + 4);
    return NANO_OK;
}
