/* Bytes and little-endian numbers in the payloads of the link. */
#ifndef NANO_LINK_BYTES_H
#define NANO_LINK_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* All that is used of the C library: bare-metal compilers come without <string.h>. */
void *memcpy(void *destination, const void *source, size_t size);
void *memset(void *destination, int value, size_t size);

uint16_t nano_get_u16(const uint8_t *data);
uint32_t nano_get_u32(const uint8_t *data);

/* Writes a payload. It keeps bytes `skip` .. `skip + capacity` of what is put into it, so that a
 * long description can be sent in portions without ever being held whole. */
struct nano_writer {
    uint8_t *data;
    size_t capacity;
    size_t size;  /* bytes kept */
    size_t skip;
    size_t total; /* bytes put, kept or not */
};

void nano_put_u8(struct nano_writer *writer, uint8_t value);
void nano_put_u16(struct nano_writer *writer, uint32_t value);
void nano_put_u32(struct nano_writer *writer, uint32_t value);
void nano_put_u64(struct nano_writer *writer, uint64_t value);
void nano_put_bytes(struct nano_writer *writer, const uint8_t *data, size_t size);
void nano_put_text(struct nano_writer *writer, const char *text); /* u16 size, then the bytes */

#endif
