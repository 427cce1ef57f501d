/* libFuzzer: the frame decoder and encoder, on any bytes.
 *
 * The first byte of an input chooses the decoder's capacity; the rest is fed to it, and is also
 * encoded as a body, which must come back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"

enum { MAX_BODY = 4096 };

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

/* Decodes into a block of exactly `capacity` bytes, so that a byte too many is seen. */
static void decode_any(const uint8_t *data, size_t size, size_t capacity)
{
    uint8_t *const buffer = malloc(capacity);
    struct nano_frame_decoder decoder;
    nano_frame_decoder_init(&decoder, buffer, capacity);
    for (size_t i = 0; i < size; i++) {
        if (nano_frame_decode(&decoder, data[i]) == NANO_FRAME_READY) {
            require(data[i] == 0, "a frame ended without its delimiter");
            require(decoder.body_bytes + NANO_FRAME_CRC_BYTES <= capacity, "a body is too long");
        }
    }
    free(buffer);
}

static void encode_and_decode(const uint8_t *data, size_t size)
{
    static uint8_t decoded[MAX_BODY + NANO_FRAME_CRC_BYTES];
    uint8_t *const frame = malloc(NANO_FRAME_BUFFER_BYTES(size));
    memcpy(frame + NANO_FRAME_BODY_OFFSET(size), data, size);
    const size_t bytes = nano_frame_encode(frame, NANO_FRAME_BODY_OFFSET(size), size);
    require(bytes <= NANO_FRAME_BUFFER_BYTES(size), "a frame is longer than its buffer");

    struct nano_frame_decoder decoder;
    nano_frame_decoder_init(&decoder, decoded, sizeof decoded);
    size_t ready = 0;
    for (size_t i = 0; i < bytes; i++) {
        ready += nano_frame_decode(&decoder, frame[i]) == NANO_FRAME_READY;
    }
    require(ready == 1 && decoder.body_bytes == size, "a frame did not come back");
    require(size == 0 || memcmp(decoded, data, size) == 0, "a body came back changed");
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size != 0 && size <= MAX_BODY) {
        decode_any(data + 1, size - 1, 1u + data[0]);
        encode_and_decode(data + 1, size - 1);
    }
    return 0;
}
