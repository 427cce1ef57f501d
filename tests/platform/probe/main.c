/* The probe: a program that does with the platform what a test asks for over the serial port.
 *
 * A request is a letter and a 32 bit argument, little endian; the replies are stated per letter. */
#include <string.h>

#include "platform.h"

/* Sent once per boot: what the host sends before it may be lost in the reset. */
#define GREETING 0xB007C0DEu

static void receive(uint8_t *data, size_t size)
{
    while (size > 0) {
        const size_t taken = platform_serial_read(data, size);
        data += taken;
        size -= taken;
        if (size > 0) {
            platform_idle();
        }
    }
}

static void send_u32(uint32_t value)
{
    uint8_t bytes[4];
    for (unsigned i = 0; i < 4; ++i) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    platform_serial_write(bytes, sizeof bytes);
}

/* 'E': the next `size` bytes come back. */
static void echo(uint32_t size)
{
    static uint8_t buffer[256];
    while (size > 0) {
        const size_t taken =
            platform_serial_read(buffer, size < sizeof buffer ? size : sizeof buffer);
        platform_serial_write(buffer, taken);
        size -= (uint32_t)taken;
        if (taken == 0) {
            platform_idle();
        }
    }
}

/* 'R': takes `size` bytes; their sum, each weighted by its position. */
static void sink(uint32_t size)
{
    uint32_t sum = 0;
    for (uint32_t i = 1; i <= size; ++i) {
        uint8_t byte;
        receive(&byte, 1);
        sum += i * byte;
    }
    send_u32(sum);
}

/* 'W': `size` bytes, the squares of their positions modulo 251. */
static void source(uint32_t size)
{
    for (uint32_t i = 0; i < size; ++i) {
        const uint8_t byte = (uint8_t)(i * i % 251u);
        platform_serial_write(&byte, 1);
    }
}

/* 'T': ticks before and after a spin of `instructions`, 64 bit each. */
static void spin(uint32_t instructions)
{
    const uint64_t before = platform_ticks();
    const bool exact = platform_spin(instructions);
    const uint64_t after = platform_ticks();
    send_u32((uint32_t)before);
    send_u32((uint32_t)(before >> 32));
    send_u32((uint32_t)after);
    send_u32((uint32_t)(after >> 32));
    send_u32(exact);
}

/* 'M': reads the ticks `count` times; how often they went backwards. */
static void watch_ticks(uint32_t count)
{
    uint32_t backwards = 0;
    uint64_t last = 0;
    for (uint32_t i = 0; i < count; ++i) {
        const uint64_t now = platform_ticks();
        backwards += now < last;
        last = now;
    }
    send_u32(backwards);
}

/* Touches the stack `bytes` below that of the caller, at that one word. */
#if defined(__arm__)
__attribute__((naked, noinline)) static void use_stack(__attribute__((unused)) uint32_t bytes)
{
    __asm__ volatile(".syntax unified\n\t"
                     "mov r1, sp\n\t"
                     "subs r2, r1, r0\n\t"
                     "mov sp, r2\n\t"
                     "str r0, [r2]\n\t"
                     "mov sp, r1\n\t"
                     "bx lr");
}
#else
__attribute__((naked, noinline)) static void use_stack(__attribute__((unused)) uint32_t bytes)
{
    __asm__ volatile("sub sp, sp, a0\n\tsw a0, 0(sp)\n\tadd sp, sp, a0\n\tret");
}
#endif

/* 'S': the stack used by a function that uses `bytes`; 0 for none. */
static void stack(uint32_t bytes)
{
    platform_stack_paint();
    if (bytes > 0) {
        use_stack(bytes);
    }
    send_u32(platform_stack_used());
}

static uint32_t recurse(volatile uint32_t *depth)
{
    volatile uint32_t local[16];
    local[0] = *depth + 1;
    return local[0] == 0 ? 0 : recurse(&local[0]) + local[0]; /* deeper than any stack */
}

/* 'F': a fault of that kind. */
enum { FAULT_JUMP, FAULT_LOAD, FAULT_OVERFLOW, FAULT_DIVISION, FAULT_MASKED_LOAD, FAULT_ILLEGAL };
static volatile uint32_t zero;

static void fault(uint32_t kind)
{
    static volatile uint32_t *volatile nowhere = (volatile uint32_t *)0xE8000000u;
    if (kind == FAULT_JUMP) {
        ((void (*)(void))(uintptr_t)0xE8000001u)();
    } else if (kind == FAULT_LOAD) {
        zero = *nowhere;
    } else if (kind == FAULT_OVERFLOW) {
        zero = recurse(&zero);
    } else if (kind == FAULT_DIVISION) {
        zero = 1000u / zero;
    } else if (kind == FAULT_MASKED_LOAD) {
        platform_stack_paint(); /* which may mask interrupts, and faults with them */
        zero = *nowhere;
    } else if (kind == FAULT_ILLEGAL) {
#if defined(__arm__)
        __asm__ volatile("udf #0");
#else
        __asm__ volatile(".word 0x803FF003"); /* as a number, an address just below the stack */
#endif
    }
}

/* 'Q': whether there was a fault, then its seven words. */
static void take_fault(void)
{
    static const struct platform_fault none;
    const struct platform_fault *const last = platform_last_fault();
    const struct platform_fault *const report = last != NULL ? last : &none;
    send_u32(last != NULL);
    send_u32(report->reason);
    send_u32(report->cause);
    send_u32(report->status);
    send_u32(report->address);
    send_u32(report->pc);
    send_u32(report->lr);
    send_u32(report->sp);
    platform_forget_fault();
}

/* 'U': reads a word at an odd address; the word. */
static void load_unaligned(void)
{
    static const uint8_t bytes[8] __attribute__((aligned(4))) = {0, 1, 2, 3, 4, 5, 6, 7};
    const uint8_t *volatile at = bytes + 1;
    uint32_t word;
#if defined(__arm__)
    __asm__ volatile("ldr %0, [%1]" : "=r"(word) : "r"(at) : "memory");
#else
    memcpy(&word, at, sizeof word);
#endif
    send_u32(word);
}

static float half = 0.5f; /* in .data, and on cores with an FPU in one of its registers */

int main(void)
{
    platform_init();
    send_u32(GREETING);
    for (;;) {
        uint8_t request[5];
        receive(request, sizeof request);
        const uint32_t argument = (uint32_t)request[1] | (uint32_t)request[2] << 8 |
                                  (uint32_t)request[3] << 16 | (uint32_t)request[4] << 24;
        switch (request[0]) {
        case 'E':
            echo(argument);
            break;
        case 'R':
            sink(argument);
            break;
        case 'W':
            source(argument);
            break;
        case 'T':
            spin(argument);
            break;
        case 'M':
            watch_ticks(argument);
            break;
        case 'S':
            stack(argument);
            break;
        case 'F':
            fault(argument);
            break;
        case 'Q':
            take_fault();
            break;
        case 'U':
            load_unaligned();
            break;
        case 'H':
            send_u32(platform_ticks_hz());
            break;
        case 'I':
            send_u32(platform_image_bytes());
            break;
        case 'N':
            send_u32(platform_boot_nonce());
            break;
        case 'P':
            send_u32((uint32_t)(half * (float)argument));
            break;
        case 'X':
            platform_reset();
        default:
            send_u32(0xFFFFFFFFu);
            break;
        }
    }
}
