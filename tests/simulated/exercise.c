/* What the link's commands do not reach of a platform: timer, watchdog, number, boot loader. One letter is
 * a request. At each boot: 'B', and why the boot before ended. */
#include "platform.h"

enum { PERIODS = 5, PERIOD_US = 1000, NO_FAULT = 0xFF };

static volatile uint32_t periods;

static void count_period(void)
{
    periods++;
}

static void send_word(uint32_t word)
{
    const uint8_t bytes[4] = {(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16),
                              (uint8_t)(word >> 24)};
    platform_serial_write(bytes, sizeof bytes);
}

static void tell_boot(void)
{
    const struct platform_fault *const fault = platform_last_fault();
    const uint8_t text[2] = {'B', fault != NULL ? (uint8_t)fault->reason : NO_FAULT};
    platform_forget_fault();
    platform_serial_write(text, sizeof text);
}

/* The ticks that PERIODS of the timer last. */
static void time_the_timer(void)
{
    if (platform_timer_longest_us() == 0) {
        send_word(0);
        return;
    }
    periods = 0;
    const uint64_t start = platform_ticks();
    platform_timer_start(PERIOD_US, count_period);
    while (periods < PERIODS) {
    }
    const uint64_t end = platform_ticks();
    platform_timer_stop();
    send_word((uint32_t)(end - start));
}

static void hang_watched(void)
{
    platform_watchdog_start(5);
    for (;;) {
    }
}

static void tell_number(void)
{
    uint8_t id[16];
    const size_t size = platform_chip_id(id, sizeof id);
    send_word((uint32_t)size);
    platform_serial_write(id, size);
}

int main(void)
{
    platform_init();
    tell_boot();
    for (;;) {
        uint8_t request = 0;
        while (platform_serial_read(&request, 1) == 0) {
            platform_idle();
        }
        switch (request) {
        case 'T':
            send_word(platform_ticks_hz());
            time_the_timer();
            break;
        case 'I':
            tell_number();
            break;
        case 'W':
            hang_watched();
            break;
        case 'L':
            send_word(platform_reset_to_loader());
            break;
        case 'X': /* the answer goes out, and then the board */
            tell_number();
            platform_reset();
        default:
            platform_serial_write(&request, 1);
        }
    }
}
