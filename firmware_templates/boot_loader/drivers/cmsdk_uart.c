/* The APB UART of Arm's Cortex-M System Design Kit: DDI 0479D, section 4.3. */
#include "board.h"
#include "clock.h"
#include "line.h"
#include "registers.h"

#define UART_DATA REGISTER(BOARD_UART_BASE + 0x00u)
#define UART_STATE REGISTER(BOARD_UART_BASE + 0x04u)
#define UART_STATE_TX_FULL (1u << 0)
#define UART_STATE_RX_FULL (1u << 1)
#define UART_CTRL REGISTER(BOARD_UART_BASE + 0x08u)
#define UART_CTRL_TX_ENABLE (1u << 0)
#define UART_CTRL_RX_ENABLE (1u << 1)
#define UART_CTRL_RX_INTERRUPT (1u << 3)
#define UART_INTCLEAR REGISTER(BOARD_UART_BASE + 0x0Cu)
#define UART_INTCLEAR_RX (1u << 1)
#define UART_BAUDDIV REGISTER(BOARD_UART_BASE + 0x10u)

void uart_open(void)
{
    UART_BAUDDIV = clock_uart_hz() / BOARD_UART_BAUD;
    UART_CTRL = UART_CTRL_TX_ENABLE | UART_CTRL_RX_ENABLE | UART_CTRL_RX_INTERRUPT;
    NVIC_ISER(BOARD_UART_IRQ_0 / 32u) = 1u << BOARD_UART_IRQ_0 % 32u;
}

bool uart_take(uint8_t *byte)
{
    UART_INTCLEAR = UART_INTCLEAR_RX;
    if ((UART_STATE & UART_STATE_RX_FULL) == 0) {
        return false;
    }
    *byte = (uint8_t)UART_DATA;
    return true;
}

void uart_send(uint8_t byte)
{
    while ((UART_STATE & UART_STATE_TX_FULL) != 0) {
    }
    UART_DATA = byte;
}
