/* The machine timer: RISC-V ACLINT Specification 1.0-rc4, chapter 2, at the offsets of SiFive's CLINT. */
#ifndef NANO_RISCV_MACHINE_TIME_H
#define NANO_RISCV_MACHINE_TIME_H

#include <stdint.h>

#include "registers.h"

enum { MTIMECMP_OFFSET = 0x4000, MTIME_OFFSET = 0xBFF8 };

/* Both halves of one moment: read again where the low half has wrapped in between. */
static inline uint64_t machine_time(uint32_t base)
{
    uint32_t high, low, again;
    do {
        high = REGISTER(base + MTIME_OFFSET + 4u);
        low = REGISTER(base + MTIME_OFFSET);
        again = REGISTER(base + MTIME_OFFSET + 4u);
    } while (high != again);
    return (uint64_t)high << 32 | low;
}

static inline uint64_t machine_time_compared(uint32_t base)
{
    return (uint64_t)REGISTER(base + MTIMECMP_OFFSET + 4u) << 32 | REGISTER(base + MTIMECMP_OFFSET);
}

static inline void machine_time_compare(uint32_t base, uint64_t time)
{
    REGISTER(base + MTIMECMP_OFFSET + 4u) = UINT32_MAX; /* in between never in the past (3.2.1) */
    REGISTER(base + MTIMECMP_OFFSET) = (uint32_t)time;
    REGISTER(base + MTIMECMP_OFFSET + 4u) = (uint32_t)(time >> 32);
}

#endif
