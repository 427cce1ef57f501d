/* What the drivers of all STM32 families share: clock gates, pins, waits with an end. */
#ifndef NANO_STM32_H
#define NANO_STM32_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "registers.h"

#define RCC_CR (BOARD_RCC_BASE + 0x00u)
#define RCC_CR_PLLON (1u << 24)
#define RCC_CR_PLLRDY (1u << 25)

/* On a chip some oscillator is on, or this would not run: this register is never 0 (RM0090, 7.3.1; the
 * others alike). QEMU has no RCC, nor any system memory, and clocks the core as the board's file says. */
static inline bool stm32_is_emulated(void)
{
    return REGISTER(RCC_CR) == 0;
}

/* A peripheral is off until its bit in a register of the RCC is set, which is given by its offset. It
 * may be used two clocks of its bus later, which the read gives (RM0090, 7.2.12; the others alike). */
static inline void stm32_enable(uint32_t offset, uint32_t bit)
{
    REGISTER(BOARD_RCC_BASE + offset) |= 1u << bit;
    (void)REGISTER(BOARD_RCC_BASE + offset);
}

/* About 100 ms at the reset clock: a crystal of 8 MHz takes a few, a PLL less than one. */
#define STM32_WAIT_ROUNDS (BOARD_CLOCK_RESET_HZ / 80u)

/* Whether `mask` of a register becomes `value` before the wait ends. */
static inline bool stm32_wait(uint32_t address, uint32_t mask, uint32_t value)
{
    for (uint32_t round = 0; round < STM32_WAIT_ROUNDS; round++) {
        if ((REGISTER(address) & mask) == value) {
            return true;
        }
    }
    return false;
}

/* Changes the field `mask` of a register to `value`. */
static inline void stm32_set_field(uint32_t address, uint32_t mask, uint32_t value)
{
    REGISTER(address) = (REGISTER(address) & ~mask) | value;
}

/* The core back to the oscillator of reset, which is 0 in every family, and the PLL off: only then its
 * factors can change. The command Go of a loader in ROM may leave both otherwise (AN2606, 4). */
static inline void stm32_stop_pll(uint32_t cfgr, uint32_t select, uint32_t selected)
{
    stm32_set_field(cfgr, select, 0);
    (void)stm32_wait(cfgr, selected, 0);
    REGISTER(RCC_CR) &= ~RCC_CR_PLLON;
    (void)stm32_wait(RCC_CR, RCC_CR_PLLRDY, 0);
}

#endif
