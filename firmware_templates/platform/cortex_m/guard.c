/* The memory protection unit: what lies next to the stack and next to the arena is out of bounds.
 *
 * The unit protects whole blocks of 32 bytes. Stores there are a MemManage fault that names address and
 * instruction; reads next to the arena stay allowed. Without a unit nothing is protected, and the stack
 * ends where RAM does. */
#include "arena_guards.h"
#include "interrupts.h"
#include "linker_symbols.h"
#include "platform.h"
#include "registers.h"

enum { BLOCK_BYTES = 32, REGION_BLOCKS = 8, BELOW_STACK_LOG2_BYTES = 12 };

static uint32_t region_count(void)
{
    return (MPU_TYPE & MPU_TYPE_DREGION) >> MPU_TYPE_DREGION_SHIFT;
}

static void enable(void)
{
    MPU_CTRL = MPU_CTRL_PRIVDEFENA | MPU_CTRL_ENABLE;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

/* A boot loader may have left regions, and those of higher numbers would count before ours. */
static void forget_regions(void)
{
    if (region_count() != 0) {
        __asm__ volatile("dmb" ::: "memory");
        MPU_CTRL = 0;
    }
    for (uint32_t region = 0; region < region_count(); region++) {
        MPU_RNR = region;
        MPU_RASR = 0; /* RLAR of Armv8-M is there, too */
    }
}

#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)

enum { FIRST_OF_ARENA = 0 };

/* The stack has a register of its own, set by reset_handler. */
void guard_stack(void)
{
    forget_regions();
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
    forget_regions();
    if (region_count() != 0) {
        const uint32_t end = (uint32_t)(uintptr_t)linker_stack_bottom;
        MPU_RBAR = (end - (1u << BELOW_STACK_LOG2_BYTES)) | MPU_RBAR_VALID | OF_STACK;
        MPU_RASR = MPU_RASR_SIZE(BELOW_STACK_LOG2_BYTES) | MPU_RASR_ENABLE;
        enable();
    }
}

/* One region for each block, of which a guard has two at most: an eighth of the shortest region that
 * can be had in parts (SRD of MPU_RASR), which is the shortest of all on Armv6-M. */
static uint32_t protect(uint32_t region, uint32_t start, uint32_t end, bool on)
{
    const uint32_t rights = MPU_RASR_SIZE(8u) | MPU_RASR_READ_ONLY | MPU_RASR_WRITE_BACK |
                            MPU_RASR_XN | (on ? MPU_RASR_ENABLE : 0);
    for (uint32_t block = start; block < end && region < region_count(); block += BLOCK_BYTES) {
        const uint32_t eighth = block / BLOCK_BYTES % REGION_BLOCKS;
        MPU_RBAR = (block - eighth * BLOCK_BYTES) | MPU_RBAR_VALID | region;
        MPU_RASR = rights | MPU_RASR_ONLY_EIGHTH(eighth);
        region++;
    }
    return region;
}

#endif

uint32_t guard_block_bytes(void)
{
    return BLOCK_BYTES;
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

bool guard_is_below_stack(uint32_t address)
{
    const uint32_t end = (uint32_t)(uintptr_t)linker_stack_bottom;
    return address < end && end - address <= 1u << BELOW_STACK_LOG2_BYTES;
}
