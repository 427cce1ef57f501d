/* The UART of Nordic's nRF51, and of nRF52 with the registers that its UARTE shares with it (nRF51 Series
 * Reference Manual v3.0 and nRF52840 Product Specification v1.1, chapters UART).
 *
 * Received bytes wait in the chip, six at most; RXDRDY is set for each that comes to be the next to read.
 * A pin is its number, and 32 more on port 1. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "receive_ring.h"
#include "registers.h"

#define UART_STARTRX REGISTER(BOARD_UART_BASE + 0x000u)
#define UART_STARTTX REGISTER(BOARD_UART_BASE + 0x008u)
#define UART_RXDRDY REGISTER(BOARD_UART_BASE + 0x108u)
#define UART_TXDRDY REGISTER(BOARD_UART_BASE + 0x11Cu)
#define UART_INTENSET REGISTER(BOARD_UART_BASE + 0x304u)
#define UART_INTENCLR REGISTER(BOARD_UART_BASE + 0x308u)
#define UART_INTEN_RXDRDY (1u << 2)
#define UART_ENABLE REGISTER(BOARD_UART_BASE + 0x500u)
#define UART_ENABLED 4u
#define UART_PSELTXD REGISTER(BOARD_UART_BASE + 0x50Cu)
#define UART_PSELRXD REGISTER(BOARD_UART_BASE + 0x514u)
#define UART_RXD REGISTER(BOARD_UART_BASE + 0x518u)
#define UART_TXD REGISTER(BOARD_UART_BASE + 0x51Cu)
#define UART_BAUDRATE REGISTER(BOARD_UART_BASE + 0x524u)

/* The table of BAUDRATE is this: bits in 2^32 periods of 16 MHz, to 20 bits. */
#define BAUDRATE (((BOARD_UART_BAUD * (1ull << 32) / BOARD_UART_CLOCK_HZ) + 0x800u) & 0xFFFFF000u)

#define PORT(pin) (0x50000000u + 0x300u * ((pin) / 32u))
#define PORT_OUTSET(pin) REGISTER(PORT(pin) + 0x508u)
#define PORT_PIN_CNF(pin) REGISTER(PORT(pin) + 0x700u + 4u * ((pin) % 32u))
#define PIN_CNF_OUTPUT (1u << 0 | 1u << 1) /* with its input buffer off */
#define PIN_CNF_INPUT_PULLED_UP (3u << 2)

static struct receive_ring received;
static volatile bool paused; /* the ring was full: bytes wait in the UART */

/* The pins as they are while the UART does not drive them, before it gets them (Pin configuration). */
static void init_pins(void)
{
    PORT_OUTSET(BOARD_UART_TX_PIN) = 1u << BOARD_UART_TX_PIN % 32u;
    PORT_PIN_CNF(BOARD_UART_TX_PIN) = PIN_CNF_OUTPUT;
    PORT_PIN_CNF(BOARD_UART_RX_PIN) = PIN_CNF_INPUT_PULLED_UP;
    UART_PSELTXD = BOARD_UART_TX_PIN;
    UART_PSELRXD = BOARD_UART_RX_PIN;
}

void uart_init(void)
{
    static const uint8_t irqs[] = BOARD_UART_IRQS;
    init_pins();
    UART_BAUDRATE = (uint32_t)BAUDRATE;
    UART_ENABLE = UART_ENABLED;
    UART_STARTTX = 1;
    UART_RXDRDY = 0;
    UART_STARTRX = 1;
    UART_INTENSET = UART_INTEN_RXDRDY;
    for (size_t i = 0; i < sizeof irqs; ++i) {
        NVIC_ISER(irqs[i] / 32u) = 1u << (irqs[i] % 32u);
    }
}

/* Takes what has arrived. The event goes before its byte is read, since that sets it for the next one.
 * Where the ring is full the interrupt is switched off and the event kept: the UART holds some more, then
 * the overrun is seen by the link's checksum. */
void uart_interrupt(void)
{
    while (UART_RXDRDY != 0) {
        if (ring_is_full(&received)) {
            paused = true;
            UART_INTENCLR = UART_INTEN_RXDRDY;
            return;
        }
        UART_RXDRDY = 0;
        ring_put(&received, (uint8_t)UART_RXD);
    }
}

size_t platform_serial_read(uint8_t *data, size_t capacity)
{
    const size_t taken = ring_take(&received, data, capacity);
    if (paused && taken > 0) {
        paused = false;
        UART_INTENSET = UART_INTEN_RXDRDY; /* and the interrupt comes at once */
    }
    return taken;
}

uint32_t platform_serial_window(void)
{
    return BOARD_RECEIVE_RING_BYTES;
}

void platform_serial_write(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; ++i) {
        UART_TXDRDY = 0;
        UART_TXD = data[i];
        while (UART_TXDRDY == 0) {
        }
    }
}

/* WFI ends on a pending interrupt even while it is masked, so that no byte is lost between check
 * and sleep (DDI 0403E, B1.5.19). */
void platform_idle(void)
{
    interrupts_mask();
    if (ring_is_empty(&received)) {
        __asm__ volatile("dsb\n\twfi" ::: "memory");
    }
    interrupts_unmask();
}
