/* A clock driver on memory where its registers would be: sets some, runs it, prints the core's clock
 * and what others have then. Arguments: addresses to print, and address=value; all hexadecimal. */
#define _DEFAULT_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"

enum { PAGE_BYTES = 4096 };

static volatile uint32_t *at(const char *argument)
{
    return (volatile uint32_t *)(uintptr_t)strtoul(argument, NULL, 16);
}

static int map_page_of(const char *argument)
{
    void *const page = (void *)((uintptr_t)at(argument) / PAGE_BYTES * PAGE_BYTES);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    return mmap(page, PAGE_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0) == page;
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        if (!map_page_of(arguments[i])) {
            return 3;
        }
    }
    for (int i = 1; i < count; i++) {
        const char *const equals = strchr(arguments[i], '=');
        if (equals != NULL) {
            *at(arguments[i]) = (uint32_t)strtoul(equals + 1, NULL, 16);
        }
    }
    clock_init();
    printf("%u\n", (unsigned)clock_core_hz());
    for (int i = 1; i < count; i++) {
        printf("%08x\n", (unsigned)*at(arguments[i]));
    }
    return 0;
}
