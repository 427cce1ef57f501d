/* Handlers that the vector table names, and masking of interrupts. */
#ifndef NANO_CORTEX_M_INTERRUPTS_H
#define NANO_CORTEX_M_INTERRUPTS_H

_Noreturn void reset_handler(void);
void fault_handler(void);
void ticks_interrupt(void); /* SysTick wrapped */
void uart_interrupt(void);

void ticks_init(void);
void uart_init(void);
void fault_init(void);

static inline void interrupts_mask(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
}
static inline void interrupts_unmask(void)
{
    __asm__ volatile("cpsie i\n\tisb" ::: "memory");
}

#endif
