/* The number of an RP2350, in its one-time memory, and the way into the boot loader in ROM, which
 * shows a drive on USB. */
#include "platform.h"
#include "registers.h"

/* RP2350 datasheet, 13.10: rows 0 to 3, CHIPID0 to 3, as read with error correction, two in a word. */
#define OTP_CHIPID(n) REGISTER(0x40130000u + 4u * (n))
enum { ID_BYTES = 8 };

/* 5.4.1: the ROM finds its functions by two letters and by what they are for. */
#define ROM_MAGIC 0x02754Du /* "Mu", 2; the byte above is its version */
#define ROM_MAGIC_AT 0x10u
#define ROM_LOOKUP_AT 0x16u
#define ROM_CODE(first, second) ((uint32_t)(first) | (uint32_t)(second) << 8)
#define ROM_FOR_ARM_SECURE 0x0004u

/* 5.4.8.24 */
#define REBOOT_TO_BOOTSEL 0x0002u
#define REBOOT_NO_RETURN 0x0100u
#define REBOOT_DELAY_MS 10u

size_t platform_chip_id(uint8_t *id, size_t capacity)
{
    const size_t size = capacity < ID_BYTES ? capacity : ID_BYTES;
    for (size_t i = 0; i < size; ++i) {
        id[i] = (uint8_t)(OTP_CHIPID(i / 4u) >> (i % 4u * 8u));
    }
    return size;
}

bool platform_reset_to_loader(void)
{
    uintptr_t rom = 0;
    __asm__("" : "+r"(rom)); /* to the compiler, address 0 is nothing to read from */
    if ((REGISTER(rom + ROM_MAGIC_AT) & 0xFFFFFFu) != ROM_MAGIC) {
        return false;
    }
    const uintptr_t lookup = *(volatile uint16_t *)(rom + ROM_LOOKUP_AT);
    const uintptr_t reboot =
        ((uintptr_t (*)(uint32_t, uint32_t))lookup)(ROM_CODE('R', 'B'), ROM_FOR_ARM_SECURE);
    if (reboot == 0) {
        return false;
    }
    return ((int (*)(uint32_t, uint32_t, uint32_t, uint32_t))reboot)(
               REBOOT_TO_BOOTSEL | REBOOT_NO_RETURN, REBOOT_DELAY_MS, 0, 0) == 0;
}
