/* What the ROM of an ESP32-C3 of revision 3 or later looks for at the start of the flash: it maps all of
 * the flash then, and jumps behind these words. Espressif, esp32c3-direct-boot-example, README. */
#include <stdint.h>

__attribute__((used, section(".boot_block"))) static const uint32_t direct_boot[] = {
    0xAEDB041Du,
    0xAEDB041Du,
};
