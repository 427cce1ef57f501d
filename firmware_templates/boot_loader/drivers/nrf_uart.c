/* The UART of the nRF51 series: nRF51 Series Reference Manual v3.0, chapter UART. It keeps six bytes. */
#include "board.h"
#include "layout.h"
#include "line.h"
#include "registers.h"

#define UART_STARTRX REGISTER(BOARD_UART_BASE + 0x000u)
#define UART_STARTTX REGISTER(BOARD_UART_BASE + 0x008u)
#define UART_RXDRDY REGISTER(BOARD_UART_BASE + 0x108u)
#define UART_TXDRDY REGISTER(BOARD_UART_BASE + 0x11Cu)
#define UART_INTENSET REGISTER(BOARD_UART_BASE + 0x304u)
#define UART_INTENSET_RXDRDY (1u << 2)
#define UART_ENABLE REGISTER(BOARD_UART_BASE + 0x500u)
#define UART_ENABLE_ENABLED 4u
#define UART_PSELTXD REGISTER(BOARD_UART_BASE + 0x50Cu)
#define UART_PSELRXD REGISTER(BOARD_UART_BASE + 0x514u)
#define UART_RXD REGISTER(BOARD_UART_BASE + 0x518u)
#define UART_TXD REGISTER(BOARD_UART_BASE + 0x51Cu)
#define UART_BAUDRATE REGISTER(BOARD_UART_BASE + 0x524u)

/* The table of BAUDRATE is this: bits in 2^32 periods of 16 MHz, to 20 bits. */
#define BAUDRATE (((BOARD_UART_BAUD * (1ull << 32) / BOARD_UART_CLOCK_HZ) + 0x800u) & 0xFFFFF000u)

#define GPIO_OUTSET REGISTER(LOADER_GPIO + 0x508u)
#define GPIO_PIN_CNF(pin) REGISTER(LOADER_GPIO + 0x700u + 4u * (pin))
#define PIN_CNF_OUTPUT (1u << 0 | 1u << 1) /* with its input buffer off */
#define PIN_CNF_INPUT_PULLED_UP (3u << 2)

/* The pins are idle before anything drives them. */
void uart_open(void)
{
    GPIO_OUTSET = 1u << BOARD_UART_TX_PIN;
    GPIO_PIN_CNF(BOARD_UART_TX_PIN) = PIN_CNF_OUTPUT;
    GPIO_PIN_CNF(BOARD_UART_RX_PIN) = PIN_CNF_INPUT_PULLED_UP;
    UART_PSELTXD = BOARD_UART_TX_PIN;
    UART_PSELRXD = BOARD_UART_RX_PIN;
    UART_BAUDRATE = (uint32_t)BAUDRATE;
    UART_ENABLE = UART_ENABLE_ENABLED;
    UART_INTENSET = UART_INTENSET_RXDRDY;
    UART_STARTTX = 1;
    UART_STARTRX = 1;
    NVIC_ISER(0u) = 1u << BOARD_UART_IRQ_0;
}

/* The event is cleared first: reading RXD raises it anew for the next byte in the FIFO (chapter UART, Reception). */
bool uart_take(uint8_t *byte)
{
    if (UART_RXDRDY == 0) {
        return false;
    }
    UART_RXDRDY = 0;
    *byte = (uint8_t)UART_RXD;
    return true;
}

void uart_send(uint8_t byte)
{
    UART_TXDRDY = 0;
    UART_TXD = byte;
    while (UART_TXDRDY == 0) {
    }
}
