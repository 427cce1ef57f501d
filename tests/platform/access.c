/* Asks platform/access.c for the addresses of instructions that never run, and sends what it says. */
#include "access.h"
#include "platform.h"

/* Armv6-M, A5.2: each names other registers, so that no field can be taken for another. */
__attribute__((naked, used)) static void instructions(void)
{
    __asm__ volatile(".syntax unified\n\t"
                     "str r1, [r2, r3]\n\t"
                     "ldrsb r7, [r6, r5]\n\t"
                     "ldrh r0, [r4, r1]\n\t"
                     "str r3, [r5, #124]\n\t"
                     "ldr r6, [r7, #4]\n\t"
                     "strb r0, [r1, #31]\n\t"
                     "ldrb r2, [r3, #1]\n\t"
                     "strh r4, [r0, #62]\n\t"
                     "ldrh r5, [r2, #2]\n\t"
                     "str r7, [sp, #1020]\n\t"
                     "ldr r1, [sp, #8]\n\t"
                     "stmia r6!, {r0, r3}\n\t"
                     "ldmia r4!, {r1, r5}\n\t"
                     "push {r0, r7, lr}\n\t"
                     "pop {r2, pc}\n\t"
                     "adds r0, r1, r2\n\t"
                     "add sp, #8\n\t"
                     "bx lr");
}

static void send_u32(uint32_t value)
{
    uint8_t bytes[4];
    for (unsigned i = 0; i < 4; ++i) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    platform_serial_write(bytes, sizeof bytes);
}

int main(void)
{
    enum { COUNT = 18 };
    const uint32_t low[8] = {0x1000, 0x2100, 0x4200, 0x8300, 0x10400, 0x20500, 0x40600, 0x80700};
    const uint32_t start = (uint32_t)(uintptr_t)instructions & ~1u;
    platform_init();
    for (uint32_t i = 0; i < COUNT; i++) {
        send_u32(accessed_address(start + 2 * i, low, 0x20000400u));
    }
    send_u32(accessed_address(0xE8000000u, low, 0x20000400u)); /* nothing can be read there */
    for (;;) {
        platform_idle();
    }
}
