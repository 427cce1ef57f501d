/* The functions behind the trap vector, and masking of interrupts. */
#ifndef NANO_RISCV_INTERRUPTS_H
#define NANO_RISCV_INTERRUPTS_H

#include <stdint.h>

/* Registers of the interrupted code, as trap_handler stores them. */
struct trap_frame {
    uint32_t ra, t[7], a[8];
};

void reset_handler(void);
void trap_handler(void);
void trap_dispatch(const struct trap_frame *frame);
_Noreturn void fault_report(const struct trap_frame *frame, uint32_t cause);
void uart_interrupt(void);

void fault_init(void);
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
