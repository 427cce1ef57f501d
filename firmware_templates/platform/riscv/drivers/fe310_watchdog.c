/* Two watchdogs: the interrupt of the machine timer is a trap that reports what ran; that of the always-on
 * domain resets a second later, where interrupts are masked or the report hangs. Both count the same
 * oscillator. */
#include "board.h"
#include "fe310_aon.h"
#include "machine_time.h"
#include "platform.h"
#include "registers.h"

#define QEMU_MACHINE_TIMER_HZ 10000000u /* QEMU 7.2, hw/riscv/sifive_e.c */

enum { REPORT_MS = 1000, LARGEST_COMPARED = 0xFFFF, LARGEST_SCALE = 15 };

static uint64_t counts_of(uint64_t milliseconds, uint32_t hz)
{
    return milliseconds * hz / 1000u;
}

/* A limit that is longer than it can count, 18 hours, has the report alone. */
static void reset_after(uint64_t milliseconds)
{
    uint64_t counts = counts_of(milliseconds, BOARD_WATCHDOG_HZ) + 1u;
    uint32_t scale = 0;
    while (counts > LARGEST_COMPARED && scale < LARGEST_SCALE) {
        counts = (counts + 1u) / 2u;
        scale++;
    }
    if (counts > LARGEST_COMPARED) {
        return;
    }
    fe310_watchdog_write(&WDOGCMP, (uint32_t)counts);
    fe310_watchdog_write(&WDOGFEED, WDOGFEED_FOOD); /* counts from 0 */
    fe310_watchdog_write(&WDOGCFG, WDOGCFG_ENALWAYS | WDOGCFG_RSTEN | scale);
}

void platform_watchdog_start(uint32_t milliseconds)
{
    const uint32_t hz = fe310_is_emulated() ? QEMU_MACHINE_TIMER_HZ : BOARD_WATCHDOG_HZ;
    const uint64_t now = machine_time(BOARD_WATCHDOG_BASE);
    machine_time_compare(BOARD_WATCHDOG_BASE, now + counts_of(milliseconds, hz) + 1u);
    CSR_SET(mie, MIE_MTIE);
    reset_after((uint64_t)milliseconds + REPORT_MS);
}

void platform_watchdog_stop(void)
{
    CSR_CLEAR(mie, MIE_MTIE);
    fe310_watchdog_write(&WDOGCFG, 0);
}
