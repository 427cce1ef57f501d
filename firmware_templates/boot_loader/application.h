/* The application behind the loader: what may be written, and whether it may be started.
 *
 * Its first word, the magic of its header, is its valid flag: the loader keeps it back while the image
 * comes in, and writes it when all of the image is there and has the header's CRC-32. */
#ifndef BOOT_APPLICATION_H
#define BOOT_APPLICATION_H

#include <stdbool.h>
#include <stdint.h>

/* docs/boot_loader.md, "Header". At APPLICATION_ORIGIN; little-endian words. */
struct application_header {
    uint32_t magic;
    uint32_t image_bytes; /* a multiple of 4 */
    uint32_t image_crc32; /* zlib's, of the image alone */
};

#define APPLICATION_MAGIC 0x4F4E414Eu /* "NANO" */

/* Whether all of [address, address + bytes) belongs to the application. */
bool application_owns(uint32_t address, uint32_t bytes);

/* Whether header and image are whole: asked at each reset, too. */
bool application_is_valid(void);

/* Writes words, `address` and `bytes` being multiples of 4 and the application's, and the valid flag
 * once they complete the image. Returns false where the flash does not take them. */
bool application_write(uint32_t address, const uint8_t *data, uint32_t bytes);

/* With its stack and from its reset handler, as the core itself would. */
_Noreturn void application_start(void);

#endif
