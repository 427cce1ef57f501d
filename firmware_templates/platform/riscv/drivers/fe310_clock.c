/* The clocks of the FE310-G002: its PLL on the crystal oscillator. Numbers in comments are sections of
 * its manual, v1p4. What the PLL's multiplexers select: forums.sifive.com/t/5827, as the manual's figure
 * has two of them wrong. */
#include <stdbool.h>

#include "board.h"
#include "clock.h"
#include "registers.h"

/* 6.3 to 6.7 */
#define PRCI 0x10008000u
#define HFROSCCFG REGISTER(PRCI + 0x00u)
#define HFROSCCFG_RESET ((16u << 16) | 4u) /* trim, and divide by 5: as after reset */
#define HFXOSCCFG REGISTER(PRCI + 0x04u)
#define OSC_ENABLE (1u << 30)
#define OSC_READY (1u << 31)
#define PLLCFG REGISTER(PRCI + 0x08u)
#define PLLCFG_DIVIDERS \
    ((BOARD_CLOCK_PLL_R - 1u) | (BOARD_CLOCK_PLL_F / 2u - 1u) << 4 | BOARD_CLOCK_PLL_Q_LOG2 << 10)
#define PLLCFG_SEL (1u << 16) /* the core runs on it; else on HFROSC */
#define PLLCFG_REFSEL (1u << 17) /* HFXOSC is its reference */
#define PLLCFG_BYPASS (1u << 18) /* its output is the reference */
#define PLLCFG_LOCK (1u << 31)
#define PLLOUTDIV REGISTER(PRCI + 0x0Cu)
#define PLLOUTDIV_BY_1 (1u << 8)

/* 19.3: the flash's clock is the core's, divided by twice this and one. */
#define SPI_SCKDIV REGISTER(0x10014000u)

/* A round takes four cycles at least, of HFROSC, 14 MHz, until all is up: 30 ms and 300 us. */
enum { OSCILLATOR_ROUNDS = 100000, LOCK_ROUNDS = 1000 };

static uint32_t core_hz;

static void select_ring_oscillator(void)
{
    HFROSCCFG = HFROSCCFG_RESET | OSC_ENABLE;
    for (uint32_t round = 0; (HFROSCCFG & OSC_READY) == 0 && round < OSCILLATOR_ROUNDS; round++) {
    }
    PLLCFG = PLLCFG & ~PLLCFG_SEL;
    core_hz = BOARD_CLOCK_RESET_HZ;
}

static bool start_crystal(void)
{
    HFXOSCCFG = OSC_ENABLE;
    for (uint32_t round = 0; round < OSCILLATOR_ROUNDS; round++) {
        if ((HFXOSCCFG & OSC_READY) != 0) {
            return true;
        }
    }
    return false;
}

/* 6.5: the lock counts after 100 us only, while it may come and go. */
static bool start_pll(void)
{
    PLLCFG = PLLCFG_REFSEL | PLLCFG_BYPASS | PLLCFG_DIVIDERS;
    PLLOUTDIV = PLLOUTDIV_BY_1;
    PLLCFG = PLLCFG_REFSEL | PLLCFG_DIVIDERS;
    for (volatile uint32_t round = 0; round < LOCK_ROUNDS; round++) {
    }
    for (uint32_t round = 0; round < LOCK_ROUNDS; round++) {
        if ((PLLCFG & PLLCFG_LOCK) != 0) {
            return true;
        }
    }
    return false;
}

/* Where the PLL does not lock the crystal alone is left, which is right for the UART. */
void clock_init(void)
{
    select_ring_oscillator();
    if (!start_crystal()) {
        return;
    }
    SPI_SCKDIV = BOARD_CLOCK_FLASH_SCKDIV;
    if (start_pll()) {
        core_hz = BOARD_CLOCK_CORE_HZ;
    } else {
        PLLCFG = PLLCFG_REFSEL | PLLCFG_BYPASS;
        core_hz = BOARD_CLOCK_CRYSTAL_HZ;
    }
    PLLCFG = PLLCFG | PLLCFG_SEL;
}

uint32_t clock_core_hz(void)
{
    return core_hz;
}

/* 6.2: core and peripherals have one clock. */
uint32_t clock_uart_hz(void)
{
    return core_hz;
}
