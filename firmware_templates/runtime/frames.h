/* Frames of the link: a body and its CRC-32, COBS-encoded, between two 0x00 delimiters.
 *
 * See PROTOCOL.md, "Frames". Both directions work in place: the decoder writes each byte where it
 * stays, the encoder moves the body a few bytes down in its own buffer. */
#ifndef NANO_FRAMES_H
#define NANO_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NANO_FRAME_CRC_BYTES 4u

/* Where a body of at most `body_bytes` starts in the buffer given to nano_frame_encode: behind the
 * first delimiter and one COBS code for each 254 bytes; and how large that buffer is. */
#define NANO_FRAME_BODY_OFFSET(body_bytes) (2u + ((body_bytes) + NANO_FRAME_CRC_BYTES) / 254u)
#define NANO_FRAME_BUFFER_BYTES(body_bytes) \
    (NANO_FRAME_BODY_OFFSET(body_bytes) + (body_bytes) + NANO_FRAME_CRC_BYTES + 1u)

enum nano_frame_event {
    NANO_FRAME_NONE,  /* nothing to do yet */
    NANO_FRAME_READY, /* a body is in `data`, `body_bytes` long, until the next byte is decoded */
    NANO_FRAME_BAD,   /* a frame ended that was cut, too long, or failed its CRC */
};

struct nano_frame_decoder {
    uint8_t *data;
    size_t capacity;    /* of the largest body and its CRC */
    size_t size;        /* decoded so far */
    size_t body_bytes;  /* of the last good frame */
    uint8_t block_left; /* data bytes still due in this COBS block */
    bool zero_due;      /* a zero follows the block, if another block does */
    bool broken;        /* too long: skip to the delimiter */
};

void nano_frame_decoder_init(struct nano_frame_decoder *decoder, uint8_t *data, size_t capacity);

/* Takes one received byte, in whatever portions they come. */
enum nano_frame_event nano_frame_decode(struct nano_frame_decoder *decoder, uint8_t byte);

/* Turns the body at `buffer + body_offset` into a whole frame at `buffer`; returns its size.
 * `body_offset` and the buffer are as the macros above say. */
size_t nano_frame_encode(uint8_t *buffer, size_t body_offset, size_t body_bytes);

#endif
