/* What an instruction that faulted was about to access. */
#ifndef NANO_CORTEX_M_ACCESS_H
#define NANO_CORTEX_M_ACCESS_H

#include <stdint.h>

/* The address of the load or store at `pc`, of several words the lowest; 0 for other instructions, and outside of the image.
 * `low` are r0 to r7 and `sp` is the stack pointer as they were. Of Armv6-M only. */
uint32_t accessed_address(uint32_t pc, const uint32_t *low, uint32_t sp);

#endif
