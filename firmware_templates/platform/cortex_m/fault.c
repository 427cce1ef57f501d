/* Faults: what happened is kept in a record that outlives the reset, then the board resets.
 *
 * The handler serves the watchdog (NMI, or an interrupt), HardFault and the faults that escalate to it
 * while interrupts are masked: all push the same frame. */
#include <string.h>

#include "arena_guards.h"
#include "assembly.h"
#include "board.h"
#include "callers.h"
#include "fault_record.h"
#include "fault_status.h"
#include "interrupts.h"
#include "linker_symbols.h"
#include "platform.h"
#include "registers.h"

/* Of the handler's assembly, and not static for its sake. */
uint32_t fault_r4_to_r11[8];
uint32_t fault_in_handler; /* not 0: the handler has been entered since boot */

/* The words that the core pushes on exception entry, DDI 0403E, B1.5.6. */
enum { FRAME_R0 = 0, FRAME_R12 = 4, FRAME_LR = 5, FRAME_PC = 6, FRAME_XPSR = 7 };
enum { FRAME_WORDS = 8, FRAME_WORDS_FP = 26 };
#define XPSR_REALIGNED (1u << 9)
#define XPSR_THUMB (1u << 24)
#define EXC_RETURN_NO_FP (1u << 4)
#define EXC_RETURN_PROCESS_STACK (1u << 2)
#ifdef BOARD_WATCHDOG_IRQ
#define EXCEPTION_WATCHDOG (16u + BOARD_WATCHDOG_IRQ)
#else
#define EXCEPTION_WATCHDOG 2u /* NMI */
#endif

/* Where the registers of this core are in the record; PROTOCOL.md, TAKE_FAULT. */
enum { AT_R0 = 0, AT_R4 = 4, AT_R12 = 12, AT_XPSR = 13, AT_EXC_RETURN = 14, AT_HFSR = 15 };

void fault_report(const uint32_t *frame, uint32_t exc_return);

static bool is_on_stack(uintptr_t address, uint32_t bytes)
{
    return address % sizeof(uint32_t) == 0 && address >= (uintptr_t)linker_stack_bottom &&
           address <= (uintptr_t)linker_stack_top && bytes <= (uintptr_t)linker_stack_top - address;
}

static bool is_code(uint32_t pc, uint32_t xpsr)
{
    return (xpsr & XPSR_THUMB) != 0 && pc >= (uintptr_t)linker_image_start &&
           pc < (uintptr_t)linker_image_end;
}

/* A guess is worse than 0: the frame is read only where it lies inside the stack. On Armv8-M an entry
 * that would cross the stack limit pushes nothing and sets the stack pointer to the limit (DDI 0553):
 * what lies there is a frame only by accident, or where it just fitted. */
static bool frame_was_saved(const uint32_t *frame, uint32_t status)
{
    if (!is_on_stack((uintptr_t)frame, FRAME_WORDS * sizeof(uint32_t))) {
        return false;
    }
    const bool at_limit = frame == linker_stack_bottom && (status & SCB_CFSR_STKOF) != 0;
    return !at_limit || is_code(frame[FRAME_PC], frame[FRAME_XPSR]);
}

static enum platform_fault_reason reason_of(const struct platform_fault *fault,
                                            const uint32_t *frame, uint32_t exc_return)
{
    if (fault->cause == EXCEPTION_WATCHDOG && watchdog_expired()) {
        return PLATFORM_WATCHDOG;
    }
    const bool frame_below =
        (exc_return & EXC_RETURN_PROCESS_STACK) == 0 && frame < linker_stack_bottom;
    const bool refused = fault_is_of_mpu(fault);
    if ((fault->status & SCB_CFSR_STKOF) != 0 || frame_below ||
        (refused && guard_is_below_stack(fault->address))) {
        return PLATFORM_STACK_OVERFLOW;
    }
    return refused && guard_is_of_arena(fault->address) ? PLATFORM_ARENA_OVERRUN : PLATFORM_FAULT;
}

