/* The watchdog of RP2040 and RP2350: an alarm that reports, then a reset.
 *
 * WATCHDOG itself only resets. Alarm 3 of TIMER comes first, as a non-maskable interrupt (RP2040
 * datasheet, 2.4.5; RP2350, 3.7.5.1): it works while interrupts are masked, and its frame tells what
 * ran. WATCHDOG follows half a second later, where it counts so long, for a core that does not even
 * get there. clock_init stops it after a reset of the core alone, which leaves it running. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define SET_BITS 0x2000u
#define CLEAR_BITS 0x3000u

#define TIMER_ALARM_3 REGISTER(BOARD_WATCHDOG_TIMER + 0x1Cu) /* a write arms it */
#define TIMER_ARMED REGISTER(BOARD_WATCHDOG_TIMER + 0x20u) /* a one disarms */
#define TIMER_RAW_LOW REGISTER(BOARD_WATCHDOG_TIMER + 0x28u)
#define TIMER_INTR REGISTER(BOARD_WATCHDOG_TIMER + BOARD_WATCHDOG_INTERRUPTS)
#define TIMER_INTE (BOARD_WATCHDOG_TIMER + BOARD_WATCHDOG_INTERRUPTS + 4u)
#define TIMER_INTS REGISTER(BOARD_WATCHDOG_TIMER + BOARD_WATCHDOG_INTERRUPTS + 12u)
#define ALARM_3 (1u << 3)

/* Which interrupts are the NMI; that of alarm 3 is number 3. */
#define NMI_MASK REGISTER(BOARD_WATCHDOG_NMI_MASK)

#define WATCHDOG_CTRL (BOARD_WATCHDOG_BASE + 0x0u)
#define WATCHDOG_CTRL_ENABLE (1u << 30)
#define WATCHDOG_LOAD REGISTER(BOARD_WATCHDOG_BASE + 0x4u)
#define WATCHDOG_MOST 0x00FFFFFFu
#define PSM_WDSEL REGISTER(BOARD_PSM_BASE + 0x8u) /* what it resets: all but the oscillators */
#define GRACE_MS 500u

static void start_reset(uint32_t milliseconds)
{
    const uint64_t counts = (uint64_t)milliseconds * 1000u * BOARD_WATCHDOG_COUNTS_PER_US;
    if (counts <= WATCHDOG_MOST) {
        PSM_WDSEL = BOARD_WATCHDOG_RESETS;
        WATCHDOG_LOAD = (uint32_t)counts;
        REGISTER(WATCHDOG_CTRL + SET_BITS) = WATCHDOG_CTRL_ENABLE;
    }
}

void platform_watchdog_start(uint32_t milliseconds)
{
    if (milliseconds > INT32_MAX / 1000u) {
        return; /* the alarm would come too early: the host's deadline is left */
    }
    TIMER_INTR = ALARM_3;
    TIMER_ALARM_3 = TIMER_RAW_LOW + milliseconds * 1000u;
    REGISTER(TIMER_INTE + SET_BITS) = ALARM_3;
    NMI_MASK = ALARM_3;
    start_reset(milliseconds + GRACE_MS);
}

void platform_watchdog_stop(void)
{
    REGISTER(WATCHDOG_CTRL + CLEAR_BITS) = WATCHDOG_CTRL_ENABLE;
    NMI_MASK = 0;
    REGISTER(TIMER_INTE + CLEAR_BITS) = ALARM_3;
    TIMER_ARMED = ALARM_3;
    TIMER_INTR = ALARM_3;
}

bool watchdog_expired(void)
{
    return (TIMER_INTS & ALARM_3) != 0;
}
