/* Registers of a TIMER of Nordic's nRF51 and nRF52 (nRF51 Series Reference Manual v3.0 and nRF52840 Product
 * Specification v1.1, chapters TIMER). Its event COMPARE(n) comes where the count reaches CC(n). */
#ifndef NANO_NRF_TIMER_H
#define NANO_NRF_TIMER_H

#include "registers.h"

#define TIMER_START(base) REGISTER((base) + 0x000u)
#define TIMER_STOP(base) REGISTER((base) + 0x004u)
#define TIMER_CLEAR(base) REGISTER((base) + 0x00Cu)
#define TIMER_CAPTURE(base, n) REGISTER((base) + 0x040u + 4u * (n)) /* the count into CC(n) */
#define TIMER_COMPARE(base, n) REGISTER((base) + 0x140u + 4u * (n))
#define TIMER_SHORTS(base) REGISTER((base) + 0x200u)
#define TIMER_SHORTS_CLEAR(n) (1u << (n)) /* the count begins anew at COMPARE(n) */
#define TIMER_INTENSET(base) REGISTER((base) + 0x304u)
#define TIMER_INTENCLR(base) REGISTER((base) + 0x308u)
#define TIMER_INTEN_COMPARE(n) (1u << (16u + (n)))
#define TIMER_BITMODE(base) REGISTER((base) + 0x508u)
#define TIMER_BITMODE_16 0u
#define TIMER_BITMODE_32 3u
#define TIMER_PRESCALER(base) \
    REGISTER((base) + 0x510u) /* 16 MHz divided by two to the power of it */
#define TIMER_CC(base, n) REGISTER((base) + 0x540u + 4u * (n))

#endif
