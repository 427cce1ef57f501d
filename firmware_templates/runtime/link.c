#include "link.h"

#include "frames.h"
#include "link_commands.h"
#include "platform.h"

enum { PROTOCOL_VERSION = 2 };
enum { KIND_REQUEST = 1, KIND_REPLY = 2, KIND_LOG = 3, KIND_DAMAGED = 4 };
enum { HEADER_BYTES = 10 };
enum { NOTICES = 8 }; /* of damage, until a good request comes: peers must not rouse each other */

#define BODY_BYTES (HEADER_BYTES + NANO_LINK_PAYLOAD_BYTES)
#define BODY_OFFSET NANO_FRAME_BODY_OFFSET(BODY_BYTES)
#define SHORT_BODY_BYTES (HEADER_BYTES + NANO_LOG_BYTES)
#define SHORT_BODY_OFFSET NANO_FRAME_BODY_OFFSET(SHORT_BODY_BYTES)

/* The fields of a body that differ from frame to frame; see PROTOCOL.md, "Bodies". */
struct header {
    uint8_t kind;
    uint8_t command; /* of a log line: its level */
    uint8_t status;
    uint16_t sequence;
};

static uint32_t boot_nonce;
static bool is_met; /* by a host, whose number is in the nonce since */
static uint32_t bad_frames;
static uint8_t notices_left;
static uint16_t last_sequence; /* the newest that was accepted */
static uint16_t log_sequence;
static size_t last_reply_bytes; /* of the frame kept in `reply_frame`; 0: none */

static struct nano_frame_decoder decoder;
static uint8_t request_body[BODY_BYTES + NANO_FRAME_CRC_BYTES];
static uint8_t reply_frame[NANO_FRAME_BUFFER_BYTES(BODY_BYTES)];

static void put_header(uint8_t *body, const struct header *header)
{
    struct nano_writer writer = {.data = body, .capacity = HEADER_BYTES};
    nano_put_u8(&writer, PROTOCOL_VERSION);
    nano_put_u8(&writer, header->kind);
    nano_put_u8(&writer, header->command);
    nano_put_u8(&writer, header->status);
    nano_put_u16(&writer, header->sequence);
    nano_put_u32(&writer, boot_nonce);
}

/* Sends what stands outside the sequence, from the stack: the last reply stays kept. */
static void send_short(const struct header *header, const uint8_t *payload, size_t size)
{
    uint8_t frame[NANO_FRAME_BUFFER_BYTES(SHORT_BODY_BYTES)];
    uint8_t *const body = frame + SHORT_BODY_OFFSET;
    put_header(body, header);
    if (size != 0) {
        memcpy(body + HEADER_BYTES, payload, size);
    }
    platform_serial_write(frame, nano_frame_encode(frame, SHORT_BODY_OFFSET, HEADER_BYTES + size));
}

static void refuse(struct header header, enum nano_status status)
{
    header.kind = KIND_REPLY;
    header.status = (uint8_t)status;
    send_short(&header, NULL, 0);
}

/* Says at once that a frame came damaged, so that the host need not wait to repeat it. */
static void notice_damage(void)
{
    bad_frames++;
    if (notices_left != 0) {
        const struct header header = {.kind = KIND_DAMAGED, .sequence = last_sequence};
        notices_left--;
        send_short(&header, NULL, 0);
    }
}

/* A board may give the same number at each power-up; the number of the host that meets it first tells
 * its boots apart. */
static void meet(const uint8_t *number, size_t size)
{
    if (!is_met && size >= sizeof boot_nonce && nano_get_u32(number) != boot_nonce) {
        boot_nonce ^= nano_get_u32(number);
    }
    is_met = true;
}

static void say_hello(struct header header, const uint8_t *number, size_t size)
{
    uint8_t payload[8];
    struct nano_writer writer = {.data = payload, .capacity = sizeof payload};
    meet(number, size);
    nano_put_u16(&writer, last_sequence);
    nano_put_u16(&writer, NANO_LINK_PAYLOAD_BYTES);
    nano_put_u32(&writer, platform_serial_window());
    header.kind = KIND_REPLY;
    send_short(&header, payload, sizeof payload);
}

