/* The trap vector: interrupts and faults, on a stack of their own.
 *
 * mscratch holds the top of that stack while ordinary code runs, and the stack pointer of the
 * interrupted code while a trap is served. The main stack is thus left alone: an overflow of it can
 * be reported, and its high-water mark is that of the program. */
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

/* Saves what a C function may change; offsets are those of struct trap_frame. */
__attribute__((naked, aligned(4), used)) void trap_handler(void)
{
    __asm__ volatile("csrrw sp, mscratch, sp\n\t"
                     "addi sp, sp, -64\n\t"
                     "sw ra, 0(sp)\n\t"
                     "sw t0, 4(sp)\n\t"
                     "sw t1, 8(sp)\n\t"
                     "sw t2, 12(sp)\n\t"
                     "sw t3, 16(sp)\n\t"
                     "sw t4, 20(sp)\n\t"
                     "sw t5, 24(sp)\n\t"
                     "sw t6, 28(sp)\n\t"
                     "sw a0, 32(sp)\n\t"
                     "sw a1, 36(sp)\n\t"
                     "sw a2, 40(sp)\n\t"
                     "sw a3, 44(sp)\n\t"
                     "sw a4, 48(sp)\n\t"
                     "sw a5, 52(sp)\n\t"
                     "sw a6, 56(sp)\n\t"
                     "sw a7, 60(sp)\n\t"
                     "mv a0, sp\n\t"
                     "call trap_dispatch\n\t"
                     "lw ra, 0(sp)\n\t"
                     "lw t0, 4(sp)\n\t"
                     "lw t1, 8(sp)\n\t"
                     "lw t2, 12(sp)\n\t"
                     "lw t3, 16(sp)\n\t"
                     "lw t4, 20(sp)\n\t"
                     "lw t5, 24(sp)\n\t"
                     "lw t6, 28(sp)\n\t"
                     "lw a0, 32(sp)\n\t"
                     "lw a1, 36(sp)\n\t"
                     "lw a2, 40(sp)\n\t"
                     "lw a3, 44(sp)\n\t"
                     "lw a4, 48(sp)\n\t"
                     "lw a5, 52(sp)\n\t"
                     "lw a6, 56(sp)\n\t"
                     "lw a7, 60(sp)\n\t"
                     "addi sp, sp, 64\n\t"
                     "csrrw sp, mscratch, sp\n\t"
                     "mret");
}

__attribute__((used)) void trap_dispatch(const struct trap_frame *frame)
{
    const uint32_t cause = CSR_READ(mcause);
    if (cause != MCAUSE_EXTERNAL) {
        fault_report(frame, cause);
    }
    const uint32_t irq = PLIC_CLAIM;
    if (irq == BOARD_UART_IRQ) {
        uart_interrupt();
    }
    PLIC_CLAIM = irq; /* writing it back completes the interrupt */
}
