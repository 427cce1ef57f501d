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

/* The words that the core pushes on exception entry, DDI 0403E, B1.5.6. */
enum { FRAME_LR = 5, FRAME_PC = 6, FRAME_XPSR = 7, FRAME_WORDS = 8, FRAME_WORDS_FP = 26 };
#define XPSR_REALIGNED (1u << 9)
#define EXC_RETURN_NO_FP (1u << 4)

void fault_report(const uint32_t *frame, uint32_t exc_return);

/* A guess is worse than 0: the frame is read only where it lies inside the stack. */
static bool frame_is_readable(const uint32_t *frame)
{
    const uintptr_t address = (uintptr_t)frame;
    return address % sizeof(uint32_t) == 0 && address >= (uintptr_t)linker_stack_bottom &&
           address + FRAME_WORDS * sizeof(uint32_t) <= (uintptr_t)linker_stack_top;
}

static uint32_t fault_address(uint32_t status)
{
    if ((status & SCB_CFSR_BFARVALID) != 0) {
        return SCB_BFAR;
    }
    return (status & SCB_CFSR_MMARVALID) != 0 ? SCB_MMFAR : 0;
}

__attribute__((used)) void fault_report(const uint32_t *frame, uint32_t exc_return)
{
    struct platform_fault fault = {.sp = (uint32_t)(uintptr_t)frame};
    __asm__ volatile("mrs %0, ipsr" : "=r"(fault.cause));
    fault.status = SCB_CFSR;
    fault.address = fault_address(fault.status);
    if (frame_is_readable(frame)) {
        const uint32_t words = (exc_return & EXC_RETURN_NO_FP) != 0 ? FRAME_WORDS : FRAME_WORDS_FP;
        fault.pc = frame[FRAME_PC];
        fault.lr = frame[FRAME_LR];
        fault.sp += 4u * (words + ((frame[FRAME_XPSR] & XPSR_REALIGNED) != 0 ? 1u : 0u));
    }
    record.fault = fault;
    record.magic = FAULT_MAGIC;
    platform_reset();
}

/* Takes the frame's address, then starts the stack anew: the old one may be the cause. */
__attribute__((naked)) void fault_handler(void)
{
    __asm__ volatile("mrs r0, msp\n\t"
                     "mov r1, lr\n\t"
                     "movw r2, #:lower16:linker_stack_top\n\t"
                     "movt r2, #:upper16:linker_stack_top\n\t"
                     "msr msp, r2\n\t"
                     "b fault_report");
}

/* The end of the stack, which is the start of RAM: the pages below it, where some boards answer, are
 * put out of bounds. Armv8-M has a register for this instead, set by reset_handler. */
#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
static void guard_stack(void)
{
}
#else
enum { GUARD_LOG2_BYTES = 12 };

static void guard_stack(void)
{
    if ((MPU_TYPE & MPU_TYPE_DREGION) != 0) {
        const uint32_t end = (uint32_t)(uintptr_t)linker_stack_bottom;
        MPU_RBAR = (end - (1u << GUARD_LOG2_BYTES)) | MPU_RBAR_VALID;
        MPU_RASR = MPU_RASR_SIZE(GUARD_LOG2_BYTES) | MPU_RASR_ENABLE;
        MPU_CTRL = MPU_CTRL_PRIVDEFENA | MPU_CTRL_ENABLE;
        __asm__ volatile("dsb\n\tisb" ::: "memory");
    }
}
#endif

void fault_init(void)
{
    guard_stack();
    SCB_SHCSR |= SCB_SHCSR_FAULTS;
#ifdef NANO_TRAP_UNALIGNED
    SCB_CCR |= SCB_CCR_DIV_0_TRP | SCB_CCR_UNALIGN_TRP;
#else
    SCB_CCR = (SCB_CCR | SCB_CCR_DIV_0_TRP) & ~SCB_CCR_UNALIGN_TRP;
#endif
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
