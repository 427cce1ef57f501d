/* The 16550 UART (National Semiconductor PC16550D data sheet, section 8), registers one byte apart. */
#include "board.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "receive_ring.h"
#include "registers.h"

#define UART_RBR REGISTER8(BOARD_UART_BASE + 0u) /* read: received byte */
#define UART_THR REGISTER8(BOARD_UART_BASE + 0u) /* write: byte to send */
#define UART_DLL REGISTER8(BOARD_UART_BASE + 0u) /* with DLAB */
#define UART_IER REGISTER8(BOARD_UART_BASE + 1u)
#define UART_IER_RECEIVED 0x01u
#define UART_DLM REGISTER8(BOARD_UART_BASE + 1u) /* with DLAB */
#define UART_FCR REGISTER8(BOARD_UART_BASE + 2u)
#define UART_FCR_ENABLE 0x07u /* both FIFOs on and cleared, interrupt from the first byte */
#define UART_LCR REGISTER8(BOARD_UART_BASE + 3u)
#define UART_LCR_8N1 0x03u
#define UART_LCR_DLAB 0x80u
#define UART_LSR REGISTER8(BOARD_UART_BASE + 5u)
#define UART_LSR_DATA_READY 0x01u
#define UART_LSR_THR_EMPTY 0x20u

static struct receive_ring received;
static volatile bool paused; /* the ring was full: bytes wait in the UART */

void uart_init(void)
{
    const uint32_t divisor = (clock_uart_hz() + BOARD_UART_BAUD * 8u) / (BOARD_UART_BAUD * 16u);
    UART_LCR = UART_LCR_DLAB;
    UART_DLL = (uint8_t)divisor;
    UART_DLM = (uint8_t)(divisor >> 8);
    UART_LCR = UART_LCR_8N1;
    UART_FCR = UART_FCR_ENABLE;
    UART_IER = UART_IER_RECEIVED;
    controller_enable(BOARD_UART_IRQ);
}

/* Takes what has arrived. Where the ring is full the interrupt goes off, so that the sender is held
 * back by a link that can, and the overrun is seen by the link's checksum where it cannot. */
void uart_interrupt(void)
{
    while ((UART_LSR & UART_LSR_DATA_READY) != 0) {
        if (ring_is_full(&received)) {
            paused = true;
            UART_IER = 0;
            return;
        }
        ring_put(&received, UART_RBR);
    }
}

size_t platform_serial_read(uint8_t *data, size_t capacity)
{
    const size_t taken = ring_take(&received, data, capacity);
    if (paused && taken > 0) {
        paused = false;
        UART_IER = UART_IER_RECEIVED; /* level triggered: waiting bytes interrupt at once */
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
        while ((UART_LSR & UART_LSR_THR_EMPTY) == 0) {
        }
        UART_THR = data[i];
    }
}

/* WFI ends on an enabled interrupt even while mstatus masks it, so that no byte is lost between check
 * and sleep (volume II, 3.3.3). */
void platform_idle(void)
{
    interrupts_mask();
    if (ring_is_empty(&received)) {
        __asm__ volatile("wfi" ::: "memory");
    }
    interrupts_unmask();
}
