/* What can be protected next to the arena. */
#ifndef NANO_ARENA_GUARDS_H
#define NANO_ARENA_GUARDS_H

#include <stdbool.h>
#include <stdint.h>

enum { ARENA_GUARDS = 2 };

/* From, and one past the end: whole blocks. */
struct arena_guard {
    uint32_t start, end;
};
extern struct arena_guard arena_guards[ARENA_GUARDS];
extern uint32_t arena_guard_count;

bool guard_is_of_arena(uint32_t address);

/* guard.c of the platform: the least that can be protected, a power of two. */
uint32_t guard_block_bytes(void);

#endif
