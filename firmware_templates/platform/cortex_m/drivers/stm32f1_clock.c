/* The clocks of STM32F1: crystal or clock input (HSE), through the PLL, to core and buses.
 *
 * Sections are those of RM0041 (F100). The other F1 have the same registers; those that need wait
 * states say how many (RM0008, 3.3.3). */
#include "board.h"
#include "clock.h"
#include "stm32.h"

/* RCC, 7.3. */
#define RCC_CR_HSEON (1u << 16)
#define RCC_CR_HSERDY (1u << 17)
#define RCC_CR_HSEBYP (1u << 18)
#define RCC_CFGR (BOARD_RCC_BASE + 0x04u)
#define RCC_CFGR_SW (3u << 0)
#define RCC_CFGR_SW_PLL (2u << 0)
#define RCC_CFGR_SWS (3u << 2)
#define RCC_CFGR_SWS_PLL (2u << 2)
#define RCC_CFGR_PLLSRC_HSE (1u << 16)
#define PLL_AND_BUSES \
    (RCC_CFGR_PLLSRC_HSE | (BOARD_CLOCK_PLL_MULTIPLIER - 2u) << 18 | BOARD_CLOCK_APB1_CODE << 8)

#define FLASH_ACR 0x40022000u
#define FLASH_ACR_LATENCY (7u << 0)

static bool is_set_up;

static bool oscillator_starts(void)
{
    REGISTER(RCC_CR) |= (BOARD_CLOCK_HSE_BYPASS != 0 ? RCC_CR_HSEBYP : 0) | RCC_CR_HSEON;
    return stm32_wait(RCC_CR, RCC_CR_HSERDY, RCC_CR_HSERDY);
}

static bool pll_starts(void)
{
    REGISTER(RCC_CFGR) = PLL_AND_BUSES;
    REGISTER(RCC_CR) |= RCC_CR_PLLON;
    return stm32_wait(RCC_CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY);
}

static bool flash_is_ready(void)
{
#ifdef BOARD_CLOCK_FLASH_LATENCY
    stm32_set_field(FLASH_ACR, FLASH_ACR_LATENCY, BOARD_CLOCK_FLASH_LATENCY);
    return stm32_wait(FLASH_ACR, FLASH_ACR_LATENCY, BOARD_CLOCK_FLASH_LATENCY);
#else
    return true; /* F100: no wait states up to its 24 MHz */
#endif
}

static bool core_switches(void)
{
    REGISTER(RCC_CFGR) = PLL_AND_BUSES | RCC_CFGR_SW_PLL;
    return stm32_wait(RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_PLL);
}

static void return_to_reset_clock(void)
{
    stm32_stop_pll(RCC_CFGR, RCC_CFGR_SW, RCC_CFGR_SWS);
    REGISTER(RCC_CFGR) = 0;
    REGISTER(RCC_CR) &= ~RCC_CR_HSEON;
}

void clock_init(void)
{
    return_to_reset_clock();
    is_set_up = oscillator_starts() && pll_starts() && flash_is_ready() && core_switches();
    if (!is_set_up) {
        return_to_reset_clock();
        is_set_up = stm32_is_emulated();
    }
}

uint32_t clock_core_hz(void)
{
    return is_set_up ? BOARD_CLOCK_CORE_HZ : BOARD_CLOCK_RESET_HZ;
}

/* After reset no bus divides the core's clock. */
uint32_t clock_uart_hz(void)
{
    return is_set_up ? BOARD_UART_CLOCK_HZ : BOARD_CLOCK_RESET_HZ;
}
