/* SiFive's UART: FE310-G002 manual, v1p4, chapter 18. */
#include "board.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "receive_ring.h"
#include "registers.h"

#define UART_TXDATA REGISTER(BOARD_UART_BASE + 0x00u) /* 18.4 */
#define UART_TXDATA_FULL (1u << 31)
#define UART_RXDATA REGISTER(BOARD_UART_BASE + 0x04u) /* 18.5: reading takes the byte */
#define UART_RXDATA_EMPTY (1u << 31)
#define UART_TXCTRL REGISTER(BOARD_UART_BASE + 0x08u)
#define UART_RXCTRL REGISTER(BOARD_UART_BASE + 0x0Cu) /* watermark 0: from the first byte on */
#define UART_ENABLE 1u /* 8N1 is all it does */
#define UART_IE REGISTER(BOARD_UART_BASE + 0x10u)
#define UART_IE_RXWM 2u
#define UART_DIV REGISTER(BOARD_UART_BASE + 0x18u) /* 18.9 */

/* 17.6: its pins, which belong to the GPIO after reset; IOF 0 is the UART (table 53). */
#define GPIO_IOF_EN REGISTER(0x10012038u)
#define GPIO_IOF_SEL REGISTER(0x1001203Cu)

static struct receive_ring received;
static volatile bool paused; /* the ring was full: bytes wait in the UART */

void uart_init(void)
{
    UART_DIV = (clock_uart_hz() + BOARD_UART_BAUD / 2u) / BOARD_UART_BAUD - 1u;
    GPIO_IOF_SEL &= ~BOARD_UART_PINS;
    GPIO_IOF_EN |= BOARD_UART_PINS;
    UART_TXCTRL = UART_ENABLE;
    UART_RXCTRL = UART_ENABLE;
    UART_IE = UART_IE_RXWM;
    controller_enable(BOARD_UART_IRQ);
}

/* Takes what has arrived. Where the ring is full the interrupt goes off, so that the sender is held
 * back by a link that can, and the overrun is seen by the link's checksum where it cannot. */
void uart_interrupt(void)
{
    while (!ring_is_full(&received)) {
        const uint32_t data = UART_RXDATA;
        if ((data & UART_RXDATA_EMPTY) != 0) {
            return;
        }
        ring_put(&received, (uint8_t)data);
    }
    paused = true;
    UART_IE = 0;
}

size_t platform_serial_read(uint8_t *data, size_t capacity)
{
    const size_t taken = ring_take(&received, data, capacity);
    if (paused && taken > 0) {
        paused = false;
        UART_IE = UART_IE_RXWM; /* level triggered: waiting bytes interrupt at once */
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
        while ((UART_TXDATA & UART_TXDATA_FULL) != 0) {
        }
        UART_TXDATA = data[i];
    }
}

/* WFI ends on an enabled interrupt even while mstatus masks it, so that no byte is lost between check
 * and sleep (RISC-V Instruction Set Manual, volume II, 3.3.3). */
void platform_idle(void)
{
    interrupts_mask();
    if (ring_is_empty(&received)) {
        __asm__ volatile("wfi" ::: "memory");
    }
    interrupts_unmask();
}
