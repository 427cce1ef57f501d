/* The watchdog of a Stellaris LM3S (LM3S6965 Microcontroller Data Sheet, Watchdog Timer).
 *
 * The end of its count is an interrupt, which goes to the fault handler. Once started it counts until the
 * next reset: stopped it is only not listened to. Its reset at the end of a second count stays off, since
 * an idle board would have to feed it for ever. */
#include "board.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define WATCHDOG_LOAD REGISTER(BOARD_WATCHDOG_BASE + 0x000u) /* a write starts the count anew */
#define WATCHDOG_CTL REGISTER(BOARD_WATCHDOG_BASE + 0x008u)
#define WATCHDOG_CTL_INTERRUPT (1u << 0)
#define WATCHDOG_ICR REGISTER(BOARD_WATCHDOG_BASE + 0x00Cu) /* a write: the count anew, too */
#define WATCHDOG_MIS REGISTER(BOARD_WATCHDOG_BASE + 0x014u) /* the interrupt is pending */

#define IRQ_BIT (1u << BOARD_WATCHDOG_IRQ % 32u)

void platform_watchdog_start(uint32_t milliseconds)
{
    const uint64_t counts = (uint64_t)milliseconds * (clock_core_hz() / 1000u) + 1u;
    if (counts > UINT32_MAX) {
        return; /* it would end the run too early: the host's deadline is left */
    }
    WATCHDOG_LOAD = (uint32_t)counts;
    WATCHDOG_CTL = WATCHDOG_CTL_INTERRUPT;
    WATCHDOG_ICR = 1;
    (void)WATCHDOG_MIS; /* it has reached the watchdog: what was pending is over */
    NVIC_ICPR(BOARD_WATCHDOG_IRQ / 32u) = IRQ_BIT;
    NVIC_ISER(BOARD_WATCHDOG_IRQ / 32u) = IRQ_BIT;
}

void platform_watchdog_stop(void)
{
    NVIC_ICER(BOARD_WATCHDOG_IRQ / 32u) = IRQ_BIT;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

bool watchdog_expired(void)
{
    return WATCHDOG_MIS != 0;
}
