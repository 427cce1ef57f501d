/* The serial line, without interrupt handlers: the core sleeps until a byte or the timer is pending. */
#ifndef BOOT_LINE_H
#define BOOT_LINE_H

#include <stdbool.h>
#include <stdint.h>

void line_open(void);

/* The next byte, or false after `ms` milliseconds without one. */
bool line_take(uint8_t *byte, uint32_t ms);

void line_send(uint8_t byte);

/* Returns once nobody has sent for `ms` milliseconds, or false as soon as somebody does. */
bool line_is_quiet(uint32_t ms);

/* Milliseconds since line_open, without those in which nobody waited for a byte. */
uint32_t line_ms(void);

/* Of drivers/: a UART with an interrupt for each byte, and a timer with one each millisecond. */
void uart_open(void);
bool uart_take(uint8_t *byte);
void uart_send(uint8_t byte); /* returns when there was room for it */
void timer_open(void);
bool timer_ticked(void); /* since the last call */

#endif
