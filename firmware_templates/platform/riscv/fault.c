/* Faults: what happened is kept in a record that outlives the reset, then the board resets. */
#include <string.h>

#include "arena_guards.h"
#include "callers.h"
#include "fault_record.h"
#include "interrupts.h"
#include "linker_symbols.h"
#include "platform.h"
#include "registers.h"

static enum platform_fault_reason reason_of(const struct platform_fault *fault)
{
    if ((fault->cause & MCAUSE_INTERRUPT) != 0) {
        return PLATFORM_WATCHDOG; /* any other interrupt would have been served */
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
    struct platform_fault *const fault = fault_record_begin();
    fault->step = platform_step;
    fault->cause = cause;
    fault->address = CSR_READ(mtval);
    fault->pc = CSR_READ(mepc);
    fault->lr = frame->ra;
    fault->sp = frame->sp;
    fault->reason = reason_of(fault);
    memcpy(fault->registers, frame->registers, sizeof fault->registers);
    fault_record_counts();
    find_callers(fault->sp, fault->callers, PLATFORM_FAULT_CALLERS);
    platform_reset();
}

void fault_init(void)
{
    guard_stack();
}
