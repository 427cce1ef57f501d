/* The watchdog of the FE310-G002's always-on domain: its manual, v1p4, 13.3 to 13.7. */
#ifndef NANO_FE310_AON_H
#define NANO_FE310_AON_H

#include <stdbool.h>
#include <stdint.h>

#include "registers.h"

#define AON 0x10000000u
#define WDOGCFG REGISTER(AON + 0x000u)
#define WDOGCFG_RSTEN (1u << 8)
#define WDOGCFG_ENALWAYS (1u << 12)
#define WDOGCOUNT REGISTER(AON + 0x008u)
#define WDOGFEED REGISTER(AON + 0x018u)
#define WDOGFEED_FOOD 0x0D09F00Du
#define WDOGKEY REGISTER(AON + 0x01Cu)
#define WDOGKEY_VALUE 0x51F15Eu
#define WDOGCMP REGISTER(AON + 0x020u) /* 16 bits, of a count that is shifted by wdogscale */
#define LFROSCCFG REGISTER(AON + 0x070u)

/* On the chip the low-frequency oscillator runs from reset on, so that its register is never 0 (7.3).
 * QEMU has no such register, and gives the machine timer 10 MHz instead of that oscillator's rate. */
static inline bool fe310_is_emulated(void)
{
    return LFROSCCFG == 0;
}

/* Each write to a register of the watchdog needs the key before it. */
static inline void fe310_watchdog_write(volatile uint32_t *target, uint32_t value)
{
    WDOGKEY = WDOGKEY_VALUE;
    *target = value;
}

#endif
