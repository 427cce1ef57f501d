/* What tells one boot from another. */
#include "boots.h"
#include "platform.h"

/* Survives a reset (the start-up code leaves .noinit alone); any value will do after power-up. */
__attribute__((section(".noinit"))) static uint32_t boots;

void boots_init(void)
{
    boots += 1;
}

/* The count of boots, spread over 32 bits (Knuth's multiplier), mixed with when one first asked. */
uint32_t platform_boot_nonce(void)
{
    static uint32_t nonce;
    while (nonce == 0) {
        nonce = (boots * 2654435761u) ^ (uint32_t)(platform_ticks() * 2246822519u);
    }
    return nonce;
}
