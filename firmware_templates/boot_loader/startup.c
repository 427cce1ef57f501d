/* The first instructions after reset, and the exceptions.
 *
 * The loader masks all interrupts and has handlers for none. With a vector table register (VTOR) the
 * application moves to its own table, and this one is done with. A Cortex-M0 has no such register: its
 * table is this one for ever, and each entry goes on to the same entry of the application's table. */
#include "application.h"
#include "assembly.h"
#include "layout.h"
#include "loader.h"
#include "registers.h"

extern uint32_t linker_stack_top[];
extern uint32_t linker_bss_start[], linker_bss_end[];

typedef void (*handler)(void);

#if defined(__ARM_ARCH_6M__)

/* r0 to r3 and r12 are on the stack by now, and lr and sp are left as the core set them: the handler
 * finds what it would have found had the core entered it directly. Five instructions. */
__attribute__((naked)) void exception_forward(void)
{
    __asm__ volatile(ASSEMBLY_UNIFIED "mrs r0, ipsr\n\t"
                                      "lsls r0, r0, #2\n\t"
                                      "ldr r1, 1f\n\t"
                                      "ldr r0, [r0, r1]\n\t"
                                      "bx r0\n\t"
                                      ".p2align 2\n"
                                      "1: .word linker_application_image");
}

/* NMI and HardFault, which no mask keeps out of the loader itself: the word in RAM tells whose it is. */
__attribute__((naked)) void exception_unmasked(void)
{
    __asm__ volatile(ASSEMBLY_UNIFIED "ldr r0, 1f\n\t"
                                      "ldr r0, [r0]\n\t"
                                      "ldr r1, 2f\n\t"
                                      "ldr r2, 3f\n\t"
                                      "cmp r0, r1\n\t"
                                      "beq 5f\n\t"
                                      "ldr r2, 4f\n"
                                      "5: bx r2\n\t"
                                      ".p2align 2\n"
                                      "1: .word linker_running\n"
                                      "2: .word linker_application_image\n"
                                      "3: .word exception_forward\n"
                                      "4: .word loader_restart");
}

#else

/* Of the loader itself, or of an application that was called wrongly. */
void exception_unmasked(void)
{
    loader_restart();
}

#endif

_Noreturn void reset_handler(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
    for (uint32_t *word = linker_bss_start; word < linker_bss_end; word++) {
        *word = 0;
    }
    loader_main();
}

/* DDI 0419E (Armv6-M) and DDI 0403E (Armv7-M), B1.5.2: stack, reset, NMI, HardFault, the other
 * exceptions up to 15, interrupts. */
#define FOUR(handler) handler, handler, handler, handler
struct vector_table {
    uint32_t *stack_top;
    handler reset, nmi, hard_fault;
    handler exceptions[12];
#if defined(__ARM_ARCH_6M__)
    handler interrupts[32];
#endif
};

__attribute__((section(".vectors"), used)) static const struct vector_table vectors = {
    .stack_top = linker_stack_top,
    .reset = reset_handler,
    .nmi = exception_unmasked,
    .hard_fault = exception_unmasked,
#if defined(__ARM_ARCH_6M__)
    .exceptions = {FOUR(exception_forward), FOUR(exception_forward), FOUR(exception_forward)},
    .interrupts = {FOUR(exception_forward), FOUR(exception_forward), FOUR(exception_forward),
                   FOUR(exception_forward), FOUR(exception_forward), FOUR(exception_forward),
                   FOUR(exception_forward), FOUR(exception_forward)},
#else
    .exceptions = {FOUR(exception_unmasked), FOUR(exception_unmasked), FOUR(exception_unmasked)},
#endif
};

/* As the core starts after a reset: the stack of the application's table, interrupts not masked. */
_Noreturn void application_start(void)
{
    const uint32_t *const table = (const uint32_t *)(uintptr_t)APPLICATION_IMAGE;
#if !defined(__ARM_ARCH_6M__)
    SCB_VTOR = APPLICATION_IMAGE;
#endif
    REGISTER(RUNNING_ADDRESS) = APPLICATION_IMAGE;
    __asm__ volatile("dsb\n\t"
                     "msr msp, %0\n\t"
                     "cpsie i\n\t"
                     "isb\n\t"
                     "bx %1" ::"r"(table[0]),
                     "r"(table[1])
                     : "memory");
    __builtin_unreachable();
}
