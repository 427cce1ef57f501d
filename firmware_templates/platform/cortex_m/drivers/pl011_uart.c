/* Arm's PrimeCell UART PL011 (DDI 0183G). The pins and the clock of the block are the clock driver's.
 *
 * Its receive interrupt comes when the FIFO is half full, or holds anything and the line has been idle
 * for 32 bits: what is left until it overruns is the time in which it must be served. */
#include "board.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "receive_ring.h"
#include "registers.h"

#define UART_DR REGISTER(BOARD_UART_BASE + 0x00u)
#define UART_FR REGISTER(BOARD_UART_BASE + 0x18u)
#define UART_FR_BUSY (1u << 3)
#define UART_FR_RX_EMPTY (1u << 4)
#define UART_FR_TX_FULL (1u << 5)
#define UART_IBRD REGISTER(BOARD_UART_BASE + 0x24u)
#define UART_FBRD REGISTER(BOARD_UART_BASE + 0x28u)
#define UART_LCR_H REGISTER(BOARD_UART_BASE + 0x2Cu) /* its write takes the divider over */
#define UART_LCR_H_FIFO (1u << 4)
#define UART_LCR_H_8_BITS (3u << 5)
#define UART_CR REGISTER(BOARD_UART_BASE + 0x30u)
#define UART_CR_ENABLE (1u << 0)
#define UART_CR_TX_ENABLE (1u << 8)
#define UART_CR_RX_ENABLE (1u << 9)
#define UART_IMSC REGISTER(BOARD_UART_BASE + 0x38u)
#define UART_IMSC_RX (1u << 4 | 1u << 6) /* the FIFO's level, and the time-out */

static struct receive_ring received;
static volatile bool paused; /* the ring was full: bytes wait in the FIFO */

void uart_init(void)
{
    static const uint8_t irqs[] = BOARD_UART_IRQS;
    const uint32_t sixty_fourths = (4u * clock_uart_hz() + BOARD_UART_BAUD / 2u) / BOARD_UART_BAUD;
    UART_CR = 0;
    UART_IBRD = sixty_fourths / 64u;
    UART_FBRD = sixty_fourths % 64u;
    UART_LCR_H = UART_LCR_H_8_BITS | UART_LCR_H_FIFO;
    UART_CR = UART_CR_ENABLE | UART_CR_TX_ENABLE | UART_CR_RX_ENABLE;
    UART_IMSC = UART_IMSC_RX;
    for (size_t i = 0; i < sizeof irqs; ++i) {
        NVIC_ISER(irqs[i] / 32u) = 1u << (irqs[i] % 32u);
    }
}

/* Takes what has arrived, which ends the interrupt. Where the ring is full the interrupt is masked:
 * the FIFO holds some more, then the overrun is seen by the link's checksum. */
void uart_interrupt(void)
{
    while ((UART_FR & UART_FR_RX_EMPTY) == 0) {
        if (ring_is_full(&received)) {
            paused = true;
            UART_IMSC = 0;
            return;
        }
        ring_put(&received, (uint8_t)UART_DR);
    }
}

size_t platform_serial_read(uint8_t *data, size_t capacity)
{
    const size_t taken = ring_take(&received, data, capacity);
    if (paused && taken > 0) {
        paused = false;
        UART_IMSC = UART_IMSC_RX; /* and the interrupt comes at once */
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
        while ((UART_FR & UART_FR_TX_FULL) != 0) {
        }
        UART_DR = data[i];
    }
    while ((UART_FR & UART_FR_BUSY) != 0) { /* a reset may follow, which cuts a byte off */
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
