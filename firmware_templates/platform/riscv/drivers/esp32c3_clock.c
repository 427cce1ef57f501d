/* The clocks of the ESP32-C3: the core on the PLL of 480 MHz, divided by 3; UART, system timer and
 * watchdog stay on the crystal. Numbers in comments are sections of its Technical Reference Manual, v1.0.
 *
 * The manual says nothing of how the PLL is set up: its registers are behind an internal bus, which the
 * functions in ROM serve. Which registers, and what they take, is in ESP-IDF v5.1,
 * components/soc/esp32c3/include/soc/regi2c_bbpll.h and components/hal/esp32c3/include/hal/clk_tree_ll.h;
 * where the functions are, in components/esp_rom/esp32c3/ld/esp32c3.rom.ld. */
#include <stdbool.h>

#include "board.h"
#include "clock.h"
#include "registers.h"

/* 6.2.4.1 and 16.4 */
#define CPU_PER_CONF REGISTER(0x600C0008u)
#define CPU_PER_CONF_160_MHZ 0x05u /* CPUPERIOD_SEL 1 of PLL_FREQ_SEL 1, 480 MHz */
#define CPU_PER_CONF_MASK 0x07u
#define SYSCLK_CONF REGISTER(0x600C0058u)
#define SYSCLK_CONF_PRE_DIV_MASK 0x3FFu /* of the crystal; 1: divided by 2, as after reset */
#define SYSCLK_CONF_SEL_MASK (3u << 10)
#define SYSCLK_CONF_SEL_PLL (1u << 10)

#define RTC_OPTIONS0 REGISTER(0x60008000u)
#define RTC_OPTIONS0_PLL_FORCE_OFF (1u << 10 | 1u << 8 | 1u << 6)
#define ANA_CONF0 REGISTER(0x6000E040u)
#define ANA_CONF0_CALIBRATION_STOP (1u << 2)
#define ANA_CONF0_CALIBRATION_RUN (1u << 3)

/* The bus: block 0x66 is the PLL, on host 0. */
#define BUS_READ_FIELD ((uint8_t (*)(uint8_t, uint8_t, uint8_t, uint8_t, uint8_t))0x40001958u)
#define BUS_WRITE ((void (*)(uint8_t, uint8_t, uint8_t, uint8_t))0x4000195Cu)
#define BUS_WRITE_FIELD \
    ((void (*)(uint8_t, uint8_t, uint8_t, uint8_t, uint8_t, uint8_t))0x40001960u)
enum { PLL_BLOCK = 0x66, PLL_HOST = 0 };

/* A round of the wait for the lock takes some microseconds, as each goes over the bus. */
enum { LOCK_ROUNDS = 1000 };

static uint32_t core_hz;

static void pll_write(uint8_t address, uint8_t value)
{
    BUS_WRITE(PLL_BLOCK, PLL_HOST, address, value);
}

static void pll_write_field(uint8_t address, uint8_t high, uint8_t low, uint8_t value)
{
    BUS_WRITE_FIELD(PLL_BLOCK, PLL_HOST, address, high, low, value);
}

/* For 480 MHz of a crystal of 40 MHz. */
static void configure_pll(void)
{
    RTC_OPTIONS0 &= ~RTC_OPTIONS0_PLL_FORCE_OFF;
    CPU_PER_CONF = (CPU_PER_CONF & ~CPU_PER_CONF_MASK) | CPU_PER_CONF_160_MHZ;
    ANA_CONF0 &= ~ANA_CONF0_CALIBRATION_STOP;
    ANA_CONF0 |= ANA_CONF0_CALIBRATION_RUN;
    pll_write(4, 0x6B); /* MODE_HF */
    pll_write(2, 0x50); /* OC_DCHGP 5, OC_REF_DIV 0 */
    pll_write(3, 8); /* OC_DIV */
    pll_write_field(5, 2, 0, 0); /* OC_DR1 */
    pll_write_field(5, 6, 4, 0); /* OC_DR3 */
    pll_write(6, 0x63); /* OC_DLREF_SEL 1, OC_DHREF_SEL 2, OC_DCUR 3 */
    pll_write_field(9, 1, 0, 2); /* OC_VCO_DBIAS */
}

static bool pll_locks(void)
{
    for (uint32_t round = 0; round < LOCK_ROUNDS; round++) {
        if (BUS_READ_FIELD(PLL_BLOCK, PLL_HOST, 8, 7, 7) != 0) { /* OR_LOCK */
            return true;
        }
    }
    return false;
}

/* On the whole crystal first, and there it stays where the PLL does not lock. */
void clock_init(void)
{
    SYSCLK_CONF &= ~(SYSCLK_CONF_PRE_DIV_MASK | SYSCLK_CONF_SEL_MASK);
    core_hz = BOARD_CLOCK_CRYSTAL_HZ;
    configure_pll();
    if (pll_locks()) {
        SYSCLK_CONF |= SYSCLK_CONF_SEL_PLL;
        core_hz = BOARD_CLOCK_CORE_HZ;
    }
}

uint32_t clock_core_hz(void)
{
    return core_hz;
}

uint32_t clock_uart_hz(void)
{
    return BOARD_UART_CLOCK_HZ;
}
