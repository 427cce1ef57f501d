#include "line.h"

#include "clock.h"
#include "registers.h"

static uint32_t elapsed_ms;

void line_open(void)
{
    clock_init();
    timer_open();
    uart_open();
}

uint32_t line_ms(void)
{
    return elapsed_ms;
}

/* What is pending is forgotten first and looked for afterwards, so that whatever comes in between ends
 * the sleep at once. Interrupts are masked throughout: they wake the core, and that is all
 * (DDI 0403E, B1.5.19). */
bool line_take(uint8_t *byte, uint32_t ms)
{
    const uint32_t start = elapsed_ms;
    for (;;) {
        SCB_ICSR = SCB_ICSR_PENDSTCLR;
        NVIC_ICPR(0u) = 0xFFFFFFFFu;
        if (uart_take(byte)) {
            return true;
        }
        elapsed_ms += timer_ticked() ? 1u : 0u;
        if (elapsed_ms - start > ms) { /* the first one is shorter */
            return false;
        }
        __asm__ volatile("dsb\n\twfi" ::: "memory");
    }
}

void line_send(uint8_t byte)
{
    uart_send(byte);
}

bool line_is_quiet(uint32_t ms)
{
    uint8_t byte;
    return !line_take(&byte, ms);
}
