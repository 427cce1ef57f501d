/* The loader's protocol and its idea of an application on this computer, over NOR flash in an array.
 *
 * The flash ends the program where the loader erases or writes what is not the application's, or what
 * no flash could do. As a library it serves tests; as a program it serves the streams of its standard
 * input, each a size (four bytes, little-endian) and its bytes, and writes the flash to standard output. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "application.h"
#include "flash.h"
#include "layout.h"
#include "line.h"
#include "loader.h"
#include "protocol.h"

enum { OUTPUT_BYTES = 1 << 20 };

static uint8_t memory[FLASH_BYTES];
static const uint8_t *input;
static size_t input_left;
static uint8_t output[OUTPUT_BYTES];
static size_t output_bytes;
static uint32_t writes, erases, starts, last_write;
static jmp_buf started;

static void require(int condition, const char *what, uint32_t address)
{
    if (!condition) {
        fprintf(stderr, "%s at 0x%08X\n", what, address);
        abort();
    }
}

const uint8_t *flash_at(uint32_t address)
{
    require(address - FLASH_ORIGIN < FLASH_BYTES, "read outside of the flash", address);
    return memory + (address - FLASH_ORIGIN);
}

bool flash_erase_page(uint32_t address)
{
    require(address >= APPLICATION_ORIGIN && address < FLASH_END, "erase", address);
    require(address % FLASH_PAGE_BYTES == 0, "erase of no page", address);
    memset(memory + (address - FLASH_ORIGIN), 0xFF, FLASH_PAGE_BYTES);
    erases++;
    return true;
}

bool flash_write_word(uint32_t address, uint32_t word)
{
    require(address >= APPLICATION_ORIGIN && address < FLASH_END, "write", address);
    require(address % 4u == 0, "write of no word", address);
    uint8_t *const bytes = memory + (address - FLASH_ORIGIN);
    bool as_wanted = true;
    for (uint32_t i = 0; i < 4; i++) {
        const uint8_t wanted = (uint8_t)(word >> 8 * i);
        bytes[i] &= wanted;
        as_wanted = as_wanted && bytes[i] == wanted;
    }
    writes++;
    last_write = address;
    return as_wanted;
}

bool line_take(uint8_t *byte, uint32_t ms)
{
    (void)ms;
    if (input_left == 0) {
        return false;
    }
    input_left--;
    *byte = *input++;
    return true;
}

bool line_is_quiet(uint32_t ms)
{
    uint8_t byte;
    return !line_take(&byte, ms);
}

/* Time passes where nothing comes. */
uint32_t line_ms(void)
{
    static uint32_t now;
    return now += 10;
}

void line_send(uint8_t byte)
{
    if (output_bytes < OUTPUT_BYTES) {
        output[output_bytes++] = byte;
    }
}

_Noreturn void loader_start_application(void)
{
    require(application_is_valid(), "start of a broken application", APPLICATION_ORIGIN);
    longjmp(started, 1);
}

/* Serves a stream of bytes that silence ends. Returns whether the application was started. */
bool host_serve(const uint8_t *bytes, size_t size)
{
    input = bytes;
    input_left = size;
    output_bytes = 0;
    if (setjmp(started) != 0) {
        starts++;
        return true;
    }
    while (input_left != 0) {
        (void)protocol_serve(1000);
    }
    return false;
}

bool host_is_called(const uint8_t *bytes, size_t size)
{
    input = bytes;
    input_left = size;
    output_bytes = 0;
    return protocol_is_called(ENTRY_WINDOW_MS);
}

size_t host_output(uint8_t *bytes, size_t capacity)
{
    const size_t count = output_bytes < capacity ? output_bytes : capacity;
    memcpy(bytes, output, count);
    return count;
}

bool host_is_valid(void)
{
    return application_is_valid();
}

uint8_t *host_flash(void)
{
    return memory;
}

uint32_t host_last_write(void)
{
    return last_write;
}

int main(void)
{
    static uint8_t stream[1 << 16];
    uint8_t size[4];
    memset(memory, 0xA5, sizeof memory); /* no page is erased, and none of it is a program */
    while (fread(size, sizeof size, 1, stdin) == 1) {
        const size_t bytes = (size_t)size[0] | (size_t)size[1] << 8 | (size_t)size[2] << 16;
        require(bytes <= sizeof stream, "stream too long", (uint32_t)bytes);
        require(fread(stream, 1, bytes, stdin) == bytes, "stream cut", (uint32_t)bytes);
        (void)host_serve(stream, bytes);
    }
    fwrite(memory, sizeof memory, 1, stdout);
    fprintf(stderr, "%u writes, %u erases, %u starts\n", writes, erases, starts);
    return 0;
}
