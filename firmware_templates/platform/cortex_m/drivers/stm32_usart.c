/* USART, UART and LPUART of STM32, of both versions of the peripheral.
 *
 * Version 1, F1 and F4: RM0090, 30.6; RM0041, 23.6. Version 2, the others: RM0351, 40.8; RM0444, 33.8;
 * RM0433, 48.7. The bits used have the same places but for UE. Oversampling by 16, no FIFO. */
#include "board.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "receive_ring.h"
#include "stm32.h"

#if BOARD_UART_VERSION == 1
#define UART_STATUS REGISTER(BOARD_UART_BASE + 0x00u)
#define UART_RECEIVED REGISTER(BOARD_UART_BASE + 0x04u)
#define UART_SENT REGISTER(BOARD_UART_BASE + 0x04u)
#define UART_BRR REGISTER(BOARD_UART_BASE + 0x08u)
#define UART_CR1 REGISTER(BOARD_UART_BASE + 0x0Cu)
#define UART_CR1_UE (1u << 13)
#else
#define UART_CR1 REGISTER(BOARD_UART_BASE + 0x00u)
#define UART_CR1_UE (1u << 0)
#define UART_BRR REGISTER(BOARD_UART_BASE + 0x0Cu)
#define UART_STATUS REGISTER(BOARD_UART_BASE + 0x1Cu)
#define UART_ICR REGISTER(BOARD_UART_BASE + 0x20u)
#define UART_RECEIVED REGISTER(BOARD_UART_BASE + 0x24u)
#define UART_SENT REGISTER(BOARD_UART_BASE + 0x28u)
#endif
#define UART_CR1_RE (1u << 2)
#define UART_CR1_TE (1u << 3)
#define UART_CR1_RXNEIE (1u << 5) /* of an overrun, too */
#define UART_STATUS_ORE (1u << 3)
#define UART_STATUS_RXNE (1u << 5)
#define UART_STATUS_TC (1u << 6)
#define UART_STATUS_TXE (1u << 7)

static struct receive_ring received;
static volatile bool paused; /* the ring was full: a byte waits in the UART */

#ifdef BOARD_UART_PIN_FUNCTION

/* GPIO of all families but F1 (RM0090, 8.4): mode, speed, pull-up and function of one pin. The pull-up
 * keeps an open receive line at rest. */
static void pin_init(uint32_t port, uint32_t pin)
{
    const uint32_t twice = 2u * pin;
    stm32_set_field(port + 0x0Cu, 3u << twice, 1u << twice);
    stm32_set_field(port + 0x08u, 3u << twice, 2u << twice);
    stm32_set_field(port + 0x20u + pin / 8u * 4u, 0xFu << pin % 8u * 4u,
                    BOARD_UART_PIN_FUNCTION << pin % 8u * 4u);
    stm32_set_field(port, 3u << twice, 2u << twice);
}

static void pins_init(void)
{
    pin_init(BOARD_UART_TX_PORT, BOARD_UART_TX_PIN);
    pin_init(BOARD_UART_RX_PORT, BOARD_UART_RX_PIN);
}

#else

/* GPIO of F1 (RM0041, 7.2): four bits say what a pin is; ODR makes an input's pull a pull-up. */
enum { PIN_FUNCTION_PUSH_PULL = 0xB, PIN_INPUT_PULLED = 0x8 };

static void pin_init(uint32_t port, uint32_t pin, uint32_t mode)
{
    stm32_set_field(port + pin / 8u * 4u, 0xFu << pin % 8u * 4u, mode << pin % 8u * 4u);
}

static void pins_init(void)
{
    REGISTER(BOARD_UART_RX_PORT + 0x10u) = 1u << BOARD_UART_RX_PIN; /* BSRR */
    pin_init(BOARD_UART_TX_PORT, BOARD_UART_TX_PIN, PIN_FUNCTION_PUSH_PULL);
    pin_init(BOARD_UART_RX_PORT, BOARD_UART_RX_PIN, PIN_INPUT_PULLED);
}

#endif

/* In the RCC of every family, the bit of a port is in its address. */
static void port_enable(uint32_t port)
{
    stm32_enable(BOARD_UART_PORTS_ENABLE, port >> 10 & 0xFu);
}

static uint32_t divider(void)
{
#ifdef BOARD_UART_LOW_POWER /* LPUART: RM0351, 41.4.4, a 256th of a clock */
    const uint32_t rate = BOARD_UART_BAUD / 256u;
#if BOARD_UART_BAUD % 256u != 0
#error "the baud rate of an LPUART is a multiple of 256 here"
#endif
#else
    const uint32_t rate = BOARD_UART_BAUD;
#endif
    return (clock_uart_hz() + rate / 2u) / rate;
}

/* The pins first: a receiver that listens to an open line takes it for a byte. */
void uart_init(void)
{
    static const uint8_t irqs[] = BOARD_UART_IRQS;
    port_enable(BOARD_UART_TX_PORT);
    port_enable(BOARD_UART_RX_PORT);
    stm32_enable(BOARD_UART_ENABLE, BOARD_UART_ENABLE_BIT);
    pins_init();
    UART_CR1 = 0; /* of a loader in ROM: the divider changes while the UART is off */
    UART_BRR = divider();
    UART_CR1 = UART_CR1_UE | UART_CR1_TE | UART_CR1_RE | UART_CR1_RXNEIE;
    for (size_t i = 0; i < sizeof irqs; ++i) {
        NVIC_ISER(irqs[i] / 32u) = 1u << (irqs[i] % 32u);
    }
}

/* What came before an overrun is good and waits; what came after it is lost. */
static void forget_overrun(void)
{
#if BOARD_UART_VERSION == 1
    (void)UART_RECEIVED; /* behind a read of the status */
#else
    UART_ICR = UART_STATUS_ORE;
#endif
}

/* Takes what has arrived; stops where the ring is full, so that an emulator holds the sender back. On
 * a real line there is an overrun then, which the link's checksum tells. */
void uart_interrupt(void)
{
    uint32_t status;
    while (((status = UART_STATUS) & (UART_STATUS_RXNE | UART_STATUS_ORE)) != 0) {
        if ((status & UART_STATUS_RXNE) == 0) {
            forget_overrun();
        } else if (ring_is_full(&received)) {
            paused = true;
            UART_CR1 &= ~UART_CR1_RXNEIE;
            return;
        } else {
            ring_put(&received, (uint8_t)UART_RECEIVED);
        }
    }
}

size_t platform_serial_read(uint8_t *data, size_t capacity)
{
    const size_t taken = ring_take(&received, data, capacity);
    if (paused && taken > 0) {
        paused = false;
        UART_CR1 |= UART_CR1_RXNEIE;
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
        while ((UART_STATUS & UART_STATUS_TXE) == 0) {
        }
        UART_SENT = data[i];
    }
    while ((UART_STATUS & UART_STATUS_TC) == 0) { /* a reset may follow, which cuts a byte off */
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
