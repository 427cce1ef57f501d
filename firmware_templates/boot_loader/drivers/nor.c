/* RAM that stands for NOR flash, held to its rules here: an erase sets a page to ones, a write can only
 * clear bits, and whoever asks for more finds that the word does not read as it should. */
#include "flash.h"
#include "layout.h"

#define ERASED_WORD 0xFFFFFFFFu

static volatile uint32_t *word(uint32_t address)
{
    return (volatile uint32_t *)(uintptr_t)address;
}

const uint8_t *flash_at(uint32_t address)
{
    return (const uint8_t *)(uintptr_t)address;
}

bool flash_erase_page(uint32_t address)
{
    for (uint32_t offset = 0; offset < FLASH_PAGE_BYTES; offset += sizeof(uint32_t)) {
        *word(address + offset) = ERASED_WORD;
    }
    return true;
}

bool flash_write_word(uint32_t address, uint32_t value)
{
    *word(address) &= value;
    return *word(address) == value;
}
