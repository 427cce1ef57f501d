/* A chip without a number of its own, and without a boot loader to go to but perhaps ours. */
#include "board.h"
#include "platform.h"

size_t platform_chip_id(uint8_t *id, size_t capacity)
{
    (void)id;
    (void)capacity;
    return 0;
}

#ifndef BOARD_LOADER_REQUEST
bool platform_reset_to_loader(void)
{
    return false;
}
#endif
