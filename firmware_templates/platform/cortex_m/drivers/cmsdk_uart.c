/* The APB UART of Arm's Cortex-M System Design Kit (DDI 0479D, section 4.3), on the MPS2 boards. */
#include "board.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "receive_ring.h"
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
#define UART_BAUDDIV REGISTER(BOARD_UART_BASE + 0x10u) /* 16 at least */

static struct receive_ring received;
static volatile bool paused; /* the ring was full: bytes wait in the UART */

void uart_init(void)
{
    static const uint8_t irqs[] = BOARD_UART_IRQS;
    UART_BAUDDIV = clock_uart_hz() / BOARD_UART_BAUD;
    UART_CTRL = UART_CTRL_TX_ENABLE | UART_CTRL_RX_ENABLE | UART_CTRL_RX_INTERRUPT;
    for (size_t i = 0; i < sizeof irqs; ++i) {
        NVIC_ISER(irqs[i] / 32u) = 1u << (irqs[i] % 32u);
    }
}

/* Takes what has arrived; stops where the ring is full, so that the sender is held back by a link
 * that can, and the overrun is seen by the link's checksum where it cannot. */
void uart_interrupt(void)
{
    UART_INTCLEAR = UART_INTCLEAR_RX;
    while ((UART_STATE & UART_STATE_RX_FULL) != 0) {
        if (ring_is_full(&received)) {
            paused = true;
            return;
        }
        ring_put(&received, (uint8_t)UART_DATA);
    }
}

size_t platform_serial_read(uint8_t *data, size_t capacity)
{
    const size_t taken = ring_take(&received, data, capacity);
    if (paused && taken > 0) {
        /* The interrupt of the byte that waits was cleared: go on by hand. */
        interrupts_mask();
        paused = false;
        uart_interrupt();
        interrupts_unmask();
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
        while ((UART_STATE & UART_STATE_TX_FULL) != 0) {
        }
        UART_DATA = data[i];
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
