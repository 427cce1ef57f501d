/* The clocks of the chip. One driver, of this platform or another, stands behind it. */
#ifndef NANO_CLOCK_H
#define NANO_CLOCK_H

#include <stdint.h>

/* Sets them up as the board says. Every wait is bounded: where an oscillator or a PLL does not start,
 * the chip stays at the clock it has after reset, and the functions below say so. */
void clock_init(void);

uint32_t clock_core_hz(void);
uint32_t clock_uart_hz(void); /* what the divider of the link's UART divides */

#endif
