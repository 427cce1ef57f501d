/* What the link can do for the host: one function per command of PROTOCOL.md. */
#ifndef NANO_LINK_COMMANDS_H
#define NANO_LINK_COMMANDS_H

#include "link_bytes.h"

enum nano_command {
    NANO_HELLO = 0x01, /* served by link.c: it stands outside the sequence */
    NANO_IDENTIFY = 0x02,
    NANO_DESCRIBE_TENSOR = 0x03,
    NANO_DESCRIBE_STEP = 0x04,
    NANO_POISON = 0x10,
    NANO_WRITE = 0x11,
    NANO_READ = 0x12,
    NANO_INVOKE = 0x20,
    NANO_PROFILE = 0x21,
    NANO_SPIN = 0x22,
    NANO_LOAD = 0x23,
    NANO_MEMORY = 0x30,
    NANO_TAKE_FAULT = 0x31,
    NANO_RESET = 0x32,
    NANO_RESET_TO_LOADER = 0x33,
};

enum nano_status {
    NANO_OK = 0,
    NANO_MALFORMED = 1,
    NANO_UNKNOWN_COMMAND = 2,
    NANO_OUT_OF_RANGE = 3,
    NANO_UNSUPPORTED = 4,
    NANO_OUT_OF_ORDER = 5,
    NANO_REBOOTED = 6,
    NANO_STALE = 7,
    NANO_BAD_VERSION = 8,
};

/* The payload of a request is `size` bytes at `payload`; the reply's goes to `reply`. */
typedef enum nano_status (*nano_command_function)(const uint8_t *payload, size_t size,
                                                  struct nano_writer *reply);

/* Checks the payload's size and runs the command. */
enum nano_status nano_link_execute(uint8_t command, const uint8_t *payload, size_t size,
                                   struct nano_writer *reply);

/* link_run.c: what runs the model and watches it. */
void nano_guards_fill(void);
enum nano_status nano_link_invoke(const uint8_t *payload, size_t size, struct nano_writer *reply);
enum nano_status nano_link_profile(const uint8_t *payload, size_t size, struct nano_writer *reply);
enum nano_status nano_link_spin(const uint8_t *payload, size_t size, struct nano_writer *reply);
enum nano_status nano_link_load(const uint8_t *payload, size_t size, struct nano_writer *reply);
enum nano_status nano_link_memory(const uint8_t *payload, size_t size, struct nano_writer *reply);

/* link_load.c: interrupts during a run; nothing where LOAD asked for none. */
void nano_load_init(void);
void nano_load_start(void);
void nano_load_stop(void);

/* link.c: frames that were cut, too long or failed their CRC since the start. */
uint32_t nano_link_bad_frames(void);

#endif
