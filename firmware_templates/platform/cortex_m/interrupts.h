/* Handlers that the vector table names, and masking of interrupts. */
#ifndef NANO_CORTEX_M_INTERRUPTS_H
#define NANO_CORTEX_M_INTERRUPTS_H

#include <stdbool.h>
#include <stdint.h>

_Noreturn void reset_handler(void);
void fault_handler(void);
void ticks_interrupt(void); /* SysTick wrapped */
void uart_interrupt(void);
void timer_interrupt(void); /* where the board has a timer */

void ticks_init(void);
void uart_init(void);
void fault_init(void);
extern uint32_t fault_in_handler;

/* guard.c: what the memory protection unit keeps out of bounds. */
void guard_stack(void);
bool guard_is_below_stack(uint32_t address);

/* Whether the watchdog is why the handler of the NMI, or of its interrupt, runs. */
bool watchdog_expired(void);

/* What a chip wants first, before .data and .bss are there. With a boot loader that expects the chip as it
 * is after reset: goes there, if the last boot asked for it. */
void chip_at_reset(void);

/* hold.c: all interrupts wait, but that of a watchdog. Ranked once, before any is enabled. */
void interrupts_rank(void);
void interrupts_hold(void);
void interrupts_release(void);

static inline void interrupts_mask(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
}
static inline void interrupts_unmask(void)
{
    __asm__ volatile("cpsie i\n\tisb" ::: "memory");
}

#endif
