/* Flash of the nRF51 series: the non-volatile memory controller, nRF51 Series Reference Manual v3.0,
 * chapter NVMC. The core stands still while the flash works. */
#include "flash.h"
#include "layout.h"
#include "registers.h"

#define NVMC_READY REGISTER(LOADER_NVMC + 0x400u)
#define NVMC_CONFIG REGISTER(LOADER_NVMC + 0x504u)
#define NVMC_CONFIG_READ 0u
#define NVMC_CONFIG_WRITE 1u
#define NVMC_CONFIG_ERASE 2u
#define NVMC_ERASEPAGE REGISTER(LOADER_NVMC + 0x508u)

#define ERASED_WORD 0xFFFFFFFFu

/* 100 ms at least, a round being four clocks or more; an erase takes a quarter of that (nRF51822 Product
 * Specification v3.1, NVMC). */
#define READY_ROUNDS 400000u

static bool is_ready(void)
{
    for (uint32_t i = 0; i < READY_ROUNDS; i++) {
        if (NVMC_READY != 0) {
            return true;
        }
    }
    return false;
}

static bool leave(void)
{
    const bool ready = is_ready();
    NVMC_CONFIG = NVMC_CONFIG_READ;
    return ready;
}

const uint8_t *flash_at(uint32_t address)
{
    return (const uint8_t *)(uintptr_t)address;
}

bool flash_erase_page(uint32_t address)
{
    NVMC_CONFIG = NVMC_CONFIG_ERASE;
    NVMC_ERASEPAGE = address;
    bool erased = leave();
    for (uint32_t offset = 0; offset < FLASH_PAGE_BYTES; offset += sizeof(uint32_t)) {
        erased = erased && REGISTER(address + offset) == ERASED_WORD;
    }
    return erased;
}

bool flash_write_word(uint32_t address, uint32_t value)
{
    NVMC_CONFIG = NVMC_CONFIG_WRITE;
    REGISTER(address) = value;
    return leave() && REGISTER(address) == value;
}
