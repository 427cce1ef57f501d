/* Nordic's nRF51 and nRF52: the chip's number, and the way into a boot loader that was put there. */
#include <string.h>

#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

/* Given in the factory: nRF51 Series Reference Manual v3.0 and nRF52840 Product Specification v1.1,
 * chapters FICR. */
#define FICR_DEVICEID(n) REGISTER(0x10000060u + 4u * (n))

/* Survives a reset from software: chapters POWER. */
#define POWER_GPREGRET REGISTER(0x4000051Cu)

#ifdef BOARD_CHIP_APPROTECT

#define UICR_APPROTECT REGISTER(0x10001208u)
#define UICR_APPROTECT_PALL 0xFFu
#define APPROTECT_DISABLE REGISTER(BOARD_CHIP_APPROTECT + 0x558u)
#define PROTECTION_OFF 0x5Au /* in both */

/* Later revisions of the nRF52 close the debug port at each reset, and open it when both the UICR and the
 * firmware say so (nRF52840 Product Specification v1.7, chapter Debug and trace, Access port protection).
 * Earlier ones know no such value in the UICR, nor the register. What the UICR says stays as it is. */
void chip_at_reset(void)
{
    if ((UICR_APPROTECT & UICR_APPROTECT_PALL) == PROTECTION_OFF) {
        APPROTECT_DISABLE = PROTECTION_OFF;
    }
}

#endif

size_t platform_chip_id(uint8_t *id, size_t capacity)
{
    const uint32_t words[2] = {FICR_DEVICEID(0), FICR_DEVICEID(1)};
    const size_t size = capacity < sizeof words ? capacity : sizeof words;
    memcpy(id, words, size);
    return size;
}

#ifndef BOARD_LOADER_REQUEST /* else own_loader.c knows the way */
bool platform_reset_to_loader(void)
{
#ifdef BOARD_CHIP_LOADER_REQUEST
    POWER_GPREGRET = BOARD_CHIP_LOADER_REQUEST;
    platform_reset();
#else
    return false;
#endif
}
#endif
