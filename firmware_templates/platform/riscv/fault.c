/* Faults: what happened is kept in RAM that the start-up code leaves alone, then the board resets. */
#include "interrupts.h"
#include "linker_symbols.h"
#include "platform.h"
#include "registers.h"

#define FAULT_MAGIC 0x4E414E46u /* differs from what RAM holds after power-up */

struct fault_record {
    uint32_t magic;
    struct platform_fault fault;
};

__attribute__((section(".noinit"))) static struct fault_record record;

_Noreturn void fault_report(const struct trap_frame *frame, uint32_t cause)
{
    record.fault = (struct platform_fault){
        .cause = cause,
        .address = CSR_READ(mtval),
        .pc = CSR_READ(mepc),
        .lr = frame->ra,
        .sp = CSR_READ(mscratch),
    };
    record.magic = FAULT_MAGIC;
    platform_reset();
}

/* No access to the guard below the stack, not even for machine mode: an overflow faults.
 * A region of 2^n bytes is its address / 4 with n - 3 low bits set (3.7.1, Table 3.11). */
void fault_init(void)
{
    const uint32_t start = (uint32_t)(uintptr_t)linker_stack_guard;
    const uint32_t bytes = (uint32_t)((uintptr_t)linker_stack_bottom) - start;
    CSR_WRITE(pmpaddr0, start / 4u | (bytes / 8u - 1u));
    CSR_WRITE(pmpcfg0, PMPCFG_LOCKED | PMPCFG_NAPOT);
}

bool platform_take_fault(struct platform_fault *fault)
{
    if (record.magic != FAULT_MAGIC) {
        return false;
    }
    *fault = record.fault;
    record.magic = 0;
    return true;
}
