/* The clocks of RP2040 and RP2350, and what else has to be on before a driver runs: peripherals out of
 * reset, and the two pins of UART0.
 *
 * The crystal of 12 MHz drives the PLL and, divided to microseconds, TIMER and WATCHDOG; where it does
 * not start the chip goes on with its ring oscillator, whose frequency varies by a factor of two: all
 * but the link then works. Sections are those of the RP2040 datasheet; the RP2350's blocks (its
 * datasheet, 7.5, 8 and 9) have the same registers at other addresses. A reset by the core (AIRCR)
 * leaves everything here as it is: each step starts from any state. */
#include <stdbool.h>

#include "board.h"
#include "clock.h"
#include "registers.h"

/* 2.1.2: what is written at these distances sets or clears the bits of a register. */
#define SET_BITS 0x2000u
#define CLEAR_BITS 0x3000u

/* 2.14.3 */
#define RESETS_RESET (BOARD_RESETS_BASE + 0x0u)
#define RESETS_DONE (BOARD_RESETS_BASE + 0x8u)

/* 2.15.7 */
#define CLK_REF_CTRL (BOARD_CLOCKS_BASE + 0x30u)
#define CLK_REF_FROM_CRYSTAL 2u
#define CLK_REF_DIV (BOARD_CLOCKS_BASE + 0x34u)
#define CLK_REF_SELECTED (BOARD_CLOCKS_BASE + 0x38u) /* one bit for each source */
#define CLK_SYS_CTRL (BOARD_CLOCKS_BASE + 0x3Cu)
#define CLK_SYS_AUX_IS_PLL 0u
#define CLK_SYS_FROM_PLL (CLK_SYS_AUX_IS_PLL | 1u) /* from the auxiliary source */
#define CLK_SYS_DIV (BOARD_CLOCKS_BASE + 0x40u)
#define CLK_SYS_SELECTED (BOARD_CLOCKS_BASE + 0x44u)
#define CLK_SOURCE 3u /* SRC of both; 0 is the ring oscillator of clk_ref, and clk_ref of clk_sys */
#ifdef BOARD_CLOCK_WATCHDOG_TICK /* RP2040 */
#define CLK_UNDIVIDED (1u << 8)
#else
#define CLK_UNDIVIDED (1u << 16)
#endif
#define CLK_PERI_CTRL (BOARD_CLOCKS_BASE + 0x48u)
#define CLK_PERI_ENABLE (1u << 11) /* from the system clock */

/* 2.16.7 */
#define XOSC_CTRL (BOARD_XOSC_BASE + 0x0u)
#define XOSC_CTRL_ENABLE 0x00FABAA0u /* for crystals of 1 to 15 MHz */
#define XOSC_STATUS (BOARD_XOSC_BASE + 0x4u)
#define XOSC_STATUS_STABLE (1u << 31)
#define XOSC_STARTUP (BOARD_XOSC_BASE + 0xCu)
#define XOSC_HZ 12000000u
#define XOSC_STARTUP_1_MS (XOSC_HZ / 1000u / 256u + 1u)

/* 2.18.4 */
#define PLL_CS (BOARD_PLL_SYS_BASE + 0x0u)
#define PLL_CS_LOCK (1u << 31)
#define PLL_PWR (BOARD_PLL_SYS_BASE + 0x4u)
#define PLL_PWR_CORE (1u << 5 | 1u << 0)
#define PLL_PWR_POST_DIVIDERS (1u << 3)
#define PLL_FBDIV (BOARD_PLL_SYS_BASE + 0x8u)
#define PLL_PRIM (BOARD_PLL_SYS_BASE + 0xCu)

#if XOSC_HZ / (BOARD_CLOCK_PLL_POST_DIVIDER_1 * BOARD_CLOCK_PLL_POST_DIVIDER_2) * \
        BOARD_CLOCK_PLL_FEEDBACK != \
    BOARD_CLOCK_CORE_HZ
#error "the dividers of the PLL do not make the core's clock"
#endif

/* 2.19.6.1 and 2.19.6.3: GPIO0 and GPIO1 are the UART's; the pull-up keeps an open line idle. */
#define GPIO_CTRL(n) (BOARD_IO_BANK0_BASE + 8u * (n) + 4u)
#define GPIO_CTRL_UART 2u
#define PAD(n) (BOARD_PADS_BANK0_BASE + 4u * (n) + 4u)
#define PAD_PULL_UP 0x5Au /* input enabled, 4 mA, Schmitt trigger; RP2350: not isolated */
enum { TX_PIN = 0, RX_PIN = 1 };

#define WATCHDOG_CTRL (BOARD_WATCHDOG_BASE + 0x0u)
#define WATCHDOG_CTRL_ENABLE (1u << 30)

/* Rounds of waiting: tens of milliseconds at any frequency of the ring oscillator. */
#define PATIENCE 100000u

static uint32_t core_hz = BOARD_CLOCK_RESET_HZ;

