/* A tick each millisecond from a timer of the nRF51 series: nRF51 Series Reference Manual v3.0,
 * chapter TIMER. */
#include "layout.h"
#include "line.h"
#include "registers.h"

#define TIMER_START REGISTER(LOADER_TIMER + 0x000u)
#define TIMER_COMPARE0 REGISTER(LOADER_TIMER + 0x140u)
#define TIMER_SHORTS REGISTER(LOADER_TIMER + 0x200u)
#define TIMER_SHORTS_COMPARE0_CLEAR (1u << 0)
#define TIMER_INTENSET REGISTER(LOADER_TIMER + 0x304u)
#define TIMER_INTENSET_COMPARE0 (1u << 16)
#define TIMER_BITMODE REGISTER(LOADER_TIMER + 0x508u)
#define TIMER_BITMODE_16 0u
#define TIMER_PRESCALER REGISTER(LOADER_TIMER + 0x510u)
#define TIMER_PRESCALER_1_MHZ 4u /* 16 MHz / 2^4 */
#define TIMER_CC0 REGISTER(LOADER_TIMER + 0x540u)

void timer_open(void)
{
    TIMER_BITMODE = TIMER_BITMODE_16;
    TIMER_PRESCALER = TIMER_PRESCALER_1_MHZ;
    TIMER_CC0 = 1000u;
    TIMER_SHORTS = TIMER_SHORTS_COMPARE0_CLEAR;
    TIMER_INTENSET = TIMER_INTENSET_COMPARE0;
    NVIC_ISER(0u) = 1u << LOADER_TIMER_IRQ;
    TIMER_START = 1;
}

bool timer_ticked(void)
{
    const bool ticked = TIMER_COMPARE0 != 0;
    TIMER_COMPARE0 = 0;
    return ticked;
}
