/* Time: SysTick, a 24 bit down counter of processor clocks, extended to 64 bits. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

static volatile uint32_t wraps;

/* Survives a reset (the start-up code leaves .noinit alone); any value will do after power-up. */
__attribute__((section(".noinit"))) static uint32_t boots;

void ticks_init(void)
{
    boots += 1;
    SYST_RVR = SYST_MAX;
    SYST_CVR = 0; /* any write clears it; it counts from SYST_MAX at the next clock */
    SYST_CSR = SYST_CSR_CLKSOURCE | SYST_CSR_TICKINT | SYST_CSR_ENABLE;
}

void ticks_interrupt(void)
{
    wraps += 1;
}

/* The counter as it goes up: 0 at the moment of the wrap. A reading of 0 is passed over, since it
 * lasts one clock and it alone would be ambiguous about whether the wrap is already pending. */
static uint32_t elapsed_in_wrap(void)
{
    uint32_t value;
    do {
        value = SYST_CVR;
    } while (value == 0);
    return SYST_MAX + 1u - value;
}

uint64_t platform_ticks(void)
{
    uint32_t masked;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(masked)::"memory");
    uint32_t elapsed = elapsed_in_wrap();
    uint32_t periods = wraps;
    if ((SCB_ICSR & SCB_ICSR_PENDSTSET) != 0) { /* it wrapped, and the interrupt has yet to run */
        elapsed = elapsed_in_wrap();
        periods += 1;
    }
    __asm__ volatile("msr primask, %0" ::"r"(masked) : "memory");
    return ((uint64_t)periods << 24) + elapsed;
}

uint32_t platform_ticks_hz(void)
{
    return BOARD_TICKS_HZ;
}

/* Two instructions a round. */
bool platform_spin(uint32_t instructions)
{
    uint32_t rounds = instructions / 2 + 1;
    __asm__ volatile(".p2align 2\n"
                     "1: subs %0, %0, #1\n\t"
                     "bne 1b"
                     : "+l"(rounds)::"cc");
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
