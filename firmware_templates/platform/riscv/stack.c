/* How deep the stack went: fill what is free with a pattern, run, look for the lowest change.
 *
 * Both functions are leaves in assembly that touch no stack of their own, which makes the figure
 * exact to a word. Traps have a stack of their own and do not count. */
#include "platform.h"

uint32_t stack_painted_from; /* stack pointer of the caller; not static, for the assembly's sake */

__attribute__((naked)) void platform_stack_paint(void)
{
    __asm__ volatile("la t0, stack_painted_from\n\t"
                     "sw sp, 0(t0)\n\t"
                     "la t0, linker_stack_bottom\n\t"
                     "li t1, 0x5AC3A5C3\n"
                     "1: bgeu t0, sp, 2f\n\t"
                     "sw t1, 0(t0)\n\t"
                     "addi t0, t0, 4\n\t"
                     "j 1b\n"
                     "2: ret");
}

/* t0: address, t1: pattern, t2: word found, a0: stack pointer at paint, then the result. */
__attribute__((naked)) uint32_t platform_stack_used(void)
{
    __asm__ volatile("la t0, stack_painted_from\n\t"
                     "lw a0, 0(t0)\n\t"
                     "la t0, linker_stack_bottom\n\t"
                     "li t1, 0x5AC3A5C3\n"
                     "1: bgeu t0, a0, 2f\n\t"
                     "lw t2, 0(t0)\n\t"
                     "bne t2, t1, 2f\n\t"
                     "addi t0, t0, 4\n\t"
                     "j 1b\n"
                     "2: sub a0, a0, t0\n\t"
                     "ret");
}
