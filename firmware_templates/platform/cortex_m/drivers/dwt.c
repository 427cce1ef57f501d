/* Time: clocks of the core, counted by the DWT (DDI 0403E, C1.8) in 32 bits and extended to 64.
 *
 * SysTick looks at the counter often enough to miss no wrap. Interrupts may be masked for as long as the
 * counter takes to go round once: 25 s at 168 MHz, 8.9 s at 480 MHz.
 *
 * An emulator may have no DWT (QEMU). There SysTick counts the reference clock, an eighth of the core's
 * unless the board says that there is none: the longest that its 24 bits can be had for. */
#include "board.h"
#include "clock.h"
#include "interrupts.h"
#include "platform.h"
#include "systick_counter.h"

#define DEMCR REGISTER(0xE000EDFCu)
#define DEMCR_TRCENA (1u << 24)
#define DWT_CTRL REGISTER(0xE0001000u)
#define DWT_CTRL_CYCCNTENA (1u << 0)
#define DWT_CYCCNT REGISTER(0xE0001004u)
/* Cortex-M7: writes are locked out until then. Other cores ignore it. */
#define DWT_LAR REGISTER(0xE0001FB0u)
#define DWT_LAR_UNLOCK 0xC5ACCE55u

#ifndef BOARD_TICKS_SYSTICK_DIVIDER
#define BOARD_TICKS_SYSTICK_DIVIDER 8u
#endif

static bool dwt_counts;
static uint32_t last, wraps;

void ticks_init(void)
{
    DEMCR |= DEMCR_TRCENA;
    DWT_LAR = DWT_LAR_UNLOCK;
    DWT_CYCCNT = 0;
    DWT_CTRL |= DWT_CTRL_CYCCNTENA;
    dwt_counts = (DWT_CTRL & DWT_CTRL_CYCCNTENA) != 0;
    systick_start(dwt_counts || BOARD_TICKS_SYSTICK_DIVIDER == 1u ? SYST_CSR_CLKSOURCE : 0);
}

static uint64_t dwt_count(void)
{
    uint32_t masked;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(masked)::"memory");
    const uint32_t now = DWT_CYCCNT;
    wraps += now < last;
    last = now;
    const uint64_t count = (uint64_t)wraps << 32 | now;
    __asm__ volatile("msr primask, %0" ::"r"(masked) : "memory");
    return count;
}

void ticks_interrupt(void)
{
    systick_wraps += 1;
    if (dwt_counts) {
        (void)dwt_count();
    }
}

uint64_t platform_ticks(void)
{
    return dwt_counts ? dwt_count() : systick_count();
}

uint32_t platform_ticks_hz(void)
{
    return dwt_counts ? clock_core_hz() : clock_core_hz() / BOARD_TICKS_SYSTICK_DIVIDER;
}
