/* The clocks of STM32L4 and L4+: the internal oscillator of 16 MHz (HSI16), through the PLL.
 *
 * It needs no crystal and is right to 1 %, which is enough for a UART; ticks and microseconds are no
 * better. Sections are those of RM0351 (L4); RM0432 (L4+) has the same registers and a boost mode. */
#include "board.h"
#include "clock.h"
#include "stm32.h"

/* RCC, 6.4. */
#define RCC_CR_HSION (1u << 8)
#define RCC_CR_HSIRDY (1u << 10)
#define RCC_CFGR (BOARD_RCC_BASE + 0x08u)
#define RCC_CFGR_SW (3u << 0)
#define RCC_CFGR_SW_PLL (3u << 0)
#define RCC_CFGR_SWS (3u << 2)
#define RCC_CFGR_SWS_PLL (3u << 2)
#define RCC_CFGR_HPRE (0xFu << 4)
#define RCC_CFGR_HPRE_2 (8u << 4)
#define RCC_PLLCFGR (BOARD_RCC_BASE + 0x0Cu)
#define RCC_PLLCFGR_SRC_HSI16 (2u << 0)
#define RCC_PLLCFGR_REN (1u << 24)
#define RCC_APB1ENR1 0x58u
#define RCC_APB1ENR1_PWREN 28u
#define PLL_FACTORS \
    ((BOARD_CLOCK_PLL_M - 1u) << 4 | BOARD_CLOCK_PLL_N << 8 | (BOARD_CLOCK_PLL_R / 2u - 1u) << 25)

/* PWR, 5.4. Range 1, for more than 26 MHz, is that after reset. */
#define PWR_CR2 0x40007004u
#define PWR_CR2_IOSV (1u << 9) /* the pins PG2 to PG15 have their supply */
#define PWR_CR5 0x40007080u
#define PWR_CR5_R1MODE (1u << 8) /* cleared: boost, L4+ above 80 MHz (RM0432, 5.1.8) */

/* Flash interface, 3.7.1. Prefetch; the caches are on after reset. */
#define FLASH_ACR 0x40022000u
#define FLASH_ACR_LATENCY (0xFu << 0)
#define FLASH_ACR_PRFTEN (1u << 8)

/* At least one microsecond at 120 MHz, of which a round takes three clocks. */
enum { SETTLING_ROUNDS = 40 };

static bool is_set_up;

static void power_init(void)
{
    stm32_enable(RCC_APB1ENR1, RCC_APB1ENR1_PWREN);
#ifdef BOARD_CLOCK_VDDIO2
    REGISTER(PWR_CR2) |= PWR_CR2_IOSV;
#endif
#ifdef BOARD_CLOCK_BOOST
    REGISTER(PWR_CR5) &= ~PWR_CR5_R1MODE;
#endif
}

static bool pll_starts(void)
{
    REGISTER(RCC_CR) |= RCC_CR_HSION;
    if (!stm32_wait(RCC_CR, RCC_CR_HSIRDY, RCC_CR_HSIRDY)) {
        return false;
    }
    REGISTER(RCC_PLLCFGR) = PLL_FACTORS | RCC_PLLCFGR_SRC_HSI16 | RCC_PLLCFGR_REN;
    REGISTER(RCC_CR) |= RCC_CR_PLLON;
    return stm32_wait(RCC_CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY);
}

/* The flash must be slow enough before the core is fast (3.3.3). */
static bool flash_is_ready(void)
{
    stm32_set_field(FLASH_ACR, FLASH_ACR_LATENCY, BOARD_CLOCK_FLASH_LATENCY | FLASH_ACR_PRFTEN);
    return stm32_wait(FLASH_ACR, FLASH_ACR_LATENCY, BOARD_CLOCK_FLASH_LATENCY);
}

/* More than 80 MHz is reached by way of the half of it, for a microsecond (RM0432, 6.2.9). */
static bool core_switches(void)
{
#ifdef BOARD_CLOCK_BOOST
    stm32_set_field(RCC_CFGR, RCC_CFGR_HPRE, RCC_CFGR_HPRE_2);
#endif
    stm32_set_field(RCC_CFGR, RCC_CFGR_SW, RCC_CFGR_SW_PLL);
    const bool done = stm32_wait(RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_PLL);
#ifdef BOARD_CLOCK_BOOST
    for (volatile uint32_t round = 0; round < SETTLING_ROUNDS; round++) {
    }
    stm32_set_field(RCC_CFGR, RCC_CFGR_HPRE, 0);
#endif
    return done;
}

static void return_to_reset_clock(void)
{
    stm32_stop_pll(RCC_CFGR, RCC_CFGR_SW, RCC_CFGR_SWS);
    stm32_set_field(RCC_CFGR, RCC_CFGR_HPRE, 0);
    REGISTER(RCC_CR) &= ~RCC_CR_HSION;
}

void clock_init(void)
{
    power_init();
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
