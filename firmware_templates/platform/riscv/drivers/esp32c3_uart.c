/* The UART of the ESP32-C3: Technical Reference Manual, v1.0, chapter 26. Its pins are UART0's after
 * reset (chapter 5, table IO MUX pin functions). */
#include "board.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "receive_ring.h"
#include "registers.h"

#define UART_FIFO REGISTER(BOARD_UART_BASE + 0x00u)
#define UART_INT_ENA REGISTER(BOARD_UART_BASE + 0x0Cu)
#define UART_INT_CLR REGISTER(BOARD_UART_BASE + 0x10u)
#define UART_INT_ALL 0x000FFFFFu
#define UART_INT_RXFIFO_FULL (1u << 0)
#define UART_INT_RXFIFO_TOUT (1u << 8) /* bytes wait, and none has come for a while */
#define UART_INT_RECEIVED (UART_INT_RXFIFO_FULL | UART_INT_RXFIFO_TOUT)
#define UART_CLKDIV REGISTER(BOARD_UART_BASE + 0x14u)
#define UART_STATUS REGISTER(BOARD_UART_BASE + 0x1Cu)
#define UART_STATUS_RXFIFO_CNT(status) ((status) & 0x3FFu)
#define UART_STATUS_TXFIFO_CNT(status) ((status) >> 16 & 0x3FFu)
#define UART_CONF0 REGISTER(BOARD_UART_BASE + 0x20u)
#define UART_CONF0_8N1 (1u << 28 | 1u << 4 | 3u << 2) /* MEM_CLK_EN, STOP_BIT_NUM, BIT_NUM */
#define UART_CONF1 REGISTER(BOARD_UART_BASE + 0x24u)
#define UART_CONF1_RX_TOUT_EN (1u << 21)
#define UART_CONF1_RXFIFO_FULL_THRHD 1u
#define UART_FSM_STATUS REGISTER(BOARD_UART_BASE + 0x6Cu)
#define UART_FSM_STATUS_SENDING (0xFu << 4) /* ST_UTX_OUT: 0 while nothing is being sent */
#define UART_CLK_CONF REGISTER(BOARD_UART_BASE + 0x78u)
#define UART_CLK_CONF_CRYSTAL (1u << 25 | 1u << 24 | 1u << 22 | 3u << 20) /* both on; SCLK_SEL */
#define UART_ID REGISTER(BOARD_UART_BASE + 0x80u)
#define UART_ID_REG_UPDATE (1u << 31)

/* The update takes a few clocks of the UART. */
enum { TX_FIFO_BYTES = 128, UPDATE_ROUNDS = 10000 };

static struct receive_ring received;
static volatile bool paused; /* the ring was full: bytes wait in the UART */

/* 26.5.1.1: registers of the core part count from the update on. */
void uart_init(void)
{
    const uint32_t sixteenths = (clock_uart_hz() * 16u + BOARD_UART_BAUD / 2u) / BOARD_UART_BAUD;
    UART_CLK_CONF = UART_CLK_CONF_CRYSTAL;
    UART_CLKDIV = sixteenths / 16u | sixteenths % 16u << 20;
    UART_CONF0 = UART_CONF0_8N1;
    UART_CONF1 = UART_CONF1_RX_TOUT_EN | UART_CONF1_RXFIFO_FULL_THRHD;
    UART_ID |= UART_ID_REG_UPDATE;
    for (uint32_t round = 0; (UART_ID & UART_ID_REG_UPDATE) != 0 && round < UPDATE_ROUNDS;
         round++) {
    }
    UART_INT_CLR = UART_INT_ALL;
    UART_INT_ENA = UART_INT_RECEIVED;
    controller_enable(BOARD_UART_IRQ);
}

/* Takes what has arrived. The flags are cleared first: they come again for a byte that follows. Where
 * the ring is full the interrupt goes off, so that the sender is held back by a link that can, and the
 * overrun is seen by the link's checksum where it cannot. */
void uart_interrupt(void)
{
    UART_INT_CLR = UART_INT_RECEIVED;
    while (UART_STATUS_RXFIFO_CNT(UART_STATUS) != 0) {
        if (ring_is_full(&received)) {
            paused = true;
            UART_INT_ENA = 0;
            return;
        }
        ring_put(&received, (uint8_t)UART_FIFO);
    }
}

/* The flags of bytes that waited may have been cleared: they are taken here. */
size_t platform_serial_read(uint8_t *data, size_t capacity)
{
    const size_t taken = ring_take(&received, data, capacity);
    if (paused && taken > 0) {
        paused = false;
        interrupts_mask();
        UART_INT_ENA = UART_INT_RECEIVED;
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
        while (UART_STATUS_TXFIFO_CNT(UART_STATUS) >= TX_FIFO_BYTES - 1u) {
        }
        UART_FIFO = data[i];
    }
    while (UART_STATUS_TXFIFO_CNT(UART_STATUS) != 0 ||
           (UART_FSM_STATUS & UART_FSM_STATUS_SENDING) != 0) { /* a reset may follow */
    }
}

/* No sleep: whether WFI ends on an interrupt that mstatus masks, the manual does not say, and with
 * interrupts on a byte could come between check and sleep. */
void platform_idle(void)
{
}
