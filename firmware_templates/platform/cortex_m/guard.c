/* The memory protection unit: what lies next to the stack and next to the arena is out of bounds.
 *
 * The unit protects whole blocks of 32 bytes. Stores there are a MemManage fault that names address and
 * instruction; reads next to the arena stay allowed. Without a unit nothing is protected, and the stack
 * ends where RAM does. */
#include "interrupts.h"
#include "linker_symbols.h"
#include "platform.h"
#include "registers.h"

enum { BLOCK_BYTES = 32, BELOW_STACK_LOG2_BYTES = 12, ARENA_GUARDS = 2 };

/* What can be protected next to the arena: from, and one past the end. */
static struct {
    uint32_t start, end;
} arena_guards[ARENA_GUARDS];
static uint32_t arena_guard_count;

static uint32_t region_count(void)
{
    return (MPU_TYPE & MPU_TYPE_DREGION) >> MPU_TYPE_DREGION_SHIFT;
}

static void enable(void)
{
    MPU_CTRL = MPU_CTRL_PRIVDEFENA | MPU_CTRL_ENABLE;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)

enum { FIRST_OF_ARENA = 0 };

/* The stack has a register of its own, set by reset_handler. */
void guard_stack(void)
{
}

/* One region; returns the next one's number. DDI 0553. */
static uint32_t protect(uint32_t region, uint32_t start, uint32_t end, bool on)
{
    if (region < region_count()) {
        MPU_MAIR0 = MPU_MAIR_WRITE_BACK;
        MPU_RNR = region;
        MPU_RBAR = start | MPU_RBAR_READ_ONLY | MPU_RBAR_XN;
        MPU_RLAR = (end - BLOCK_BYTES) | (on ? MPU_RLAR_ENABLE : 0);
    }
    return region + 1;
}

#else

enum { OF_STACK = 0, FIRST_OF_ARENA = 1 };

/* The pages below the stack, where some boards answer. */
void guard_stack(void)
{
    if (region_count() != 0) {
        const uint32_t end = (uint32_t)(uintptr_t)linker_stack_bottom;
        MPU_RBAR = (end - (1u << BELOW_STACK_LOG2_BYTES)) | MPU_RBAR_VALID | OF_STACK;
        MPU_RASR = MPU_RASR_SIZE(BELOW_STACK_LOG2_BYTES) | MPU_RASR_ENABLE;
        enable();
    }
}

/* A region is as long as it is aligned, so one for each block: a guard has two at most. */
static uint32_t protect(uint32_t region, uint32_t start, uint32_t end, bool on)
{
    const uint32_t rights = MPU_RASR_SIZE(5u) | MPU_RASR_READ_ONLY | MPU_RASR_WRITE_BACK |
                            MPU_RASR_XN | (on ? MPU_RASR_ENABLE : 0);
    for (uint32_t block = start; block < end && region < region_count(); block += BLOCK_BYTES) {
        MPU_RBAR = block | MPU_RBAR_VALID | region;
        MPU_RASR = rights;
        region++;
    }
    return region;
}

#endif

void platform_guard(const void *start, uint32_t bytes)
{
    const uint32_t first = (uint32_t)(uintptr_t)start;
    const uint32_t from = (first + BLOCK_BYTES - 1u) & ~(BLOCK_BYTES - 1u);
    const uint32_t to = (first + bytes) & ~(BLOCK_BYTES - 1u);
    if (from < to && arena_guard_count < ARENA_GUARDS) {
        arena_guards[arena_guard_count].start = from;
        arena_guards[arena_guard_count].end = to;
        arena_guard_count++;
    }
}

void platform_guards_enforce(bool on)
{
    uint32_t region = FIRST_OF_ARENA;
    for (uint32_t i = 0; i < arena_guard_count; i++) {
        region = protect(region, arena_guards[i].start, arena_guards[i].end, on);
    }
    if (region_count() != 0) {
        enable();
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

bool guard_is_below_stack(uint32_t address)
{
    const uint32_t end = (uint32_t)(uintptr_t)linker_stack_bottom;
    return address < end && end - address <= 1u << BELOW_STACK_LOG2_BYTES;
}
