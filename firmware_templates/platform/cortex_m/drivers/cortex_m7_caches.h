/* The caches of a Cortex-M7, off after reset and with any content: DDI 0403E, B2.2 and B3.2. */
#ifndef NANO_CORTEX_M7_CACHES_H
#define NANO_CORTEX_M7_CACHES_H

#include <stdint.h>

#include "registers.h"

#define SCB_CCR_DC (1u << 16)
#define SCB_CCR_IC (1u << 17)
#define SCB_CCSIDR REGISTER(0xE000ED80u) /* of the cache that CSSELR selects: 0, level 1 data */
#define SCB_CSSELR REGISTER(0xE000ED84u)
#define SCB_ICIALLU REGISTER(0xE000EF50u)
#define SCB_DCISW REGISTER(0xE000EF60u)

/* Both on. Tightly coupled memory is not cached; neither is what the default memory map has as device. */
static inline void caches_enable(void)
{
    SCB_CSSELR = 0;
    __asm__ volatile("dsb" ::: "memory");
    const uint32_t size = SCB_CCSIDR;
    const uint32_t last_set = size >> 13 & 0x7FFFu, last_way = size >> 3 & 0x3FFu;
    const uint32_t set_shift = (size & 7u) + 4u;
    const uint32_t way_shift = last_way == 0 ? 0 : (uint32_t)__builtin_clz(last_way);
    for (uint32_t set = 0; set <= last_set; set++) {
        for (uint32_t way = 0; way <= last_way; way++) {
            SCB_DCISW = way << way_shift | set << set_shift;
        }
    }
    SCB_ICIALLU = 0;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    SCB_CCR |= SCB_CCR_DC | SCB_CCR_IC;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

#endif
