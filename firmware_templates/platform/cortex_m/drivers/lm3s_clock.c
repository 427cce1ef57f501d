/* The clocks of a Stellaris LM3S6965, and of the peripherals and pins that the platform uses (LM3S6965
 * Microcontroller Data Sheet, System Control; General-Purpose I/Os).
 *
 * The PLL makes 200 MHz of the crystal, and a divider the clock of everything. After reset an internal
 * oscillator runs, 12 MHz within 30 per cent: too inexact for a UART. */
#include <stdbool.h>

#include "board.h"
#include "clock.h"
#include "registers.h"

#define SYSTEM_CONTROL 0x400FE000u
#define SYSCTL_RIS REGISTER(SYSTEM_CONTROL + 0x050u)
#define SYSCTL_RIS_PLL_LOCKED (1u << 6)
#define SYSCTL_MISC REGISTER(SYSTEM_CONTROL + 0x058u) /* a one clears the bit of RIS */
#define SYSCTL_RCC REGISTER(SYSTEM_CONTROL + 0x060u)
#define SYSCTL_RCC_MAIN_OSCILLATOR_OFF (1u << 0)
#define SYSCTL_RCC_SOURCE (3u << 4) /* 0: the main oscillator */
#define SYSCTL_RCC_CRYSTAL (15u << 6)
#define SYSCTL_RCC_CRYSTAL_8_MHZ (14u << 6)
#define SYSCTL_RCC_BYPASS (1u << 11)
#define SYSCTL_RCC_PLL_OFF (3u << 12) /* powered down, its output off */
#define SYSCTL_RCC_USE_DIVIDER (1u << 22)
#define SYSCTL_RCC_DIVIDER (15u << 23) /* by one more */
#define SYSCTL_RCC_DIVIDER_SHIFT 23u
#define SYSCTL_RCGC0 REGISTER(SYSTEM_CONTROL + 0x100u)
#define SYSCTL_RCGC0_WATCHDOG (1u << 3)
#define SYSCTL_RCGC1 REGISTER(SYSTEM_CONTROL + 0x104u)
#define SYSCTL_RCGC1_UART0 (1u << 0)
#define SYSCTL_RCGC1_TIMER0 (1u << 16)
#define SYSCTL_RCGC2 REGISTER(SYSTEM_CONTROL + 0x108u)
#define SYSCTL_RCGC2_PORT_A (1u << 0)

#define PORT_A 0x40004000u
#define GPIO_AFSEL REGISTER(PORT_A + 0x420u)
#define GPIO_DEN REGISTER(PORT_A + 0x51Cu)
#define UART0_PINS 3u

#define PLL_HZ 200000000u

/* Rounds of three clocks or more: the crystal takes 20 ms at most, the PLL 0.5 ms, also where the
 * internal oscillator is fast. */
#define CRYSTAL_ROUNDS (BOARD_CLOCK_RESET_HZ / 100u)
#define LOCK_ROUNDS (BOARD_CLOCK_RESET_HZ / 1000u)

static bool pll_runs;

static void enable_peripherals(void)
{
    SYSCTL_RCGC0 |= SYSCTL_RCGC0_WATCHDOG;
    SYSCTL_RCGC1 |= SYSCTL_RCGC1_UART0 | SYSCTL_RCGC1_TIMER0;
    SYSCTL_RCGC2 |= SYSCTL_RCGC2_PORT_A;
    (void)SYSCTL_RCGC2; /* three clocks until they may be used */
    (void)SYSCTL_RCGC2;
    (void)SYSCTL_RCGC2;
    GPIO_AFSEL |= UART0_PINS;
    GPIO_DEN |= UART0_PINS;
}

static bool wait_for_lock(void)
{
    for (uint32_t round = 0; round < LOCK_ROUNDS; round++) {
        if ((SYSCTL_RIS & SYSCTL_RIS_PLL_LOCKED) != 0) {
            return true;
        }
    }
    return false;
}

/* In the order of the data sheet, System Control, Initialization and Configuration. Nothing tells
 * whether the crystal runs: it is given its time. */
static void start_pll(void)
{
    const uint32_t at_reset = SYSCTL_RCC | SYSCTL_RCC_BYPASS;
    uint32_t rcc = at_reset & ~SYSCTL_RCC_MAIN_OSCILLATOR_OFF;
    SYSCTL_RCC = rcc;
    for (volatile uint32_t round = 0; round < CRYSTAL_ROUNDS; round++) {
    }
    SYSCTL_MISC = SYSCTL_RIS_PLL_LOCKED;
    rcc &= ~(SYSCTL_RCC_CRYSTAL | SYSCTL_RCC_SOURCE | SYSCTL_RCC_PLL_OFF | SYSCTL_RCC_DIVIDER);
    rcc |= SYSCTL_RCC_CRYSTAL_8_MHZ | SYSCTL_RCC_USE_DIVIDER |
           (PLL_HZ / BOARD_CLOCK_CORE_HZ - 1u) << SYSCTL_RCC_DIVIDER_SHIFT;
    SYSCTL_RCC = rcc;
    pll_runs = wait_for_lock();
    SYSCTL_RCC = pll_runs ? rcc & ~SYSCTL_RCC_BYPASS : at_reset;
}

void clock_init(void)
{
    start_pll();
    enable_peripherals();
}

uint32_t clock_core_hz(void)
{
    return pll_runs ? BOARD_CLOCK_CORE_HZ : BOARD_CLOCK_RESET_HZ;
}

uint32_t clock_uart_hz(void)
{
    return clock_core_hz();
}
