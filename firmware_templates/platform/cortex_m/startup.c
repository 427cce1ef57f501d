/* From reset to main: vector table, coprocessors, .data and .bss. */
#include <stddef.h>
#include <string.h>

#include "board.h"
#include "boots.h"
#include "clock.h"
#include "interrupts.h"
#include "linker_symbols.h"
#include "platform.h"
#include "registers.h"

int main(void);

typedef void (*handler)(void);

struct vector_table {
    uint32_t *stack_top;
    handler exceptions[15];                 /* exception numbers 1 to 15 */
    handler interrupts[BOARD_IRQ_COUNT];    /* exception numbers from 16 */
};

/* DDI 0403E, B1.5.2. Entries left out are 0: a jump there is a fault, and is reported as one. The core
 * finds the table at address 0, or where a boot loader or reset_handler says (VTOR). */
__attribute__((section(".vectors"), used)) static const struct vector_table vectors = {
    .stack_top = linker_stack_top,
    .exceptions =
        {
            [0] = reset_handler,
            [1] = fault_handler, /* NMI */
            [2] = fault_handler, /* HardFault */
            [3] = fault_handler, /* MemManage */
            [4] = fault_handler, /* BusFault */
            [5] = fault_handler, /* UsageFault */
            [6] = fault_handler, /* SecureFault, Armv8-M */
            [14] = ticks_interrupt,
        },
    .interrupts =
        {
            [BOARD_UART_IRQ_0] = uart_interrupt,
#ifdef BOARD_UART_IRQ_1
            [BOARD_UART_IRQ_1] = uart_interrupt,
#endif
#ifdef BOARD_TIMER_IRQ
            [BOARD_TIMER_IRQ] = timer_interrupt,
#endif
#ifdef BOARD_TICKS_IRQ
            [BOARD_TICKS_IRQ] = ticks_interrupt,
#endif
#ifdef BOARD_WATCHDOG_IRQ
            [BOARD_WATCHDOG_IRQ] = fault_handler,
#endif
        },
};

/* Not inlined: everything here may use floating point or vector registers, even a copy. */
__attribute__((noinline)) static _Noreturn void start_c(void)
{
    memcpy(linker_data_start, linker_data_load,
           (size_t)((uintptr_t)linker_data_end - (uintptr_t)linker_data_start));
#ifdef NANO_PLACED_SECTIONS
    place_sections();
#endif
    memset(linker_bss_start, 0, (size_t)((uintptr_t)linker_bss_end - (uintptr_t)linker_bss_start));
    (void)main();
    platform_reset();
}

_Noreturn void reset_handler(void)
{
#if defined(BOARD_CHIP_LOADER) || defined(BOARD_CHIP_APPROTECT)
    chip_at_reset();
#endif
    fault_in_handler = 0; /* from here on, before .bss is cleared, a fault can be reported */
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    SCB_CPACR |= SCB_CPACR_CP10_CP11;
#endif
#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
    __asm__ volatile("msr msplim, %0" ::"r"(linker_stack_bottom));
#endif
#ifdef BOARD_CORE_HAS_VTOR
    SCB_VTOR = (uint32_t)(uintptr_t)&vectors;
#endif
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    start_c();
}

void platform_init(void)
{
    fault_init();
    clock_init();
    boots_init();
    interrupts_rank();
    ticks_init();
    uart_init();
    interrupts_unmask();
}

_Noreturn void platform_reset(void)
{
    __asm__ volatile("dsb" ::: "memory");
    SCB_AIRCR = SCB_AIRCR_RESET;
    __asm__ volatile("dsb" ::: "memory");
    for (;;) {
    }
}
