/* The clocks of STM32G0: the internal oscillator of 16 MHz (HSI16), on which it starts, through the PLL.
 *
 * It needs no crystal and is right to 1 %, which is enough for a UART; ticks and microseconds are no
 * better. Sections are those of RM0444. */
#include "board.h"
#include "clock.h"
#include "stm32.h"

/* RCC, 5.4. */
#define RCC_CFGR (BOARD_RCC_BASE + 0x08u)
#define RCC_CFGR_SW (7u << 0)
#define RCC_CFGR_SW_PLL (2u << 0)
#define RCC_CFGR_SWS (7u << 3)
#define RCC_CFGR_SWS_PLL (2u << 3)
#define RCC_PLLCFGR (BOARD_RCC_BASE + 0x0Cu)
#define RCC_PLLCFGR_SRC_HSI16 (2u << 0)
#define RCC_PLLCFGR_REN (1u << 28)
#define PLL_FACTORS \
    ((BOARD_CLOCK_PLL_M - 1u) << 4 | BOARD_CLOCK_PLL_N << 8 | (BOARD_CLOCK_PLL_R - 1u) << 29)

/* Flash interface, 3.7.1. The cache of instructions is on after reset. */
#define FLASH_ACR 0x40022000u
#define FLASH_ACR_LATENCY (7u << 0)
#define FLASH_ACR_PRFTEN (1u << 8)
#define FLASH_ACR_EMPTY (1u << 16) /* was it at power-up: while set, a reset goes to the ROM */

static bool is_set_up;

static bool pll_starts(void)
{
    REGISTER(RCC_PLLCFGR) = PLL_FACTORS | RCC_PLLCFGR_SRC_HSI16 | RCC_PLLCFGR_REN;
    REGISTER(RCC_CR) |= RCC_CR_PLLON;
    return stm32_wait(RCC_CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY);
}

/* The flash must be slow enough before the core is fast (3.3.4). */
static bool flash_is_ready(void)
{
    stm32_set_field(FLASH_ACR, FLASH_ACR_LATENCY | FLASH_ACR_EMPTY,
                    BOARD_CLOCK_FLASH_LATENCY | FLASH_ACR_PRFTEN);
    return stm32_wait(FLASH_ACR, FLASH_ACR_LATENCY, BOARD_CLOCK_FLASH_LATENCY);
}

static bool core_switches(void)
{
    stm32_set_field(RCC_CFGR, RCC_CFGR_SW, RCC_CFGR_SW_PLL);
    return stm32_wait(RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_PLL);
}

static void return_to_reset_clock(void)
{
    stm32_stop_pll(RCC_CFGR, RCC_CFGR_SW, RCC_CFGR_SWS);
}

void clock_init(void)
{
    return_to_reset_clock();
    is_set_up = pll_starts() && flash_is_ready() && core_switches();
    if (!is_set_up) {
        return_to_reset_clock();
    }
}

uint32_t clock_core_hz(void)
{
    return is_set_up ? BOARD_CLOCK_CORE_HZ : BOARD_CLOCK_RESET_HZ;
}

/* No bus divides the core's clock, before or after. */
uint32_t clock_uart_hz(void)
{
    return is_set_up ? BOARD_UART_CLOCK_HZ : BOARD_CLOCK_RESET_HZ;
}
