#include "fault_record.h"

#include <string.h>

#include "linker_symbols.h"

#define FAULT_MAGIC \
    0x4E414E47u /* differs from what RAM holds after power-up; new with each layout */

struct fault_record {
    uint32_t magic;
    struct platform_fault fault;
};

__attribute__((section(".noinit"))) static struct fault_record record;

volatile uint32_t platform_step;

/* Another image could be running by now, to which the addresses mean nothing; it may be as long. */
static uint32_t magic_of_this_image(void)
{
    uint32_t hash = 0;
    const uint8_t *id;
    if (platform_elf_build_id(&id) >= sizeof hash) {
        memcpy(&hash, id, sizeof hash);
    }
    return FAULT_MAGIC ^ hash ^ (uint32_t)(uintptr_t)linker_image_end;
}

struct platform_fault *fault_record_begin(void)
{
    record.magic = 0;
    memset(&record.fault, 0, sizeof record.fault);
    return &record.fault;
}

void fault_record_counts(void)
{
    __asm__ volatile("" ::: "memory");
    record.magic = magic_of_this_image();
    __asm__ volatile("" ::: "memory");
}

const struct platform_fault *platform_last_fault(void)
{
    return record.magic == magic_of_this_image() ? &record.fault : NULL;
}

void platform_forget_fault(void)
{
    record.magic = 0;
}
