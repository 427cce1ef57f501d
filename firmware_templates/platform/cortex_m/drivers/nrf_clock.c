/* The clocks of Nordic's nRF51 and nRF52: after reset all of them come from an RC oscillator that is as
 * fast as the crystal, and too inexact for a measurement (nRF51 Series Reference Manual v3.0 and nRF52840
 * Product Specification v1.1, chapters CLOCK). */
#include "clock.h"
#include "board.h"
#include "registers.h"

#define CLOCK_HFCLKSTART REGISTER(0x40000000u)
#define CLOCK_HFCLKSTARTED REGISTER(0x40000100u)

/* The crystal runs after 1 ms at most; a round takes four clocks or more. */
#define START_ROUNDS (BOARD_CLOCK_CORE_HZ / 1000u)

#ifdef BOARD_CLOCK_ICACHECNF
#define NVMC_ICACHECNF REGISTER(BOARD_CLOCK_ICACHECNF)
#define NVMC_ICACHECNF_CACHEEN (1u << 0)
#endif

/* Where the crystal does not start the chip goes on with the other oscillator, at the same frequency. */
void clock_init(void)
{
#ifdef BOARD_CLOCK_ICACHECNF
    NVMC_ICACHECNF = NVMC_ICACHECNF_CACHEEN;
#endif
    CLOCK_HFCLKSTARTED = 0;
    CLOCK_HFCLKSTART = 1;
    for (uint32_t round = 0; round < START_ROUNDS && CLOCK_HFCLKSTARTED == 0; round++) {
    }
}

uint32_t clock_core_hz(void)
{
    return BOARD_CLOCK_CORE_HZ;
}

uint32_t clock_uart_hz(void)
{
    return BOARD_UART_CLOCK_HZ;
}
