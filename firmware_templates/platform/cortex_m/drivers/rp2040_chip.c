/* The RP2040 has no number of its own: that of the flash beside it stands for it. And the way into the
 * boot loader in ROM, which shows a drive on USB. */
#include "interrupts.h"
#include "linker_symbols.h"
#include "platform.h"
#include "registers.h"

/* RP2040 datasheet, 2.8.3: the ROM's tables of functions, by two letters. */
#define ROM_MAGIC 0x01754Du /* "Mu", 1; the byte above is its version */
#define ROM_MAGIC_AT 0x10u
#define ROM_FUNCTIONS_AT 0x14u
#define ROM_LOOKUP_AT 0x18u
#define ROM_CODE(first, second) ((uint32_t)(first) | (uint32_t)(second) << 8)

/* 2.19.6.2 and 4.10.13 */
#define QSPI_SS_CTRL REGISTER(0x4001800Cu)
#define QSPI_SS_CTRL_LOW (2u << 8)
#define QSPI_SS_CTRL_HIGH (3u << 8)
#define SSI_SR REGISTER(0x18000028u)
#define SSI_SR_RX_NOT_EMPTY (1u << 3)
#define SSI_DR0 REGISTER(0x18000060u)

/* W25Q16JV datasheet, 8.2.34: the command, four bytes of any content, the number. */
enum { READ_UNIQUE_ID = 0x4B, ID_BYTES = 8, BYTES_BEFORE_ID = 5 };
enum { BOOT_STAGE_WORDS = 64 };

typedef void (*rom_function)(void);

struct rom_flash {
    rom_function connect, exit_xip, flush_cache;
    uint32_t boot_stage[BOOT_STAGE_WORDS];
};

/* NULL where there is none: the ROM may be an emulator's. */
static rom_function rom_lookup(uint32_t code)
{
    uintptr_t rom = 0;
    __asm__("" : "+r"(rom)); /* to the compiler, address 0 is nothing to read from */
    if ((REGISTER(rom + ROM_MAGIC_AT) & 0xFFFFFFu) != ROM_MAGIC) {
        return NULL;
    }
    const uintptr_t table = *(volatile uint16_t *)(rom + ROM_FUNCTIONS_AT);
    const uintptr_t lookup = *(volatile uint16_t *)(rom + ROM_LOOKUP_AT);
    return (rom_function)((uintptr_t (*)(uintptr_t, uint32_t))lookup)(table, code);
}

/* Runs in RAM: from the first call on the flash cannot be read, until the boot stage has set it up
 * again (4.10.8). The FIFOs of the interface hold 16 bytes, more than there are here. */
__attribute__((noinline, section(".ram_code"))) static void ask_flash(const struct rom_flash *rom,
                                                                      volatile uint8_t *id)
{
    rom->connect();
    rom->exit_xip();
    QSPI_SS_CTRL = QSPI_SS_CTRL_LOW;
    SSI_DR0 = READ_UNIQUE_ID;
    for (uint32_t i = 1; i < BYTES_BEFORE_ID + ID_BYTES; ++i) {
        SSI_DR0 = 0;
    }
    for (uint32_t i = 0; i < BYTES_BEFORE_ID + ID_BYTES; ++i) {
        while ((SSI_SR & SSI_SR_RX_NOT_EMPTY) == 0) {
        }
        const uint8_t byte = (uint8_t)SSI_DR0;
        if (i >= BYTES_BEFORE_ID) {
            id[i - BYTES_BEFORE_ID] = byte;
        }
    }
    QSPI_SS_CTRL = QSPI_SS_CTRL_HIGH;
    rom->flush_cache(); /* and gives the select line back to the interface */
    ((rom_function)((uintptr_t)rom->boot_stage | 1u))();
}

static bool read_id(volatile uint8_t *id)
{
    static struct rom_flash rom;
    rom.connect = rom_lookup(ROM_CODE('I', 'F'));
    rom.exit_xip = rom_lookup(ROM_CODE('E', 'X'));
    rom.flush_cache = rom_lookup(ROM_CODE('F', 'C'));
    if (rom.connect == NULL || rom.exit_xip == NULL || rom.flush_cache == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < BOOT_STAGE_WORDS; ++i) {
        rom.boot_stage[i] = linker_image_start[i];
    }
    void (*volatile in_ram)(const struct rom_flash *, volatile uint8_t *) =
        ask_flash; /* a far call */
    interrupts_mask();
    in_ram(&rom, id);
    interrupts_unmask();
    return true;
}

size_t platform_chip_id(uint8_t *id, size_t capacity)
{
    static volatile uint8_t flash_id[ID_BYTES];
    static bool known;
    if (!known && !read_id(flash_id)) {
        return 0;
    }
    known = true;
    const size_t size = capacity < ID_BYTES ? capacity : ID_BYTES;
    for (size_t i = 0; i < size; ++i) {
        id[i] = flash_id[i];
    }
    return size;
}

/* 2.8.3.1.3: no pin shows activity, both of the loader's interfaces are there. */
bool platform_reset_to_loader(void)
{
    const rom_function reset_to_usb_boot = rom_lookup(ROM_CODE('U', 'B'));
    if (reset_to_usb_boot == NULL) {
        return false;
    }
    ((void (*)(uint32_t, uint32_t))reset_to_usb_boot)(0, 0);
    return true;
}
