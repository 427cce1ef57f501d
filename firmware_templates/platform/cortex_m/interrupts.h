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

/* callers.c: up to `capacity` return addresses on the stack from `sp` upwards. */
void find_callers(uint32_t sp, uint32_t *callers, uint32_t capacity);

/* guard.c: what the memory protection unit keeps out of bounds. */
void guard_stack(void);
bool guard_is_below_stack(uint32_t address);
bool guard_is_of_arena(uint32_t address);

/* Whether the watchdog is why the handler of the NMI runs. */
bool watchdog_expired(void);

static inline void interrupts_mask(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
}
static inline void interrupts_unmask(void)
{
    __asm__ volatile("cpsie i\n\tisb" ::: "memory");
}

#endif
