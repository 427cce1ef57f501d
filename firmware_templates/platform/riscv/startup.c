/* From reset to main: stack, trap vector, .data and .bss. */
#include <stddef.h>
#include <string.h>

#include "boots.h"
#include "clock.h"
#include "interrupts.h"
#include "linker_symbols.h"
#include "platform.h"
#include "registers.h"

int main(void);
void start_c(void);

/* The first instruction of the image; who jumped here may have left interrupts on. Addresses relative to
 * gp only work once gp is loaded. */
__attribute__((naked, section(".reset"), used)) void reset_handler(void)
{
    __asm__ volatile("csrci mstatus, 8\n\t"
                     ".option push\n\t"
                     ".option norelax\n\t"
                     "la gp, __global_pointer$\n\t"
                     ".option pop\n\t"
                     "la sp, linker_stack_top\n\t"
                     "la t0, linker_trap_stack_top\n\t"
                     "csrw mscratch, t0\n\t"
                     "la t0, trap_table\n\t"
                     "csrw mtvec, t0\n\t"
                     "j start_c");
}

__attribute__((used)) void start_c(void)
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

void platform_init(void)
{
    chip_init();
    controller_init();
    fault_init();
    clock_init();
    boots_init();
    ticks_init();
    uart_init();
    interrupts_unmask();
}

_Noreturn void platform_reset(void)
{
    interrupts_mask();
    chip_reset();
    for (;;) {
    }
}