static void keep_frame(struct platform_fault *fault, const uint32_t *frame, uint32_t exc_return)
{
    const uint32_t words = (exc_return & EXC_RETURN_NO_FP) != 0 ? FRAME_WORDS : FRAME_WORDS_FP;
    fault->sp += 4u * words;
    if (!frame_was_saved(frame, fault->status)) {
        return;
    }
    fault->pc = frame[FRAME_PC];
    fault->lr = frame[FRAME_LR];
    fault->sp += (frame[FRAME_XPSR] & XPSR_REALIGNED) != 0 ? 4u : 0u;
    memcpy(&fault->registers[AT_R0], &frame[FRAME_R0], 4 * sizeof(uint32_t));
    fault->registers[AT_R12] = frame[FRAME_R12];
    fault->registers[AT_XPSR] = frame[FRAME_XPSR];
}

/* In order of what is certain: the record counts as soon as it says what and where. */
__attribute__((used)) void fault_report(const uint32_t *frame, uint32_t exc_return)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    SCB_FPCCR &= ~SCB_FPCCR_LSPACT; /* else the first use of the FPU here writes to that frame */
#endif
    struct platform_fault *const fault = fault_record_begin();
    __asm__ volatile("mrs %0, ipsr" : "=r"(fault->cause));
    fault->step = platform_step;
    fault->status = fault_status();
    fault->sp = (uint32_t)(uintptr_t)frame;
    fault->registers[AT_HFSR] = fault_hard_status();
    fault->registers[AT_EXC_RETURN] = exc_return;
    memcpy(&fault->registers[AT_R4], fault_r4_to_r11, sizeof fault_r4_to_r11);
    keep_frame(fault, frame, exc_return);
    fault->address = fault_address(fault);
    fault->reason = reason_of(fault, frame, exc_return);
    fault_record_counts();
    find_callers(fault->sp, fault->callers, PLATFORM_FAULT_CALLERS);
    platform_reset();
}

/* Takes the frame's address and goes on below it, or on a new stack where the old one has no room: its
 * overflow may be the cause. A fault in here, or the watchdog, comes this way again, and finds that all
 * there is to do is the reset; at the priority of a HardFault the core locks up instead (DDI 0403E,
 * B1.5.15), until the watchdog's NMI or reset. */
__attribute__((naked)) void fault_handler(void)
{
    __asm__ volatile(ASSEMBLY_UNIFIED "ldr r2, =fault_in_handler\n\t"
                                      "ldr r3, [r2]\n\t"
                                      "cmp r3, #0\n\t"
                                      "bne 4f\n\t"
                                      "movs r3, #1\n\t"
                                      "str r3, [r2]\n\t"
                                      "mov r1, lr\n\t"
                                      "mrs r0, msp\n\t"
                                      "lsls r2, r1, #29\n\t" /* EXC_RETURN_PROCESS_STACK */
                                      "bpl 1f\n\t"
                                      "mrs r0, psp\n"
                                      "1: ldr r2, =fault_r4_to_r11\n\t"
                                      "stmia r2!, {r4-r7}\n\t"
                                      "mov r4, r8\n\t"
                                      "mov r5, r9\n\t"
                                      "mov r6, r10\n\t"
                                      "mov r7, r11\n\t"
                                      "stmia r2!, {r4-r7}\n\t"
                                      "ldr r2, =linker_stack_bottom + 512\n\t" /* > used here */
                                      "ldr r3, =linker_stack_top\n\t"
                                      "mrs r4, msp\n\t"
                                      "cmp r4, r2\n\t"
                                      "blo 2f\n\t"
                                      "cmp r4, r3\n\t"
                                      "bls 3f\n"
                                      "2: msr msp, r3\n"
                                      "3: bl fault_report\n" /* which does not return */
                                      "4: ldr r3, =linker_stack_top\n\t"
                                      "msr msp, r3\n\t"
                                      "bl platform_reset\n\t"
                                      ".ltorg");
}

void fault_init(void)
{
    guard_stack();
    fault_traps_init();
}
