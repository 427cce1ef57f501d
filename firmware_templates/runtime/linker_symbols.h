/* The addresses that the linker script of the board defines. Only their addresses mean something. */
#ifndef NANO_LINKER_SYMBOLS_H
#define NANO_LINKER_SYMBOLS_H

#include <stdint.h>

extern uint32_t linker_image_start[], linker_image_end[]; /* the loaded image, where it is stored */
extern const uint16_t linker_image_data[]; /* its start for loads, on cores where that may differ */
extern const uint8_t linker_build_id[], linker_build_id_end[]; /* inside the ELF note that has it */
extern uint32_t linker_data_load[]; /* initial values of .data, in flash */
extern uint32_t linker_data_start[], linker_data_end[];
extern uint32_t linker_bss_start[], linker_bss_end[];
extern uint32_t linker_stack_bottom[], linker_stack_top[];
extern uint32_t linker_stack_guard[]; /* where the platform protects the end of the stack itself */
extern uint32_t linker_ram_start[], linker_ram_end[];

/* Sections that the start-up code copies, or clears where `from` is `to`; see placed_sections.c. */
struct linker_placed {
    uint32_t *to;
    const uint32_t *from;
    uint32_t bytes;
};
extern const struct linker_placed linker_placed_start[], linker_placed_end[];
void place_sections(void);

#endif
