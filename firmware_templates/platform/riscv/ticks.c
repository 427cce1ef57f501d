/* Time: minstret counts the instructions retired, which is what a benchmark wants to know. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

/* Survives a reset (the start-up code leaves .noinit alone); any value will do after power-up. */
__attribute__((section(".noinit"))) static uint32_t boots;

void ticks_init(void)
{
    boots += 1;
    CSR_WRITE(mcountinhibit, 0);
}

/* Both halves of one moment: read again where the low half has wrapped in between (volume I, 10.1). */
uint64_t platform_ticks(void)
{
    uint32_t high, low, again;
    do {
        high = CSR_READ(minstreth);
        low = CSR_READ(minstret);
        again = CSR_READ(minstreth);
    } while (high != again);
    return (uint64_t)high << 32 | low;
}

uint32_t platform_ticks_hz(void)
{
    return BOARD_TICKS_HZ;
}

/* Two instructions a round. */
bool platform_spin(uint32_t instructions)
{
    uint32_t rounds = instructions / 2 + 1;
    __asm__ volatile("1: addi %0, %0, -1\n\t"
                     "bnez %0, 1b"
                     : "+r"(rounds));
    return true;
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
