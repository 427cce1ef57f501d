/* The watchdog's driver on memory where its registers would be: prints what a start leaves in them. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "board.h"
#include "platform.h"

int main(int count, char **arguments)
{
    if (count != 2) {
        return 2;
    }
    void *const place = (void *)(uintptr_t)BOARD_WATCHDOG_BASE;
    uint32_t *const registers =
        mmap(place, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (registers != place) {
        return 3;
    }
    platform_watchdog_start((uint32_t)strtoul(arguments[1], NULL, 10));
    printf("%u %u\n", (unsigned)registers[0], (unsigned)registers[2]);
    return 0;
}
