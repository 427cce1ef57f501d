/* The serial port of a native process: a pseudo terminal, or TCP where there is none.
 *
 * The first line on standard output says where it is, "pty: /dev/pts/3" or "tcp: 54321". The
 * process ends when its peer closes the port. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "host.h"

enum { IDLE_MS = 500 };
enum { WINDOW_BYTES = 16384 }; /* the system keeps as many for a pseudo terminal or a socket */

static int port = -1;

int host_serial_descriptor(void)
{
    return port;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* Bytes must pass as they are: no echo, no line ends translated, from before the peer opens it. */
static void make_raw(int terminal)
{
    struct termios settings;
    if (tcgetattr(terminal, &settings) == 0) {
        cfmakeraw(&settings);
        tcsetattr(terminal, TCSANOW, &settings);
    }
}

static int open_pty(void)
{
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        fail("cannot open a pseudo terminal");
    }
    make_raw(master);
    printf("pty: %s\n", ptsname(master));
    return master;
}

static int accept_tcp(uint16_t number)
{
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(number)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        fail("cannot listen on 127.0.0.1");
    }
    printf("tcp: %u\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
    int peer;
    do {
        peer = accept(listener, NULL, NULL);
    } while (peer < 0 && errno == EINTR);
    if (peer < 0) {
        fail("cannot accept a connection");
    }
    close(listener);
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return peer;
}

/* The number behind --tcp, or -1. */
static long tcp_port_wanted(void)
{
    char **const arguments = host_arguments();
    for (int i = 1; i < host_argument_count(); i++) {
        if (strcmp(arguments[i], "--tcp") == 0) {
            char *end = NULL;
            const char *const text = i + 1 < host_argument_count() ? arguments[i + 1] : "";
            const long number = strtol(text, &end, 10);
            if (*text == '\0' || *end != '\0' || number < 0 || number > 65535) {
                fprintf(stderr, "--tcp %s: a port from 0 (any free one) to 65535 is due\n", text);
                exit(2);
            }
            return number;
        }
    }
    return -1;
}

void host_serial_open(void)
{
    const char *const inherited = host_inherited(HOST_SERIAL_VARIABLE);
    const long tcp_port = tcp_port_wanted();
    signal(SIGPIPE, SIG_IGN);
    if (inherited != NULL) {
        port = (int)strtol(inherited, NULL, 16);
    } else {
        port = tcp_port >= 0 ? accept_tcp((uint16_t)tcp_port) : open_pty();
    }
    fflush(stdout);
    fcntl(port, F_SETFL, fcntl(port, F_GETFL) | O_NONBLOCK);
}

/* Waits until the port is ready for `events`, for IDLE_MS at most. */
static void wait_for(short events)
{
    struct pollfd wait = {.fd = port, .events = events};
    if (poll(&wait, 1, IDLE_MS) > 0 && (wait.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0 &&
        (wait.revents & POLLIN) == 0) {
        exit(0); /* the peer has closed, and all it sent was read */
    }
}

static bool is_only_busy(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

size_t platform_serial_read(uint8_t *data, size_t capacity)
{
    const ssize_t count = read(port, data, capacity);
    if (count == 0 || (count < 0 && !is_only_busy())) {
        exit(0);
    }
    return count < 0 ? 0 : (size_t)count;
}

uint32_t platform_serial_window(void)
{
    return WINDOW_BYTES;
}

void platform_serial_write(const uint8_t *data, size_t size)
{
    while (size != 0) {
        const ssize_t count = write(port, data, size);
        if (count < 0 && !is_only_busy()) {
            exit(0);
        }
        if (count > 0) {
            data += count;
            size -= (size_t)count;
        } else {
            wait_for(POLLOUT);
        }
    }
}

void platform_idle(void)
{
    wait_for(POLLIN);
}
