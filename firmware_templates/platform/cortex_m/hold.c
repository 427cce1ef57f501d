/* Holding back all interrupts but that of a watchdog, which must be able to end a run that hangs. */
#include "board.h"
#include "interrupts.h"
#include "registers.h"

#if !defined(BOARD_WATCHDOG_IRQ)

/* A watchdog that is an NMI, or none: PRIMASK holds all others. */
void interrupts_rank(void)
{
}

void interrupts_hold(void)
{
    interrupts_mask();
}

void interrupts_release(void)
{
    interrupts_unmask();
}

#elif defined(__ARM_ARCH_6M__)

/* Armv6-M has no BASEPRI: the others are disabled, and wait in the NVIC. SysTick is none of them: where
 * it counts, its wrap may preempt. */
static uint32_t held;

void interrupts_rank(void)
{
}

void interrupts_hold(void)
{
    held = NVIC_ISER(0) & ~(1u << BOARD_WATCHDOG_IRQ);
    NVIC_ICER(0) = held;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

void interrupts_release(void)
{
    NVIC_ISER(0) = held;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

#else

/* BASEPRI holds what ranks with its number or a higher one (DDI 0403E, B1.4.3). The watchdog keeps 0,
 * the highest rank, as the faults do. Every core has the upper two bits of the eight. */
enum { RANK_OF_OTHERS = 0x80 };

void interrupts_rank(void)
{
    for (uint32_t irq = 0; irq < BOARD_IRQ_COUNT; irq++) {
        NVIC_IPR(irq) = irq == BOARD_WATCHDOG_IRQ ? 0 : RANK_OF_OTHERS;
    }
    SCB_SHPR3 = (uint32_t)RANK_OF_OTHERS << SCB_SHPR3_SYSTICK_SHIFT;
}

void interrupts_hold(void)
{
    __asm__ volatile("msr basepri, %0\n\tisb" ::"r"(RANK_OF_OTHERS) : "memory");
}

void interrupts_release(void)
{
    __asm__ volatile("msr basepri, %0\n\tisb" ::"r"(0) : "memory");
}

#endif
