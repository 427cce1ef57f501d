/* A platform without hardware: bytes go in and come out through memory, and every number is fixed,
 * so that a whole conversation can be compared byte for byte. */
#include <setjmp.h>
#include <string.h>

#include "link.h"
#include "model_description.h"
#include "platform.h"

enum { OUTPUT_BYTES = 1 << 20 };

static const uint8_t *input;
static size_t input_left;
static uint8_t output[OUTPUT_BYTES];
static size_t output_bytes;
static uint64_t ticks;
static bool fault_waits;
static uint32_t nonce;
static jmp_buf after_reset;

size_t platform_serial_read(uint8_t *data, size_t capacity)
{
    const size_t count = input_left < capacity ? input_left : capacity;
    memcpy(data, input, count);
    input += count;
    input_left -= count;
    return count;
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
uint32_t platform_image_bytes(void)
{
    return 20000;
}
bool platform_image(const uint8_t **start)
{
    (void)start;
    return false;
}
uint32_t platform_boot_nonce(void)
{
    return nonce;
}

bool platform_spin(uint32_t instructions)
{
    ticks += instructions;
    return instructions != 0;
}

bool platform_take_fault(struct platform_fault *fault)
{
    const bool there = fault_waits;
    *fault = (struct platform_fault){3, 0x8200, 0x2000FFF0, 0x1234, 0x5678, 0x20001000};
    fault_waits = false;
    return there;
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
