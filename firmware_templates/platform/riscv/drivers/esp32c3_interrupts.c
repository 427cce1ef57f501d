/* The interrupt matrix of the ESP32-C3: any source goes to any of 31 lines of the core, each of which has
 * a priority. ESP32-C3 Technical Reference Manual, v1.0, chapter 8, and 1.6 for the core's part. The
 * core's mie is not there: lines are enabled in the matrix. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define SOURCE_LINE(source) REGISTER(BOARD_INTERRUPTS_BASE + 4u * (source))
#define LINES_ENABLED REGISTER(BOARD_INTERRUPTS_BASE + 0x104u)
#define LINES_EDGE REGISTER(BOARD_INTERRUPTS_BASE + 0x108u) /* 0: level */
#define LINE_PRIORITY(line) REGISTER(BOARD_INTERRUPTS_BASE + 0x114u + 4u * (line))
#define PRIORITY_LEAST REGISTER(BOARD_INTERRUPTS_BASE + 0x194u) /* that is served */

enum { UART_LINE = 1, TIMER_LINE = 2, WATCHDOG_LINE = 3 };

static uint32_t line_of(uint32_t source)
{
    if (source == BOARD_UART_IRQ) {
        return UART_LINE;
    }
    return source == BOARD_WATCHDOG_IRQ ? WATCHDOG_LINE : TIMER_LINE;
}

void controller_init(void)
{
    LINES_ENABLED = 0;
    LINES_EDGE = 0;
    PRIORITY_LEAST = 1;
}

void controller_enable(uint32_t irq)
{
    const uint32_t line = line_of(irq);
    SOURCE_LINE(irq) = line;
    LINE_PRIORITY(line) = line == WATCHDOG_LINE ? 2u : 1u;
    LINES_ENABLED |= 1u << line;
}

/* That of the watchdog is not served: it is a fault of what ran. */
bool controller_dispatch(uint32_t cause)
{
    if (cause == (MCAUSE_INTERRUPT | UART_LINE)) {
        uart_interrupt();
        return true;
    }
#ifdef BOARD_TIMER_BASE
    if (cause == (MCAUSE_INTERRUPT | TIMER_LINE)) {
        return timer_interrupt();
    }
#endif
    return false;
}
