/* Flash, as a driver of drivers/ gives it. NOR: an erase sets the bits of a page, a write clears bits. */
#ifndef BOOT_FLASH_H
#define BOOT_FLASH_H

#include <stdbool.h>
#include <stdint.h>

/* The bytes at an address of the flash, to be read. */
const uint8_t *flash_at(uint32_t address);

/* Each returns whether the flash now reads as it should. `address` is that of a page, or of a word. */
bool flash_erase_page(uint32_t address);
bool flash_write_word(uint32_t address, uint32_t word);

#endif
