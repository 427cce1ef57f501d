/* From reset to the application, or to the host that replaces it. docs/boot_loader.md */
#include "application.h"
#include "layout.h"
#include "line.h"
#include "loader.h"
#include "protocol.h"
#include "registers.h"

#define REQUEST REGISTER(REQUEST_ADDRESS)
#define RUNNING REGISTER(RUNNING_ADDRESS)
#define REQUEST_START 0x54524154u /* of the loader to itself */

/* A call may be an accident. Where there is something to run, a host has so many times so long for its
 * first command. */
enum { ATTEMPTS = 3, HOST_MS = 5000 };

static uint32_t take_request(void)
{
    const uint32_t request = REQUEST;
    REQUEST = 0;
    return request;
}

_Noreturn void loader_restart(void)
{
    __asm__ volatile("dsb" ::: "memory");
    SCB_AIRCR = SCB_AIRCR_RESET;
    for (;;) {
    }
}

/* By a reset, so that it finds the chip as after power-up: no UART, timer or interrupt of ours. */
_Noreturn void loader_start_application(void)
{
    REQUEST = REQUEST_START;
    loader_restart();
}

static _Noreturn void serve_for_ever(void)
{
    for (;;) {
        (void)protocol_serve(HOST_MS);
    }
}

static bool host_wants_us(void)
{
    if (!protocol_is_called(ENTRY_WINDOW_MS)) {
        return false;
    }
    for (int i = 0; i < ATTEMPTS; i++) {
        if (protocol_serve(HOST_MS)) {
            return true;
        }
    }
    return false;
}

_Noreturn void loader_main(void)
{
    const uint32_t request = take_request();
    RUNNING = 0; /* faults are the loader's from here on: startup.c */
    if (request == REQUEST_START && application_is_valid()) {
        application_start();
    }
    line_open(); /* now, so that a call waits in the UART while a long image is looked at */
    if (request == REQUEST_STAY || !application_is_valid() || host_wants_us()) {
        serve_for_ever();
    }
    loader_start_application();
}
