/* How deep the stack went: fill what is free with a pattern, run, look for the lowest change.
 *
 * Both functions are leaves in assembly that touch no stack of their own, which makes the figure
 * exact to a word: what they call to hold interrupts back is done before the first word is painted, or
 * after the last one was looked at. An interrupt between paint and used would push its frame on the same
 * stack; the figure is of the code between the two calls, and of nothing else. */
#include "assembly.h"
#include "platform.h"

uint32_t stack_painted_from; /* stack pointer of the caller; not static, for the assembly's sake */

/* r0: address, r1: stack pointer, r2: pattern. */
__attribute__((naked)) void platform_stack_paint(void)
{
    __asm__ volatile(ASSEMBLY_UNIFIED "push {r4, lr}\n\t"
                                      "bl interrupts_hold\n\t"
                                      "pop {r0, r1}\n\t"
                                      "mov lr, r1\n\t"
                                      "mov r1, sp\n\t"
                                      "ldr r0, =stack_painted_from\n\t"
                                      "str r1, [r0]\n\t"
                                      "ldr r0, =linker_stack_bottom\n\t"
                                      "ldr r2, =0x5AC3A5C3\n"
                                      "1: cmp r0, r1\n\t"
                                      "bhs 2f\n\t"
                                      "stmia r0!, {r2}\n\t"
                                      "b 1b\n"
                                      "2: bx lr\n\t"
                                      ".ltorg");
}

/* r0: address, then the result; r1: stack pointer at paint, r2: pattern, r3: word found. */
__attribute__((naked)) uint32_t platform_stack_used(void)
{
    __asm__ volatile(ASSEMBLY_UNIFIED "ldr r0, =stack_painted_from\n\t"
                                      "ldr r1, [r0]\n\t"
                                      "ldr r0, =linker_stack_bottom\n\t"
                                      "ldr r2, =0x5AC3A5C3\n"
                                      "1: cmp r0, r1\n\t"
                                      "bhs 2f\n\t"
                                      "ldr r3, [r0]\n\t"
                                      "cmp r3, r2\n\t"
                                      "bne 2f\n\t"
                                      "adds r0, r0, #4\n\t"
                                      "b 1b\n"
                                      "2: subs r0, r1, r0\n\t"
                                      "push {r0, lr}\n\t"
                                      "bl interrupts_release\n\t"
                                      "pop {r0, pc}\n\t"
                                      ".ltorg");
}
