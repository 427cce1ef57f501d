/* Faults: what happened is kept in RAM that the start-up code leaves alone, then the board resets. */
#include <string.h>

#include "interrupts.h"
#include "linker_symbols.h"
#include "platform.h"
#include "registers.h"

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

static enum platform_fault_reason reason_of(const struct platform_fault *fault)
{
    if (fault->cause == MCAUSE_TIMER) {
        return PLATFORM_WATCHDOG; /* an interrupt of the load would have been served */
    }
    const bool by_store = fault->cause == MCAUSE_STORE_ACCESS;
    const bool has_address =
        by_store || fault->cause == MCAUSE_LOAD_ACCESS; /* else: an instruction */
    if ((has_address && guard_is_below_stack(fault->address)) ||
        fault->sp < (uintptr_t)linker_stack_bottom) {
        return PLATFORM_STACK_OVERFLOW;
    }
    return by_store && guard_is_of_arena(fault->address) ? PLATFORM_ARENA_OVERRUN : PLATFORM_FAULT;
}

/* In order of what is certain: the record counts as soon as it says what and where. */
_Noreturn void fault_report(const struct trap_frame *frame, uint32_t cause)
{
    struct platform_fault *const fault = &record.fault;
    record.magic = 0;
    memset(fault, 0, sizeof *fault);
    fault->step = platform_step;
    fault->cause = cause;
    fault->address = CSR_READ(mtval);
    fault->pc = CSR_READ(mepc);
    fault->lr = frame->ra;
    fault->sp = frame->sp;
    fault->reason = reason_of(fault);
    memcpy(fault->registers, frame->registers, sizeof fault->registers);
    __asm__ volatile("" ::: "memory");
    record.magic = magic_of_this_image();
    __asm__ volatile("" ::: "memory");
    find_callers(fault->sp, fault->callers, PLATFORM_FAULT_CALLERS);
    platform_reset();
}

void fault_init(void)
{
    guard_stack();
}

const struct platform_fault *platform_last_fault(void)
{
    return record.magic == magic_of_this_image() ? &record.fault : NULL;
}

void platform_forget_fault(void)
{
    record.magic = 0;
}
