/* Between the files of the host platform: a native process that behaves like a board. */
#ifndef NANO_HOST_H
#define NANO_HOST_H

#include "platform.h"

/* The serial port: a pseudo terminal, or a TCP connection where the command line says --tcp PORT. */
void host_serial_open(void);

/* The file descriptor of the port, and whether it is there before host_serial_open(). */
int host_serial_descriptor(void);

/* Catches the signals of a crash and restarts the process with a record of it. */
void host_fault_catch(void);

/* Executes the program anew on the same port. `fault` may be NULL. Async-signal-safe. */
_Noreturn void host_restart(const struct platform_fault *fault);

/* What the process before a restart left in the environment; NULL after a first start. */
const char *host_inherited(const char *name);
#define HOST_SERIAL_VARIABLE "NANO_HOST_SERIAL"
#define HOST_FAULT_VARIABLE "NANO_HOST_FAULT"
enum { HOST_FAULT_WORDS = sizeof(struct platform_fault) / sizeof(uint32_t), HOST_HEX_DIGITS = 8 };

/* Processor time, not time: it must not end a run that a busy machine keeps waiting. */
#define HOST_WATCHDOG_SIGNAL SIGPROF
#define HOST_WATCHDOG_TIMER ITIMER_PROF

/* The arguments of the program. */
int host_argument_count(void);
char **host_arguments(void);

/* Sanitizers have handlers and a stack of their own. */
#if defined(__SANITIZE_ADDRESS__)
#define HOST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOST_SANITIZED 1
#endif
#endif
#ifndef HOST_SANITIZED
#define HOST_SANITIZED 0
#endif

#endif
