#include "frames.h"

#include "crc32.h"

enum { DELIMITER = 0, FULL_BLOCK = 0xFF }; /* COBS: 254 bytes, and no zero behind them */

static void restart(struct nano_frame_decoder *decoder)
{
    decoder->size = 0;
    decoder->block_left = 0;
    decoder->zero_due = false;
    decoder->broken = false;
}

void nano_frame_decoder_init(struct nano_frame_decoder *decoder, uint8_t *data, size_t capacity)
{
    decoder->data = data;
    decoder->capacity = capacity;
    decoder->body_bytes = 0;
    restart(decoder);
}

static void append(struct nano_frame_decoder *decoder, uint8_t byte)
{
    if (decoder->size == decoder->capacity) {
        decoder->broken = true;
    } else {
        decoder->data[decoder->size++] = byte;
    }
}

static bool crc_matches(const uint8_t *data, size_t body_bytes)
{
    const uint32_t crc = nano_crc32(data, body_bytes);
    const uint8_t *sent = data + body_bytes;
    return sent[0] == (uint8_t)crc && sent[1] == (uint8_t)(crc >> 8) &&
           sent[2] == (uint8_t)(crc >> 16) && sent[3] == (uint8_t)(crc >> 24);
}

static enum nano_frame_event finish(struct nano_frame_decoder *decoder)
{
    const bool idle = decoder->size == 0 && decoder->block_left == 0 && !decoder->zero_due;
    const bool cut = decoder->broken || decoder->block_left != 0;
    const size_t size = decoder->size;
    restart(decoder);
    if (idle) {
        return NANO_FRAME_NONE;
    }
    if (cut || size < NANO_FRAME_CRC_BYTES ||
        !crc_matches(decoder->data, size - NANO_FRAME_CRC_BYTES)) {
        return NANO_FRAME_BAD;
    }
    decoder->body_bytes = size - NANO_FRAME_CRC_BYTES;
    return NANO_FRAME_READY;
}

enum nano_frame_event nano_frame_decode(struct nano_frame_decoder *decoder, uint8_t byte)
{
    if (byte == DELIMITER) {
        return finish(decoder);
    }
    if (decoder->broken) {
        return NANO_FRAME_NONE;
    }
    if (decoder->block_left != 0) {
        decoder->block_left--;
        append(decoder, byte);
        return NANO_FRAME_NONE;
    }
    if (decoder->zero_due) { /* `byte` is the code of the next block */
        append(decoder, 0);
    }
    decoder->block_left = (uint8_t)(byte - 1);
    decoder->zero_due = byte != FULL_BLOCK;
    return NANO_FRAME_NONE;
}

size_t nano_frame_encode(uint8_t *buffer, size_t body_offset, size_t body_bytes)
{
    const uint8_t *source = buffer + body_offset;
    const uint8_t *const end = source + body_bytes + NANO_FRAME_CRC_BYTES;
    const uint32_t crc = nano_crc32(source, body_bytes);
    for (unsigned i = 0; i < NANO_FRAME_CRC_BYTES; i++) {
        buffer[body_offset + body_bytes + i] = (uint8_t)(crc >> (8 * i));
    }

    uint8_t *out = buffer; /* never passes `source`: codes written <= body_offset */
    *out++ = DELIMITER;
    uint8_t *code_place = out++;
    uint8_t code = 1;
    while (source != end) {
        const uint8_t byte = *source++;
        if (byte != 0) {
            *out++ = byte;
            code++;
        }
        if (byte == 0 || (code == FULL_BLOCK && source != end)) {
            *code_place = code;
            code_place = out++;
            code = 1;
        }
    }
    *code_place = code;
    *out++ = DELIMITER;
    return (size_t)(out - buffer);
}
