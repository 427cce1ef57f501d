#include "application.h"

#include "crc32.h"
#include "flash.h"
#include "layout.h"

#define ERASED_WORD 0xFFFFFFFFu
#define VECTOR_BYTES 8u /* stack and reset handler: what an image has at least */
#define THUMB 1u

static uint32_t word_at(uint32_t address)
{
    const uint8_t *const bytes = flash_at(address);
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static struct application_header header(void)
{
    return (struct application_header){
        .magic = word_at(APPLICATION_ORIGIN),
        .image_bytes = word_at(APPLICATION_ORIGIN + 4u),
        .image_crc32 = word_at(APPLICATION_ORIGIN + 8u),
    };
}

bool application_owns(uint32_t address, uint32_t bytes)
{
    return address >= APPLICATION_ORIGIN && address < FLASH_END && bytes <= FLASH_END - address;
}

static bool has_length(const struct application_header *found)
{
    return found->image_bytes >= VECTOR_BYTES && found->image_bytes % 4u == 0 &&
           found->image_bytes <= FLASH_END - APPLICATION_IMAGE;
}

/* A whole image that nobody could start is broken, too: its stack is in RAM, its start in itself. */
static bool has_vectors(const struct application_header *found)
{
    const uint32_t stack = word_at(APPLICATION_IMAGE), start = word_at(APPLICATION_IMAGE + 4u);
    return stack > RAM_ORIGIN && stack <= RAM_END && stack % 4u == 0 && (start & THUMB) != 0 &&
           start > APPLICATION_IMAGE && start < APPLICATION_IMAGE + found->image_bytes;
}

static bool image_is_whole(const struct application_header *found)
{
    return has_length(found) && has_vectors(found) &&
           nano_crc32(flash_at(APPLICATION_IMAGE), found->image_bytes) == found->image_crc32;
}

bool application_is_valid(void)
{
    const struct application_header found = header();
    return found.magic == APPLICATION_MAGIC && image_is_whole(&found);
}

/* The last write of every update. */
static bool write_valid_flag(void)
{
    return flash_write_word(APPLICATION_ORIGIN, APPLICATION_MAGIC);
}

/* The image is looked at when its end is written, or its header after it: a CRC takes time. */
static bool may_complete(const struct application_header *found, uint32_t address, uint32_t bytes)
{
    const uint32_t last_word = APPLICATION_IMAGE + found->image_bytes - 4u;
    return address == APPLICATION_ORIGIN || (address <= last_word && last_word - address < bytes);
}

bool application_write(uint32_t address, const uint8_t *data, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i += 4u) {
        const uint32_t word = (uint32_t)data[i] | (uint32_t)data[i + 1u] << 8 |
                              (uint32_t)data[i + 2u] << 16 | (uint32_t)data[i + 3u] << 24;
        const bool is_flag = address + i == APPLICATION_ORIGIN && word == APPLICATION_MAGIC;
        if (!is_flag && !flash_write_word(address + i, word)) {
            return false;
        }
    }
    const struct application_header found = header();
    if (found.magic == ERASED_WORD && has_length(&found) && may_complete(&found, address, bytes) &&
        image_is_whole(&found)) {
        return write_valid_flag();
    }
    return true;
}
