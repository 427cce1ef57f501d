/* The APB watchdog of Arm's Cortex-M System Design Kit (DDI 0479D, section 4.5), on the MPS2 boards.
 *
 * The end of its count is a non-maskable interrupt, whose frame tells what ran. The reset at the end of
 * a second count stays off: QEMU's model counts on while the watchdog is stopped, keeps what came of
 * it, and would reset the board at the next start. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define WATCHDOG_LOAD REGISTER(BOARD_WATCHDOG_BASE + 0x00u) /* a write starts the count anew */
#define WATCHDOG_CONTROL REGISTER(BOARD_WATCHDOG_BASE + 0x08u)
#define WATCHDOG_CONTROL_INTERRUPT (1u << 0)
#define WATCHDOG_INTCLR REGISTER(BOARD_WATCHDOG_BASE + 0x0Cu) /* a write: the count anew, too */
#define WATCHDOG_MIS REGISTER(BOARD_WATCHDOG_BASE + 0x14u) /* the interrupt is pending */
#define WATCHDOG_LOCK REGISTER(BOARD_WATCHDOG_BASE + 0xC00u)
#define WATCHDOG_LOCK_OPEN 0x1ACCE551u

void platform_watchdog_start(uint32_t milliseconds)
{
    const uint64_t counts = (uint64_t)milliseconds * (BOARD_WATCHDOG_HZ / 1000u) + 1u;
    if (counts > UINT32_MAX) {
        return; /* it would end the run too early: the host's deadline is left */
    }
    WATCHDOG_LOCK = WATCHDOG_LOCK_OPEN;
    WATCHDOG_LOAD = (uint32_t)counts;
    WATCHDOG_INTCLR = 1;
    WATCHDOG_CONTROL = WATCHDOG_CONTROL_INTERRUPT;
    WATCHDOG_LOCK = 0;
}

void platform_watchdog_stop(void)
{
    WATCHDOG_LOCK = WATCHDOG_LOCK_OPEN;
    WATCHDOG_CONTROL = 0;
    WATCHDOG_INTCLR = 1;
    WATCHDOG_LOCK = 0;
}

bool watchdog_expired(void)
{
    return WATCHDOG_MIS != 0;
}
