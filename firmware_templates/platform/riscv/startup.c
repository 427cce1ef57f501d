/* From reset to main: stack, trap vector, .data and .bss. */
#include <stddef.h>
#include <string.h>

#include "boots.h"
#include "clock.h"
#include "interrupts.h"
#include "linker_symbols.h"
#include "platform.h"
#include "registers.h"

#define TEST_RESET 0x7777u /* FINISHER_RESET of the SiFive test device */

int main(void);
void start_c(void);

/* The first instruction of the image. Addresses relative to gp only work once gp is loaded. */
__attribute__((naked, section(".reset"), used)) void reset_handler(void)
{
    __asm__ volatile(".option push\n\t"
                     ".option norelax\n\t"
                     "la gp, __global_pointer$\n\t"
                     ".option pop\n\t"
                     "la sp, linker_stack_top\n\t"
                     "la t0, linker_trap_stack_top\n\t"
                     "csrw mscratch, t0\n\t"
                     "la t0, trap_handler\n\t"
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
    CSR_WRITE(mie, 0); /* a reset leaves it as it was, with the timer of a run that crashed */
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
    REGISTER(BOARD_SIFIVE_TEST_BASE) = TEST_RESET;
    for (;;) {
    }
}

uint32_t platform_image_bytes(void)
{
    return (uint32_t)((uintptr_t)linker_image_end - (uintptr_t)linker_image_start);
}

bool platform_image(const uint8_t **start)
{
    *start = (const uint8_t *)linker_image_start;
    return true;
}

size_t platform_elf_build_id(const uint8_t **id)
{
    const uintptr_t start = (uintptr_t)linker_build_id, end = (uintptr_t)linker_build_id_end;
    *id = linker_build_id;
    return end > start ? end - start : 0; /* linked without one, the note is empty */
}
