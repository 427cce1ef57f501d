/* The image as it was loaded, which can be read where it is stored. */
#include "linker_symbols.h"
#include "platform.h"

uint32_t platform_image_bytes(void)
{
    return (uint32_t)((uintptr_t)linker_image_end - (uintptr_t)linker_image_start);
}

bool platform_image(const uint8_t **start)
{
    *start = (const uint8_t *)linker_image_data;
    return true;
}

size_t platform_elf_build_id(const uint8_t **id)
{
    const uintptr_t start = (uintptr_t)linker_build_id, end = (uintptr_t)linker_build_id_end;
    *id = linker_build_id;
    return end > start ? end - start : 0; /* linked without one, the note is empty */
}
