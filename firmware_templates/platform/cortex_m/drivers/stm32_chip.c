/* The unique id of an STM32, and the way into the boot loader in its system memory. */
#include <string.h>

#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "stm32.h"

enum { CHIP_ID_BYTES = 12, CHIP_ID_WORDS = 3 }; /* RM0090, 39.1; the others alike, elsewhere */

size_t platform_chip_id(uint8_t *id, size_t capacity)
{
    if (stm32_is_emulated()) {
        return 0;
    }
    const volatile uint32_t *const words = (const volatile uint32_t *)BOARD_CHIP_UNIQUE_ID;
    const size_t size = capacity < CHIP_ID_BYTES ? capacity : CHIP_ID_BYTES;
    uint32_t copy[CHIP_ID_WORDS]; /* by words: some chips allow no other access there */
    for (size_t i = 0; i < CHIP_ID_WORDS; i++) {
        copy[i] = words[i];
    }
    memcpy(id, copy, size);
    return size;
}

/* Two words, of which the RAM holds no such pair after power-up. */
#define LOADER_ASKED 0x4C4F4144u
__attribute__((section(".noinit"))) static uint32_t loader_asked, loader_asked_inverted;

bool platform_reset_to_loader(void)
{
    if (stm32_is_emulated()) {
        return false;
    }
    loader_asked = LOADER_ASKED;
    loader_asked_inverted = ~LOADER_ASKED;
    platform_reset();
}

/* A chip that may boot from either bank goes back to the program in the flash, unless its system memory
 * is at address 0 (AN2606, 4.1): MEM_MODE 1 (RM0351, 9.2.1). The clock of that register goes off again. */
static void map_loader_to_zero(void)
{
#ifdef BOARD_CHIP_REMAP
    stm32_enable(BOARD_CHIP_REMAP_ENABLE, BOARD_CHIP_REMAP_ENABLE_BIT);
    REGISTER(BOARD_CHIP_REMAP) = 1u;
    (void)REGISTER(BOARD_CHIP_REMAP); /* it is written before its clock stops */
    REGISTER(BOARD_RCC_BASE + BOARD_CHIP_REMAP_ENABLE) &= ~(1u << BOARD_CHIP_REMAP_ENABLE_BIT);
#endif
}

/* The loader expects the chip as it is after reset (AN2606, 4): so it is entered from there, before
 * anything was set up. Its first two words are those of a vector table. */
void chip_at_reset(void)
{
    const bool asked = loader_asked == LOADER_ASKED && loader_asked_inverted == ~LOADER_ASKED;
    loader_asked = 0;
    if (!asked) {
        return;
    }
    map_loader_to_zero();
    const uint32_t *const table = (const uint32_t *)BOARD_CHIP_LOADER;
    SCB_VTOR = BOARD_CHIP_LOADER;
    __asm__ volatile("dsb\n\tisb\n\t"
                     "msr msp, %0\n\t"
                     "bx %1" ::"r"(table[0]),
                     "r"(table[1])
                     : "memory");
    __builtin_unreachable();
}
