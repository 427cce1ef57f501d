/* libFuzzer: the whole device of the link, from received bytes to sent ones, with the fake model.
 *
 * An input is a list of records: a byte that says what it is, a byte of length, and so many bytes.
 * Most become requests with a right checksum, since random bytes hardly ever have one. Whatever comes
 * in, the device must send whole frames only, and not run the model more often than it was asked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "link.h"
#include "link_commands.h"

enum { HEADER = 10, MAX_RECORD = 255, MAX_SENT = 1 << 20, NONCE = 0x12345678 };
enum record {
    RAW = 0,       /* bytes as they are */
    BODY = 1,      /* a body of any kind, framed */
    REPEATED = 2,  /* the last request again */
    REQUESTS = 3   /* and above: a request in sequence; its first byte is the command */
};

/* stub_platform.c */
void stub_boot(uint32_t boot_nonce);
bool stub_receive(const uint8_t *data, size_t size);
size_t stub_sent(uint8_t *data, size_t capacity);

int32_t fake_model_runs(void); /* fake_model.c */

static uint8_t frame[NANO_FRAME_BUFFER_BYTES(HEADER + MAX_RECORD)];
static size_t frame_bytes;
static uint16_t sequence;
static uint32_t nonce;
static int32_t asked_to_run;

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void make_frame(const uint8_t *header, size_t header_bytes, const uint8_t *data, size_t size)
{
    uint8_t *const body = frame + NANO_FRAME_BODY_OFFSET(HEADER + MAX_RECORD);
    memcpy(body, header, header_bytes);
    memcpy(body + header_bytes, data, size);
    frame_bytes =
        nano_frame_encode(frame, NANO_FRAME_BODY_OFFSET(HEADER + MAX_RECORD), header_bytes + size);
}

static void make_request(const uint8_t *data, size_t size)
{
    const uint8_t command = size != 0 ? data[0] : 0;
    const size_t payload = size != 0 ? size - 1 : 0;
    sequence++;
    const uint8_t header[HEADER] = {2,
                                    1,
                                    command,
                                    0,
                                    (uint8_t)sequence,
                                    (uint8_t)(sequence >> 8),
                                    (uint8_t)nonce,
                                    (uint8_t)(nonce >> 8),
                                    (uint8_t)(nonce >> 16),
                                    (uint8_t)(nonce >> 24)};
    make_frame(header, HEADER, data + 1, payload);
    asked_to_run += command == NANO_INVOKE || command == NANO_PROFILE;
}

/* A reset starts another boot, whose requests start over. */
static void give(const uint8_t *data, size_t size)
{
    if (stub_receive(data, size)) {
        nonce++;
        sequence = 0;
        asked_to_run = 0;
    }
}

static void take_record(uint8_t what, const uint8_t *data, size_t size)
{
    if (what % 16 == RAW) {
        for (size_t i = 0; i < size; i++) {
            asked_to_run += data[i] == 0; /* the fuzzer may have found a whole request */
        }
        give(data, size);
        return;
    }
    if (what % 16 == BODY) {
        asked_to_run++;
        make_frame(data, 0, data, size);
    } else if (what % 16 >= REQUESTS) {
        make_request(data, size);
    }
    give(frame, frame_bytes);
}

static void require_whole_frames(void)
{
    static uint8_t sent[MAX_SENT], body[HEADER + NANO_LINK_PAYLOAD_BYTES + NANO_FRAME_CRC_BYTES];
    const size_t bytes = stub_sent(sent, sizeof sent);
    struct nano_frame_decoder decoder;
    nano_frame_decoder_init(&decoder, body, sizeof body);
    for (size_t i = 0; i < bytes; i++) {
        const enum nano_frame_event event = nano_frame_decode(&decoder, sent[i]);
        require(event != NANO_FRAME_BAD, "the device sent a bad frame");
        require(event != NANO_FRAME_READY || decoder.body_bytes >= HEADER, "a body has no header");
    }
    require(bytes == 0 || sent[bytes - 1] == 0, "the device sent a part of a frame");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nonce = NONCE;
    sequence = 0;
    asked_to_run = 0;
    frame_bytes = 0;
    stub_boot(nonce);
    while (size >= 2) {
        const size_t bytes = data[1] < size - 2 ? data[1] : size - 2;
        take_record(data[0], data + 2, bytes);
        data += 2 + bytes;
        size -= 2 + bytes;
    }
    require(fake_model_runs() <= asked_to_run, "the model ran more often than it was asked");
    require_whole_frames();
    return 0;
}