static bool becomes_set(uint32_t address, uint32_t bits)
{
    for (uint32_t i = 0; i < PATIENCE; ++i) {
        if ((REGISTER(address) & bits) == bits) {
            return true;
        }
    }
    return false;
}

/* The multiplexers of clk_ref and clk_sys change over without a glitch, while both clocks run. Those of
 * the auxiliary sources do not: what one of them selects stays until nothing comes from there. */
static bool leave_other_clocks(uint32_t control, uint32_t selected)
{
    REGISTER(control + CLEAR_BITS) = CLK_SOURCE;
    return becomes_set(selected, 1u);
}

static bool select_clock(uint32_t control, uint32_t selected, uint32_t source)
{
    REGISTER(control) = source;
    return becomes_set(selected, 1u << source);
}

static bool start_crystal(void)
{
    REGISTER(XOSC_STARTUP) = XOSC_STARTUP_1_MS;
    REGISTER(XOSC_CTRL) = XOSC_CTRL_ENABLE;
    return becomes_set(XOSC_STATUS, XOSC_STATUS_STABLE) &&
           select_clock(CLK_REF_CTRL, CLK_REF_SELECTED, CLK_REF_FROM_CRYSTAL);
}

static bool start_pll(void)
{
    REGISTER(PLL_CS) = 1; /* REFDIV */
    REGISTER(PLL_FBDIV) = BOARD_CLOCK_PLL_FEEDBACK;
    REGISTER(PLL_PWR + CLEAR_BITS) = PLL_PWR_CORE;
    if (!becomes_set(PLL_CS, PLL_CS_LOCK)) {
        return false;
    }
    REGISTER(PLL_PRIM) = BOARD_CLOCK_PLL_POST_DIVIDER_1 << 16 | BOARD_CLOCK_PLL_POST_DIVIDER_2
                                                                    << 12;
    REGISTER(PLL_PWR + CLEAR_BITS) = PLL_PWR_POST_DIVIDERS;
    REGISTER(CLK_SYS_CTRL) = CLK_SYS_AUX_IS_PLL;
    return select_clock(CLK_SYS_CTRL, CLK_SYS_SELECTED, CLK_SYS_FROM_PLL);
}

/* One tick of TIMER and WATCHDOG: a microsecond of the crystal, about one of the ring oscillator. */
static void start_ticks(uint32_t clocks)
{
#ifdef BOARD_CLOCK_WATCHDOG_TICK /* RP2040, 4.7.6 */
    REGISTER(BOARD_CLOCK_WATCHDOG_TICK) = 1u << 9 | clocks;
#else /* RP2350, 8.5: control and divider of the generators for TIMER0 and WATCHDOG */
    REGISTER(BOARD_CLOCK_TICKS + 0x1Cu) = clocks;
    REGISTER(BOARD_CLOCK_TICKS + 0x18u) = 1;
    REGISTER(BOARD_CLOCK_TICKS + 0x34u) = clocks;
    REGISTER(BOARD_CLOCK_TICKS + 0x30u) = 1;
#endif
}

static void connect_uart(void)
{
    REGISTER(PAD(RX_PIN)) = PAD_PULL_UP;
    REGISTER(PAD(TX_PIN)) = PAD_PULL_UP;
    REGISTER(GPIO_CTRL(TX_PIN)) = GPIO_CTRL_UART;
    REGISTER(GPIO_CTRL(RX_PIN)) = GPIO_CTRL_UART;
}

void clock_init(void)
{
    REGISTER(WATCHDOG_CTRL + CLEAR_BITS) = WATCHDOG_CTRL_ENABLE;
    (void)leave_other_clocks(CLK_SYS_CTRL, CLK_SYS_SELECTED);
    (void)leave_other_clocks(CLK_REF_CTRL, CLK_REF_SELECTED);
    REGISTER(CLK_REF_DIV) = CLK_UNDIVIDED;
    REGISTER(CLK_SYS_DIV) = CLK_UNDIVIDED;
    REGISTER(RESETS_RESET + SET_BITS) = BOARD_CLOCK_RESETS;
    REGISTER(RESETS_RESET + CLEAR_BITS) = BOARD_CLOCK_RESETS;
    (void)becomes_set(RESETS_DONE, BOARD_CLOCK_RESETS);
    core_hz = BOARD_CLOCK_RESET_HZ;
    uint32_t reference_hz = BOARD_CLOCK_RESET_HZ;
    if (start_crystal()) {
        reference_hz = XOSC_HZ;
        core_hz = start_pll() ? BOARD_CLOCK_CORE_HZ : XOSC_HZ;
    }
    start_ticks(reference_hz / 1000000u);
    REGISTER(CLK_PERI_CTRL) = CLK_PERI_ENABLE;
    connect_uart();
}

uint32_t clock_core_hz(void)
{
    return core_hz;
}

uint32_t clock_uart_hz(void)
{
    return core_hz;
}
