/* The FE310-G002: its reset. It has no number of its own; its boot loader is entered by the reset button
 * alone, pressed twice. */
#include "board.h"
#include "fe310_aon.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

/* In counts of the watchdog, 1/32768 s: what the UART may still have to send, eight bytes in its FIFO and
 * one in its shift register, which nothing tells about (18.3). */
#define SENDING_COUNTS (9u * 10u * BOARD_WATCHDOG_HZ / BOARD_UART_BAUD + 1u)

/* More than so many counts, of 12,000 cycles of the fastest core at most; a round takes four or more. */
#define RESET_ROUNDS (SENDING_COUNTS * 6000u)

/* Who ran before may have started it. */
void chip_init(void)
{
    fe310_watchdog_write(&WDOGCFG, 0);
}

/* The watchdog resets the whole chip, once the last answer is on its way. An emulator may have none: the
 * program then starts over by itself, as after a reset, which leaves the same RAM alone. */
void chip_reset(void)
{
    fe310_watchdog_write(&WDOGCFG, 0);
    fe310_watchdog_write(&WDOGFEED, WDOGFEED_FOOD); /* counts from 0 */
    fe310_watchdog_write(&WDOGCMP, SENDING_COUNTS);
    fe310_watchdog_write(&WDOGCFG, WDOGCFG_RSTEN | WDOGCFG_ENALWAYS);
    for (volatile uint32_t round = 0; round < RESET_ROUNDS; round++) {
    }
    reset_handler();
}

size_t platform_chip_id(uint8_t *id, size_t capacity)
{
    (void)id;
    (void)capacity;
    return 0;
}

bool platform_reset_to_loader(void)
{
    return false;
}
