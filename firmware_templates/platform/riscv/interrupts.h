/* The functions behind the trap vector, and masking of interrupts. */
#ifndef NANO_RISCV_INTERRUPTS_H
#define NANO_RISCV_INTERRUPTS_H

#include <stdbool.h>
#include <stdint.h>

/* Registers of the interrupted code, as trap_handler stores them. */
struct trap_frame {
    uint32_t ra, sp;
    uint32_t registers[16]; /* gp, t0 to t6, a0 to a7 */
};

void reset_handler(void);
void trap_table(void);
void trap_handler(void);
void trap_dispatch(const struct trap_frame *frame);
_Noreturn void fault_report(const struct trap_frame *frame, uint32_t cause);
void uart_interrupt(void);
bool timer_interrupt(void); /* false: the timer is not why it was called */

void fault_init(void);

/* guard.c: what physical memory protection keeps out of bounds. */
void guard_stack(void);
bool guard_is_below_stack(uint32_t address);

/* The driver of the interrupt controller. All of it is off after controller_init; a cause that is not
 * that of an enabled device is no interrupt of it. */
void controller_init(void);
void controller_enable(uint32_t irq);
bool controller_dispatch(uint32_t cause);

/* The driver of the chip: what a boot ROM left running, and its reset, which may take a moment. */
void chip_init(void);
void chip_reset(void);

void ticks_init(void);
void uart_init(void);

static inline void interrupts_mask(void)
{
    __asm__ volatile("csrci mstatus, 8" ::: "memory");
}
static inline void interrupts_unmask(void)
{
    __asm__ volatile("csrsi mstatus, 8" ::: "memory");
}

#endif
