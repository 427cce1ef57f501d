/* Runs the model and watches it: ticks, stack, and the guards on both sides of the arena. */
#include "crc32.h"
#include "link_commands.h"
#include "model_description.h"
#include "platform.h"

enum { GUARD_PATTERN = 0xA5, EMPTY_READINGS = 64 };
enum { INVOKE_WITH_INTERRUPTS = 1, INVOKE_WITH_GUARDS = 2 };

static uint32_t invoke_stack_bytes;
static uint32_t next_step; /* of a profile; a whole invoke ends the profile */

static void fill_guard(int8_t *guard)
{
    memset(guard, GUARD_PATTERN, nano_model.guard_bytes);
    platform_guard(guard, nano_model.guard_bytes);
}

void nano_guards_fill(void)
{
    fill_guard(nano_model.arena - nano_model.guard_bytes);
    fill_guard(nano_model.arena + nano_model.arena_bytes);
}

static uint32_t damaged_bytes(const int8_t *guard)
{
    uint32_t damaged = 0;
    for (uint32_t i = 0; i < nano_model.guard_bytes; i++) {
        damaged += (uint8_t)guard[i] != GUARD_PATTERN;
    }
    return damaged;
}

enum nano_status nano_link_invoke(const uint8_t *payload, size_t size, struct nano_writer *reply)
{
    (void)size;
    const uint32_t watchdog_ms = nano_get_u32(payload);
    const uint32_t flags = nano_get_u32(payload + 4);
    const bool interrupts = (flags & INVOKE_WITH_INTERRUPTS) != 0;
    next_step = 0;
    platform_guards_enforce((flags & INVOKE_WITH_GUARDS) != 0);
    if (watchdog_ms != 0) {
        platform_watchdog_start(watchdog_ms);
    }
    if (interrupts) {
        nano_load_start();
    } else {
        platform_stack_paint(); /* masks them */
    }
    const uint64_t start = platform_ticks();
    nano_model.invoke();
    const uint64_t end = platform_ticks();
    if (interrupts) {
        nano_load_stop();
    }
    invoke_stack_bytes = interrupts ? 0 : platform_stack_used();
    platform_watchdog_stop();
    platform_guards_enforce(false);
    nano_put_u64(reply, end - start);
    nano_put_u32(reply, invoke_stack_bytes);
    return NANO_OK;
}

/* Ticks of many readings with nothing between them: the counter may be coarser than one reading. */
static uint32_t empty_reading_ticks(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < EMPTY_READINGS; i++) {
        const uint64_t start = platform_ticks();
        sum += platform_ticks() - start;
    }
    return (uint32_t)sum;
}

/* Steps run in order and once each: the arena carries what the one leaves to the next. */
enum nano_status nano_link_profile(const uint8_t *payload, size_t size, struct nano_writer *reply)
{
    (void)size;
    const uint32_t first = nano_get_u16(payload);
    const uint32_t count = nano_get_u16(payload + 2);
    if (first > nano_model.step_count || count > nano_model.step_count - first ||
        6 + 8 * count > reply->capacity) {
        return NANO_OUT_OF_RANGE;
    }
    if (first != 0 && first != next_step) {
        return NANO_OUT_OF_ORDER;
    }
    nano_put_u16(reply, EMPTY_READINGS);
    nano_put_u32(reply, empty_reading_ticks());
    for (uint32_t i = first; i < first + count; i++) {
        platform_step = i + 1;
        const uint64_t start = platform_ticks();
        nano_model.steps[i].run(nano_model.arena);
        nano_put_u64(reply, platform_ticks() - start);
    }
    platform_step = 0;
    next_step = first + count;
    return NANO_OK;
}

enum nano_status nano_link_spin(const uint8_t *payload, size_t size, struct nano_writer *reply)
{
    (void)size;
    const uint64_t start = platform_ticks();
    if (!platform_spin(nano_get_u32(payload))) {
        return NANO_UNSUPPORTED;
    }
    nano_put_u64(reply, platform_ticks() - start);
    return NANO_OK;
}

enum nano_status nano_link_memory(const uint8_t *payload, size_t size, struct nano_writer *reply)
{
    (void)payload;
    (void)size;
    nano_put_u32(reply, nano_model.arena_bytes);
    nano_put_u32(reply, nano_model.guard_bytes);
    nano_put_u32(reply, damaged_bytes(nano_model.arena - nano_model.guard_bytes));
    nano_put_u32(reply, damaged_bytes(nano_model.arena + nano_model.arena_bytes));
    nano_put_u32(reply, invoke_stack_bytes);
    nano_put_u32(reply, platform_image_bytes());
    nano_put_u32(reply, nano_link_bad_frames());
    const uint8_t *image;
    nano_put_u32(reply, platform_image(&image) ? nano_crc32(image, platform_image_bytes()) : 0);
    return NANO_OK;
}
