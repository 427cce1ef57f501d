/* The watchdog of a timer group of the ESP32-C3: its first stage interrupts and so reports what ran, its
 * second resets, where interrupts are masked or the report hangs. Technical Reference Manual, v1.0,
 * chapter 12. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define WDT_CONFIG0 REGISTER(BOARD_WATCHDOG_BASE + 0x48u)
#define WDT_CONFIG0_EN (1u << 31)
#define WDT_CONFIG0_STAGE0_INTERRUPT (1u << 29)
#define WDT_CONFIG0_STAGE1_SYSTEM_RESET (3u << 27)
#define WDT_CONFIG0_UPDATE (1u << 22)
#define WDT_CONFIG0_USE_CRYSTAL (1u << 21)
#define WDT_CONFIG0_RESET_LENGTHS (1u << 18 | 1u << 15) /* 200 ns each */
#define WDT_CONFIG1 REGISTER(BOARD_WATCHDOG_BASE + 0x4Cu)
#define WDT_STAGE0_COUNTS REGISTER(BOARD_WATCHDOG_BASE + 0x50u)
#define WDT_STAGE1_COUNTS REGISTER(BOARD_WATCHDOG_BASE + 0x54u)
#define WDT_FEED REGISTER(BOARD_WATCHDOG_BASE + 0x60u)
#define WDT_WPROTECT REGISTER(BOARD_WATCHDOG_BASE + 0x64u)
#define WDT_WKEY 0x50D83AA1u
#define TIMERS_INT_ENA REGISTER(BOARD_WATCHDOG_BASE + 0x70u)
#define TIMERS_INT_CLR REGISTER(BOARD_WATCHDOG_BASE + 0x7Cu)
#define TIMERS_INT_WDT (1u << 1)

#define CLOCKS_PER_MS (BOARD_WATCHDOG_HZ / 1000u) /* the prescaler, of 16 bits */
enum { REPORT_MS = 1000 };

void platform_watchdog_start(uint32_t milliseconds)
{
    WDT_WPROTECT = WDT_WKEY;
    WDT_CONFIG1 = CLOCKS_PER_MS << 16;
    WDT_STAGE0_COUNTS = milliseconds;
    WDT_STAGE1_COUNTS = REPORT_MS;
    TIMERS_INT_CLR = TIMERS_INT_WDT;
    TIMERS_INT_ENA |= TIMERS_INT_WDT;
    WDT_CONFIG0 = WDT_CONFIG0_EN | WDT_CONFIG0_STAGE0_INTERRUPT | WDT_CONFIG0_STAGE1_SYSTEM_RESET |
                  WDT_CONFIG0_USE_CRYSTAL | WDT_CONFIG0_RESET_LENGTHS | WDT_CONFIG0_UPDATE;
    WDT_FEED = 1; /* any value: from the start of stage 0 */
    WDT_WPROTECT = 0;
    controller_enable(BOARD_WATCHDOG_IRQ);
}

void platform_watchdog_stop(void)
{
    WDT_WPROTECT = WDT_WKEY;
    WDT_CONFIG0 = WDT_CONFIG0_UPDATE;
    TIMERS_INT_ENA &= ~TIMERS_INT_WDT;
    TIMERS_INT_CLR = TIMERS_INT_WDT;
    WDT_WPROTECT = 0;
}
