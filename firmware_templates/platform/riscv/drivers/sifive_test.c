/* QEMU's generic machine: its reset is SiFive's test device (QEMU, hw/misc/sifive_test.c). It has no
 * number of its own, and no boot loader. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define TEST_RESET 0x7777u /* FINISHER_RESET */

void chip_init(void)
{
}

void chip_reset(void)
{
    REGISTER(BOARD_SIFIVE_TEST_BASE) = TEST_RESET;
}

size_t platform_chip_id(uint8_t *id, size_t capacity)
{
    (void)id;
    (void)capacity;
    return 0;
}

bool platform_reset_to_loader(void)
{
    return false;
}
