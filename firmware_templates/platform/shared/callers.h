/* Who called: return addresses on the stack. */
#ifndef NANO_CALLERS_H
#define NANO_CALLERS_H

#include <stdbool.h>
#include <stdint.h>

/* Up to `capacity` return addresses on the stack from `sp` upwards. */
void find_callers(uint32_t sp, uint32_t *callers, uint32_t capacity);

/* calls.c of the platform: whether a word is the address behind a call in the image. */
bool is_return_address(uint32_t word);

#endif
