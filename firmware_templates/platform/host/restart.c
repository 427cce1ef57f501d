/* A reset of the native process: it executes itself anew, on the same port.
 *
 * The environment carries the port's descriptor and, after a crash, the record of the fault. All of
 * it works inside a signal handler: no heap, no stdio. */
#define _DEFAULT_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "host.h"

enum {
    MAX_ENVIRONMENT = 4096,
    VALUE_BYTES = sizeof HOST_FAULT_VARIABLE + HOST_HEX_DIGITS * HOST_FAULT_WORDS + 1
};

extern char **environ;

static int argument_count;
static char **arguments;

/* glibc and dyld hand the arguments of main() to constructors, too. */
__attribute__((constructor)) static void keep_arguments(int count, char **values)
{
    argument_count = count;
    arguments = values;
}

int host_argument_count(void)
{
    return argument_count;
}

char **host_arguments(void)
{
    return arguments;
}

const char *host_inherited(const char *name)
{
    return getenv(name);
}

static char *append_text(char *end, const char *text)
{
    const size_t size = strlen(text);
    memcpy(end, text, size + 1);
    return end + size;
}

static char *append_hex(char *end, uint32_t value)
{
    for (int shift = 28; shift >= 0; shift -= 4) {
        *end++ = "0123456789abcdef"[value >> shift & 15u];
    }
    *end = '\0';
    return end;
}

static char *serial_setting(void)
{
    static char text[VALUE_BYTES];
    append_hex(append_text(text, HOST_SERIAL_VARIABLE "="), (uint32_t)host_serial_descriptor());
    return text;
}

static char *fault_setting(const struct platform_fault *fault)
{
    static char text[VALUE_BYTES];
    char *end = append_text(text, HOST_FAULT_VARIABLE "=");
    uint32_t words[HOST_FAULT_WORDS];
    memcpy(words, fault, sizeof words);
    for (size_t i = 0; i < HOST_FAULT_WORDS; i++) {
        end = append_hex(end, words[i]);
    }
    return text;
}

static bool is_ours(const char *setting)
{
    return strncmp(setting, "NANO_HOST_", strlen("NANO_HOST_")) == 0;
}

void host_restart(const struct platform_fault *fault)
{
    static char *environment[MAX_ENVIRONMENT + 3];
    size_t count = 0;
    for (char **setting = environ; *setting != NULL && count < MAX_ENVIRONMENT; setting++) {
        if (!is_ours(*setting)) {
            environment[count++] = *setting;
        }
    }
    environment[count++] = serial_setting();
    if (fault != NULL) {
        environment[count++] = fault_setting(fault);
    }
    environment[count] = NULL;

    const struct itimerval off = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &off, NULL); /* they would outlive the program and kill the next one */
    setitimer(HOST_WATCHDOG_TIMER, &off, NULL);
    execve("/proc/self/exe", arguments, environment);
    execve(arguments[0], arguments, environment); /* systems without /proc */
    _exit(1);
}
