/* The device's side of the link: receives requests, serves them, keeps the last reply.
 *
 * The authority is PROTOCOL.md. No heap; static memory is two payloads and about a hundred bytes. */
#ifndef NANO_LINK_H
#define NANO_LINK_H

/* The largest payload of a request or reply. The device states it, so the host follows. */
#ifndef NANO_LINK_PAYLOAD_BYTES
#define NANO_LINK_PAYLOAD_BYTES 256
#endif

#if NANO_LINK_PAYLOAD_BYTES < 48 || NANO_LINK_PAYLOAD_BYTES > 32768
#error "NANO_LINK_PAYLOAD_BYTES: 48 holds the longest fixed reply, 32768 is the largest allowed"
#endif

enum nano_log_level {
    NANO_LOG_DEBUG = 0,
    NANO_LOG_INFO = 1,
    NANO_LOG_WARNING = 2,
    NANO_LOG_ERROR = 3
};

/* Longer lines are cut. */
#define NANO_LOG_BYTES 80u

/* Fills the guards of the arena and says "boot". Call it once, after platform_init(). */
void nano_link_start(void);

/* Takes the bytes that have arrived and serves the requests they complete. */
void nano_link_poll(void);

/* Sends one line of text to the host, without its newline. */
void nano_link_log(enum nano_log_level level, const char *text);

#endif
