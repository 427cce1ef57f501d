/* The trap vector: interrupts and faults, on a stack of their own.
 *
 * mscratch holds the top of that stack while ordinary code runs, and 0 while a trap is served: a trap
 * within a trap can only be a fault of the handler, and all there is to do is the reset. The main stack
 * is left alone: an overflow of it can be reported, and its high-water mark is that of the program. */
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

/* For mtvec. Cores that take every trap at one address begin with the first entry; those that take each
 * interrupt at an address of its own (ESP32-C3) find the same way from there, and want 256 bytes aligned. */
__attribute__((naked, aligned(256), used)) void trap_table(void)
{
    __asm__ volatile(".option push\n\t"
                     ".option norvc\n\t"
                     ".rept 32\n\t"
                     "j trap_handler\n\t"
                     ".endr\n\t"
                     ".option pop");
}

/* Saves what a C function may change, and more for the report of a fault; offsets are those of struct
 * trap_frame. Addresses are relative to gp, which a program that went wrong may have changed. */
__attribute__((naked, aligned(4), used)) void trap_handler(void)
{
    __asm__ volatile("csrrw sp, mscratch, sp\n\t"
                     "beqz sp, 1f\n\t"
                     "addi sp, sp, -80\n\t"
                     "sw ra, 0(sp)\n\t"
                     "sw gp, 8(sp)\n\t"
                     "sw t0, 12(sp)\n\t"
                     "sw t1, 16(sp)\n\t"
                     "sw t2, 20(sp)\n\t"
                     "sw t3, 24(sp)\n\t"
                     "sw t4, 28(sp)\n\t"
                     "sw t5, 32(sp)\n\t"
                     "sw t6, 36(sp)\n\t"
                     "sw a0, 40(sp)\n\t"
                     "sw a1, 44(sp)\n\t"
                     "sw a2, 48(sp)\n\t"
                     "sw a3, 52(sp)\n\t"
                     "sw a4, 56(sp)\n\t"
                     "sw a5, 60(sp)\n\t"
                     "sw a6, 64(sp)\n\t"
                     "sw a7, 68(sp)\n\t"
                     "csrrw t0, mscratch, zero\n\t"
                     "sw t0, 4(sp)\n\t"
                     ".option push\n\t"
                     ".option norelax\n\t"
                     "la gp, __global_pointer$\n\t"
                     ".option pop\n\t"
                     "mv a0, sp\n\t"
                     "call trap_dispatch\n\t"
                     "lw ra, 0(sp)\n\t"
                     "lw gp, 8(sp)\n\t"
                     "lw t1, 16(sp)\n\t"
                     "lw t2, 20(sp)\n\t"
                     "lw t3, 24(sp)\n\t"
                     "lw t4, 28(sp)\n\t"
                     "lw t5, 32(sp)\n\t"
                     "lw t6, 36(sp)\n\t"
                     "lw a0, 40(sp)\n\t"
                     "lw a1, 44(sp)\n\t"
                     "lw a2, 48(sp)\n\t"
                     "lw a3, 52(sp)\n\t"
                     "lw a4, 56(sp)\n\t"
                     "lw a5, 60(sp)\n\t"
                     "lw a6, 64(sp)\n\t"
                     "lw a7, 68(sp)\n\t"
                     "addi t0, sp, 80\n\t"
                     "csrw mscratch, t0\n\t"
                     "lw t0, 12(sp)\n\t"
                     "lw sp, 4(sp)\n\t"
                     "mret\n"
                     "1: .option push\n\t"
                     ".option norelax\n\t"
                     "la gp, __global_pointer$\n\t"
                     ".option pop\n\t"
                     "la sp, linker_trap_stack_top\n\t"
                     "j platform_reset");
}

__attribute__((used)) void trap_dispatch(const struct trap_frame *frame)
{
    const uint32_t cause = CSR_READ(mcause);
#ifdef BOARD_TIMER_BASE
    if (cause == MCAUSE_TIMER && timer_interrupt()) {
        return;
    }
#endif
    if (!controller_dispatch(cause)) {
        fault_report(frame, cause);
    }
}
