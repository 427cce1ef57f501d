/* The way into our boot loader: a word that a reset keeps asks it to stay. docs/boot_loader.md */
#include "board.h"
#include "platform.h"

bool platform_reset_to_loader(void)
{
    *(volatile uint32_t *)(uintptr_t)BOARD_LOADER_REQUEST = BOARD_LOADER_STAY;
    platform_reset();
}
