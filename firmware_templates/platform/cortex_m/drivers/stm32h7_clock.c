/* The clocks and caches of STM32H7 (H742, H743, H750, H753): clock input (HSE), through the first PLL.
 *
 * Sections are those of RM0433. Voltage scale 1, so that every revision of the silicon can do it: 400 MHz
 * for the core, half of that for the buses, and a quarter for what hangs on them. */
#include "board.h"
#include "clock.h"
#include "cortex_m7_caches.h"
#include "stm32.h"

/* RCC, 8.7. */
#define RCC_CR_HSEON (1u << 16)
#define RCC_CR_HSERDY (1u << 17)
#define RCC_CR_HSEBYP (1u << 18)
#define RCC_CFGR (BOARD_RCC_BASE + 0x10u)
#define RCC_CFGR_SW (7u << 0)
#define RCC_CFGR_SW_PLL1 (3u << 0)
#define RCC_CFGR_SWS (7u << 3)
#define RCC_CFGR_SWS_PLL1 (3u << 3)
#define RCC_D1CFGR (BOARD_RCC_BASE + 0x18u)
#define RCC_D1CFGR_HALVED (8u << 0 | 4u << 4) /* HPRE, D1PPRE */
#define RCC_D2CFGR (BOARD_RCC_BASE + 0x1Cu)
#define RCC_D2CFGR_HALVED (4u << 4 | 4u << 8) /* D2PPRE1, D2PPRE2 */
#define RCC_D3CFGR (BOARD_RCC_BASE + 0x20u)
#define RCC_D3CFGR_HALVED (4u << 4)
#define RCC_PLLCKSELR (BOARD_RCC_BASE + 0x28u)
#define RCC_PLLCKSELR_SRC_HSE (2u << 0)
#define RCC_PLLCFGR (BOARD_RCC_BASE + 0x2Cu)
#define RCC_PLLCFGR_PLL1RGE_4_TO_8_MHZ (2u << 2)
#define RCC_PLLCFGR_DIVP1EN (1u << 16)
#define RCC_PLL1DIVR (BOARD_RCC_BASE + 0x30u)
#define PLL_FACTORS ((BOARD_CLOCK_PLL_N - 1u) << 0 | (BOARD_CLOCK_PLL_P - 1u) << 9)

/* PWR, 6.8. */
#define PWR_CSR1 0x58024804u
#define PWR_CSR1_ACTVOSRDY (1u << 13)
#define PWR_CR3 0x5802480Cu
#define PWR_CR3_SUPPLY (7u << 0)
#define PWR_CR3_LDOEN (1u << 1)
#define PWR_D3CR 0x58024818u
#define PWR_D3CR_VOSRDY (1u << 13)
#define PWR_D3CR_VOS (3u << 14) /* of which all bits are scale 1 */

/* Flash interface, 4.9.1. */
#define FLASH_ACR 0x52002000u
#define FLASH_ACR_LATENCY (0xFu << 0)
#define FLASH_ACR_WRHIGHFREQ (3u << 4)
#define FLASH_ACR_WRHIGHFREQ_SHIFT 4u

static bool is_set_up;

/* The supply is chosen once after power-up, and a voltage scale only then (6.4.1). */
static bool voltage_rises(void)
{
    stm32_set_field(PWR_CR3, PWR_CR3_SUPPLY, PWR_CR3_LDOEN);
    if (!stm32_wait(PWR_CSR1, PWR_CSR1_ACTVOSRDY, PWR_CSR1_ACTVOSRDY)) {
        return false;
    }
    stm32_set_field(PWR_D3CR, PWR_D3CR_VOS, PWR_D3CR_VOS);
    return stm32_wait(PWR_D3CR, PWR_D3CR_VOSRDY, PWR_D3CR_VOSRDY);
}

static bool oscillator_starts(void)
{
    REGISTER(RCC_CR) |= (BOARD_CLOCK_HSE_BYPASS != 0 ? RCC_CR_HSEBYP : 0) | RCC_CR_HSEON;
    return stm32_wait(RCC_CR, RCC_CR_HSERDY, RCC_CR_HSERDY);
}

static bool pll_starts(void)
{
    REGISTER(RCC_PLLCKSELR) = RCC_PLLCKSELR_SRC_HSE | BOARD_CLOCK_PLL_M << 4;
    REGISTER(RCC_PLLCFGR) = RCC_PLLCFGR_PLL1RGE_4_TO_8_MHZ | RCC_PLLCFGR_DIVP1EN;
    REGISTER(RCC_PLL1DIVR) = PLL_FACTORS;
    REGISTER(RCC_CR) |= RCC_CR_PLLON;
    return stm32_wait(RCC_CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY);
}

/* The flash must be slow enough before the core is fast (4.3.8, table 17). */
static bool flash_is_ready(void)
{
    const uint32_t wanted = BOARD_CLOCK_FLASH_LATENCY | BOARD_CLOCK_FLASH_SIGNAL_DELAY
                                                            << FLASH_ACR_WRHIGHFREQ_SHIFT;
    stm32_set_field(FLASH_ACR, FLASH_ACR_LATENCY | FLASH_ACR_WRHIGHFREQ, wanted);
    return stm32_wait(FLASH_ACR, FLASH_ACR_LATENCY | FLASH_ACR_WRHIGHFREQ, wanted);
}

static bool core_switches(void)
{
    REGISTER(RCC_D1CFGR) = RCC_D1CFGR_HALVED;
    REGISTER(RCC_D2CFGR) = RCC_D2CFGR_HALVED;
    REGISTER(RCC_D3CFGR) = RCC_D3CFGR_HALVED;
    stm32_set_field(RCC_CFGR, RCC_CFGR_SW, RCC_CFGR_SW_PLL1);
    return stm32_wait(RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_PLL1);
}

static void return_to_reset_clock(void)
{
    stm32_stop_pll(RCC_CFGR, RCC_CFGR_SW, RCC_CFGR_SWS);
    REGISTER(RCC_CR) &= ~RCC_CR_HSEON;
    REGISTER(RCC_D1CFGR) = 0;
    REGISTER(RCC_D2CFGR) = 0;
    REGISTER(RCC_D3CFGR) = 0;
}

void clock_init(void)
{
    const bool has_voltage = voltage_rises();
    return_to_reset_clock();
    is_set_up =
        has_voltage && oscillator_starts() && pll_starts() && flash_is_ready() && core_switches();
    if (!is_set_up) {
        return_to_reset_clock();
    }
    caches_enable();
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
