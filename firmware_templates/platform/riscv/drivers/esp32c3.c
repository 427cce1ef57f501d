/* The ESP32-C3: watchdogs, number, reset. Numbers in comments are chapters of its Technical Reference
 * Manual, v1.0; the registers' names are those of Espressif's SVD file. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

/* Chapter 9, low-power management */
#define RTC_CNTL 0x60008000u
#define RTC_OPTIONS0 REGISTER(RTC_CNTL + 0x000u)
#define RTC_OPTIONS0_SW_SYS_RST (1u << 31)
#define RTC_OPTION1 REGISTER(RTC_CNTL + 0x0F4u)
#define RTC_OPTION1_FORCE_DOWNLOAD_BOOT 1u
#define RTC_WDTCONFIG0 REGISTER(RTC_CNTL + 0x090u)
#define RTC_WDTWPROTECT REGISTER(RTC_CNTL + 0x0A8u)
#define RTC_SWD_CONF REGISTER(RTC_CNTL + 0x0ACu)
#define RTC_SWD_CONF_AUTO_FEED (1u << 31)
#define RTC_SWD_WPROTECT REGISTER(RTC_CNTL + 0x0B0u)
#define RTC_SWD_WKEY 0x8F1D312Au

/* Chapter 12, watchdog timers: that of timer group 0 */
#define TIMG0_WDTCONFIG0 REGISTER(0x6001F048u)
#define TIMG0_WDTCONFIG0_UPDATE (1u << 22) /* what was written counts from here on */
#define TIMG0_WDTWPROTECT REGISTER(0x6001F064u)
#define WDT_WKEY 0x50D83AA1u /* of both */

/* Chapter 4, eFuse controller: MAC_0 has the low four bytes, MAC_1 the high two */
#define EFUSE_MAC_0 REGISTER(0x60008844u)
#define EFUSE_MAC_1 REGISTER(0x60008848u)

enum { MAC_BYTES = 6 };

/* The boot ROM starts both watchdogs, lest what it jumps to hangs (12.2.2.2); the super watchdog runs
 * from power-up on, and is fed by the hardware as soon as it is told to (12.3). */
void chip_init(void)
{
    RTC_WDTWPROTECT = WDT_WKEY;
    RTC_WDTCONFIG0 = 0;
    RTC_WDTWPROTECT = 0;
    TIMG0_WDTWPROTECT = WDT_WKEY;
    TIMG0_WDTCONFIG0 = TIMG0_WDTCONFIG0_UPDATE;
    TIMG0_WDTWPROTECT = 0;
    RTC_SWD_WPROTECT = RTC_SWD_WKEY;
    RTC_SWD_CONF |= RTC_SWD_CONF_AUTO_FEED;
    RTC_SWD_WPROTECT = 0;
}

/* 6.1.2: a system reset, of all but the RTC; the RAM keeps what it has. */
void chip_reset(void)
{
    RTC_OPTIONS0 |= RTC_OPTIONS0_SW_SYS_RST;
}

/* As the MAC address is written: its first byte is the highest. */
size_t platform_chip_id(uint8_t *id, size_t capacity)
{
    if (capacity < MAC_BYTES) {
        return 0;
    }
    const uint32_t low = EFUSE_MAC_0, high = EFUSE_MAC_1;
    id[0] = (uint8_t)(high >> 8);
    id[1] = (uint8_t)high;
    for (uint32_t i = 0; i < 4; i++) {
        id[2 + i] = (uint8_t)(low >> (24u - 8u * i));
    }
    return MAC_BYTES;
}

/* The flag outlasts the system reset, and no other. */
bool platform_reset_to_loader(void)
{
    RTC_OPTION1 = RTC_OPTION1_FORCE_DOWNLOAD_BOOT;
    platform_reset();
}
