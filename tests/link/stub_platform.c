/* A platform without hardware: bytes go in and come out through memory, and every number is fixed,
 * so that a whole conversation can be compared byte for byte. */
#include <setjmp.h>
#include <string.h>

#include "link.h"
#include "model_description.h"
#include "platform.h"

#ifndef STUB_WINDOW_BYTES
#define STUB_WINDOW_BYTES 512
#endif

enum { OUTPUT_BYTES = 1 << 20 };

static const uint8_t *input;
static size_t input_left;
static uint8_t output[OUTPUT_BYTES];
static size_t output_bytes;
static uint64_t ticks;
static bool fault_waits;
static uint32_t nonce;
static uint32_t loader_entries;
static jmp_buf after_reset;

size_t platform_serial_read(uint8_t *data, size_t capacity)
{
    const size_t count = input_left < capacity ? input_left : capacity;
    memcpy(data, input, count);
    input += count;
    input_left -= count;
    return count;
}

uint32_t platform_serial_window(void)
{
    return STUB_WINDOW_BYTES;
}

void platform_serial_write(const uint8_t *data, size_t size)
{
    if (size <= OUTPUT_BYTES - output_bytes) {
        memcpy(output + output_bytes, data, size);
        output_bytes += size;
    }
}

uint64_t platform_ticks(void)
{
    return ticks += 10;
}
uint32_t platform_ticks_hz(void)
{
    return 25000000;
}
void platform_stack_paint(void)
{
}
uint32_t platform_stack_used(void)
{
    return 684;
}
void platform_watchdog_start(uint32_t milliseconds)
{
    (void)milliseconds;
}
void platform_watchdog_stop(void)
{
}
uint32_t platform_image_bytes(void)
{
    return 20000;
}
bool platform_image(const uint8_t **start)
{
    (void)start;
    return false;
}
size_t platform_elf_build_id(const uint8_t **id)
{
    static const uint8_t bytes[20] = {0xE1, 0xF0};
    *id = bytes;
    return sizeof bytes;
}
size_t platform_chip_id(uint8_t *id, size_t capacity)
{
    memcpy(id, "\x07\xC5", capacity < 2 ? capacity : 2);
    return 2;
}
uint32_t platform_boot_nonce(void)
{
    return nonce;
}

/* Its one interrupt comes when it starts. */
uint32_t platform_timer_longest_us(void)
{
    return 1000000;
}
void platform_timer_start(uint32_t period_us, void (*handler)(void))
{
    (void)period_us;
    handler();
}
void platform_timer_stop(void)
{
}

bool platform_spin(uint32_t instructions)
{
    ticks += instructions;
    return instructions != 0;
}

volatile uint32_t platform_step;

const struct platform_fault *platform_last_fault(void)
{
    static struct platform_fault fault = {
        .reason = PLATFORM_ARENA_OVERRUN,
        .step = 2,
        .cause = 3,
        .status = 0x8200,
        .address = 0x2000FFF0,
        .pc = 0x1234,
        .lr = 0x5678,
        .sp = 0x20001000,
    };
    for (uint32_t i = 0; i < PLATFORM_FAULT_REGISTERS; i++) {
        fault.registers[i] = 0x11111111u * i;
    }
    for (uint32_t i = 0; i < PLATFORM_FAULT_CALLERS; i++) {
        fault.callers[i] = 0xA0000000u + i;
    }
    return fault_waits ? &fault : NULL;
}
void platform_forget_fault(void)
{
    fault_waits = false;
}

void platform_guard(const void *start, uint32_t bytes)
{
    (void)start;
    (void)bytes;
}
void platform_guards_enforce(bool on)
{
    (void)on;
}

bool platform_reset_to_loader(void)
{
    loader_entries++;
    return false;
}

/* How often it was to reset into its boot loader. */
uint32_t stub_loader_entries(void)
{
    return loader_entries;
}

void platform_reset(void)
{
    longjmp(after_reset, 1);
}

/* Boots the device with `boot_nonce`; a fault waits to be taken. */
void stub_boot(uint32_t boot_nonce)
{
    nonce = boot_nonce;
    ticks = 0;
    fault_waits = true;
    nano_link_start();
    nano_model.init();
}

/* Gives the device received bytes. Returns true where it reset itself, and booted again. */
bool stub_receive(const uint8_t *data, size_t size)
{
    input = data;
    input_left = size;
    if (setjmp(after_reset) != 0) {
        input_left = 0;
        stub_boot(nonce + 1);
        return true;
    }
    nano_link_poll();
    return false;
}

/* Takes up to `capacity` bytes that the device has sent. */
size_t stub_sent(uint8_t *data, size_t capacity)
{
    const size_t count = output_bytes < capacity ? output_bytes : capacity;
    memcpy(data, output, count);
    memmove(output, output + count, output_bytes - count);
    output_bytes -= count;
    return count;
}
