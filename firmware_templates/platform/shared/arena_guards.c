#include "arena_guards.h"

#include "platform.h"

struct arena_guard arena_guards[ARENA_GUARDS];
uint32_t arena_guard_count;

void platform_guard(const void *start, uint32_t bytes)
{
    const uint32_t block_bytes = guard_block_bytes();
    const uint32_t first = (uint32_t)(uintptr_t)start;
    const uint32_t from = (first + block_bytes - 1u) & ~(block_bytes - 1u);
    const uint32_t to = (first + bytes) & ~(block_bytes - 1u);
    if (from < to && arena_guard_count < ARENA_GUARDS) {
        arena_guards[arena_guard_count].start = from;
        arena_guards[arena_guard_count].end = to;
        arena_guard_count++;
    }
}

bool guard_is_of_arena(uint32_t address)
{
    for (uint32_t i = 0; i < arena_guard_count; i++) {
        if (address >= arena_guards[i].start && address < arena_guards[i].end) {
            return true;
        }
    }
    return false;
}
