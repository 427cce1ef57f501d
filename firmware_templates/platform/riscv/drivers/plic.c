/* The platform-level interrupt controller: RISC-V PLIC Specification 1.0.0, chapter 3, memory map;
 * context 0 is machine mode of hart 0. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define PLIC_PRIORITY(irq) REGISTER(BOARD_INTERRUPTS_BASE + 4u * (irq))
#define PLIC_ENABLE(irq) REGISTER(BOARD_INTERRUPTS_BASE + 0x2000u + 4u * ((irq) / 32u))
#define PLIC_THRESHOLD REGISTER(BOARD_INTERRUPTS_BASE + 0x200000u)
#define PLIC_CLAIM REGISTER(BOARD_INTERRUPTS_BASE + 0x200004u)

void controller_init(void)
{
    CSR_WRITE(mie, 0); /* a reset leaves it as it was, with the timer of a run that crashed */
    PLIC_THRESHOLD = 0;
}

void controller_enable(uint32_t irq)
{
    PLIC_PRIORITY(irq) = 1;
    PLIC_ENABLE(irq) |= 1u << (irq % 32u);
    PLIC_CLAIM = irq; /* completes it, where its handler crashed and the controller was not reset */
    CSR_SET(mie, MIE_MEIE);
}

bool controller_dispatch(uint32_t cause)
{
    if (cause != MCAUSE_EXTERNAL) {
        return false;
    }
    const uint32_t irq = PLIC_CLAIM;
    if (irq == BOARD_UART_IRQ) {
        uart_interrupt();
    }
    PLIC_CLAIM = irq; /* writing it back completes the interrupt */
    return true;
}
