/* The clocks of STM32F4: crystal or clock input (HSE), through the PLL, to core and buses.
 *
 * Sections are those of RM0090 (F405, F407); RM0368 (F401), RM0383 (F411) and RM0390 (F446) have the
 * same registers. A board gives oscillator, factors, dividers and wait states as parameters. */
#include "board.h"
#include "clock.h"
#include "stm32.h"

/* RCC, 7.3. */
#define RCC_CR_HSEON (1u << 16)
#define RCC_CR_HSERDY (1u << 17)
#define RCC_CR_HSEBYP (1u << 18)
#define RCC_PLLCFGR (BOARD_RCC_BASE + 0x04u)
#define RCC_PLLCFGR_SRC_HSE (1u << 22)
#define RCC_PLLCFGR_R_2 (2u << 28) /* F446 has it, and 0 is wrong; elsewhere the reset value */
#define RCC_CFGR (BOARD_RCC_BASE + 0x08u)
#define RCC_CFGR_SW (3u << 0)
#define RCC_CFGR_SW_PLL (2u << 0)
#define RCC_CFGR_SWS (3u << 2)
#define RCC_CFGR_SWS_PLL (2u << 2)
#define RCC_CFGR_PPRE ((7u << 10) | (7u << 13))
#define RCC_APB1ENR 0x40u
#define RCC_APB1ENR_PWREN 28u

/* PWR, 5.4 (F446: RM0390, 5.4). */
#define PWR_CR 0x40007000u
#define PWR_CR_VOS (3u << 14)
#define PWR_CR_ODEN (1u << 16)
#define PWR_CR_ODSWEN (1u << 17)
#define PWR_CSR 0x40007004u
#define PWR_CSR_ODRDY (1u << 16)
#define PWR_CSR_ODSWRDY (1u << 17)

/* Flash interface, 3.9.1. */
#define FLASH_ACR 0x40023C00u
#define FLASH_ACR_LATENCY (0xFu << 0)
#define FLASH_ACR_CACHES ((1u << 8) | (1u << 9) | (1u << 10)) /* prefetch, instructions, data */

#define PLL_FACTORS \
    (BOARD_CLOCK_PLL_M | BOARD_CLOCK_PLL_N << 6 | (BOARD_CLOCK_PLL_P / 2u - 1u) << 16 | \
     BOARD_CLOCK_PLL_Q << 24)

static bool is_set_up;

static bool oscillator_starts(void)
{
    REGISTER(RCC_CR) |= (BOARD_CLOCK_HSE_BYPASS != 0 ? RCC_CR_HSEBYP : 0) | RCC_CR_HSEON;
    return stm32_wait(RCC_CR, RCC_CR_HSERDY, RCC_CR_HSERDY);
}

/* More than 168 MHz on an F446: RM0390, 5.1.4, entering overdrive mode. */
static bool overdrive_starts(void)
{
#ifdef BOARD_CLOCK_OVERDRIVE
    REGISTER(PWR_CR) |= PWR_CR_ODEN;
    if (!stm32_wait(PWR_CSR, PWR_CSR_ODRDY, PWR_CSR_ODRDY)) {
        return false;
    }
    REGISTER(PWR_CR) |= PWR_CR_ODSWEN;
    return stm32_wait(PWR_CSR, PWR_CSR_ODSWRDY, PWR_CSR_ODSWRDY);
#else
    return true;
#endif
}

/* The voltage scale may change while the PLL is off, and counts from when it runs (5.4.1). */
static bool pll_starts(void)
{
    stm32_enable(RCC_APB1ENR, RCC_APB1ENR_PWREN);
    stm32_set_field(PWR_CR, PWR_CR_VOS, BOARD_CLOCK_VOLTAGE_SCALE << 14);
    REGISTER(RCC_PLLCFGR) = PLL_FACTORS | RCC_PLLCFGR_SRC_HSE | RCC_PLLCFGR_R_2;
    REGISTER(RCC_CR) |= RCC_CR_PLLON;
    return overdrive_starts() && stm32_wait(RCC_CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY);
}

/* The flash must be slow enough before the core is fast (3.5.1). */
static bool flash_is_ready(void)
{
    REGISTER(FLASH_ACR) = BOARD_CLOCK_FLASH_LATENCY | FLASH_ACR_CACHES;
    return stm32_wait(FLASH_ACR, FLASH_ACR_LATENCY, BOARD_CLOCK_FLASH_LATENCY);
}

static bool core_switches(void)
{
    stm32_set_field(RCC_CFGR, RCC_CFGR_PPRE,
                    BOARD_CLOCK_APB1_CODE << 10 | BOARD_CLOCK_APB2_CODE << 13);
    stm32_set_field(RCC_CFGR, RCC_CFGR_SW, RCC_CFGR_SW_PLL);
    return stm32_wait(RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_PLL);
}

static void return_to_reset_clock(void)
{
    stm32_stop_pll(RCC_CFGR, RCC_CFGR_SW, RCC_CFGR_SWS);
    REGISTER(RCC_CFGR) &= ~RCC_CFGR_PPRE;
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