static void reset_if_asked(uint8_t command)
{
    if (command == NANO_RESET_TO_LOADER) {
        (void)platform_reset_to_loader(); /* returns where there is none */
    }
    if (command == NANO_RESET || command == NANO_RESET_TO_LOADER) {
        platform_reset();
    }
}

static void serve(struct header header, const uint8_t *payload, size_t size)
{
    uint8_t *const body = reply_frame + BODY_OFFSET;
    struct nano_writer reply = {.data = body + HEADER_BYTES, .capacity = NANO_LINK_PAYLOAD_BYTES};

    last_sequence = header.sequence;
    last_reply_bytes = 0; /* executing overwrites it */
    const enum nano_status status = nano_link_execute(header.command, payload, size, &reply);

    header.kind = KIND_REPLY;
    header.status = (uint8_t)status;
    put_header(body, &header);
    const size_t reply_size = status == NANO_OK ? reply.size : 0;
    last_reply_bytes = nano_frame_encode(reply_frame, BODY_OFFSET, HEADER_BYTES + reply_size);
    platform_serial_write(reply_frame, last_reply_bytes);
    if (status == NANO_OK) {
        reset_if_asked(header.command);
    }
}

/* A request is executed once: its repetition gets the kept reply, an older one a refusal. */
static void serve_in_sequence(struct header header, const uint8_t *payload, size_t size)
{
    const uint16_t ahead = (uint16_t)(header.sequence - last_sequence);
    if (ahead == 0 && last_reply_bytes != 0) {
        platform_serial_write(reply_frame, last_reply_bytes);
    } else if (ahead == 0 || ahead >= 0x8000u) {
        refuse(header, NANO_STALE);
    } else {
        serve(header, payload, size);
    }
}

static void take_body(const uint8_t *body, size_t size)
{
    struct header header = {.kind = KIND_REPLY};
    if (size < HEADER_BYTES) {
        refuse(header, NANO_MALFORMED);
        return;
    }
    header.kind = body[1];
    header.command = body[2];
    header.sequence = nano_get_u16(body + 4);
    const uint32_t nonce = nano_get_u32(body + 6);
    if (body[0] != PROTOCOL_VERSION) {
        refuse(header, NANO_BAD_VERSION);
        return;
    }
    if (header.kind != KIND_REQUEST) {
        bad_frames++; /* an echo of our own frames, perhaps: an answer could go round for ever */
        return;
    }
    notices_left = NOTICES;
    if (header.command == NANO_HELLO) {
        say_hello(header, body + HEADER_BYTES, size - HEADER_BYTES);
    } else if (nonce != boot_nonce) {
        refuse(header, NANO_REBOOTED);
    } else {
        serve_in_sequence(header, body + HEADER_BYTES, size - HEADER_BYTES);
    }
}

void nano_link_start(void)
{
    boot_nonce = platform_boot_nonce();
    if (boot_nonce == 0) {
        boot_nonce = 1; /* 0 means "not known" in a request */
    }
    is_met = false;
    last_sequence = 0;
    last_reply_bytes = 0;
    log_sequence = 0;
    bad_frames = 0;
    notices_left = 0; /* before anybody asked, it is no frame of ours that came damaged */
    nano_frame_decoder_init(&decoder, request_body, sizeof request_body);
    nano_guards_fill();
    nano_load_init();
    nano_link_log(NANO_LOG_INFO, "boot");
}

void nano_link_poll(void)
{
    uint8_t bytes[32];
    size_t count;
    while ((count = platform_serial_read(bytes, sizeof bytes)) != 0) {
        for (size_t i = 0; i < count; i++) {
            const enum nano_frame_event event = nano_frame_decode(&decoder, bytes[i]);
            if (event == NANO_FRAME_READY) {
                take_body(decoder.data, decoder.body_bytes);
            } else if (event == NANO_FRAME_BAD) {
                notice_damage();
            }
        }
    }
}

void nano_link_log(enum nano_log_level level, const char *text)
{
    const struct header header = {
        .kind = KIND_LOG, .command = (uint8_t)level, .sequence = log_sequence++};
    size_t size = 0;
    while (size < NANO_LOG_BYTES && text[size] != '\0') {
        size++;
    }
    send_short(&header, (const uint8_t *)text, size);
}

uint32_t nano_link_bad_frames(void)
{
    return bad_frames;
}
