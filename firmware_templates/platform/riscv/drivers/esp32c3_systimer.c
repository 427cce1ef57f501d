/* Time: counter 0 of the system timer, which runs from reset on. ESP32-C3 Technical Reference Manual,
 * v1.0, chapter 10. Its 52 bits of 1/16 us last nine years. */
#include "board.h"
#include "interrupts.h"
#include "platform.h"
#include "registers.h"

#define UNIT0_OP REGISTER(BOARD_TICKS_BASE + 0x04u)
#define UNIT0_OP_UPDATE (1u << 30)
#define UNIT0_OP_VALID (1u << 29)
#define UNIT0_VALUE_HI REGISTER(BOARD_TICKS_BASE + 0x40u)
#define UNIT0_VALUE_LO REGISTER(BOARD_TICKS_BASE + 0x44u)

/* The value comes within a count, ten clocks of the core. */
enum { UPDATE_ROUNDS = 1000 };

void ticks_init(void)
{
}

/* 10.5.1: the update latches both halves. */
uint64_t platform_ticks(void)
{
    UNIT0_OP = UNIT0_OP_UPDATE;
    for (uint32_t round = 0; (UNIT0_OP & UNIT0_OP_VALID) == 0 && round < UPDATE_ROUNDS; round++) {
    }
    return (uint64_t)UNIT0_VALUE_HI << 32 | UNIT0_VALUE_LO;
}

uint32_t platform_ticks_hz(void)
{
    return BOARD_TICKS_HZ;
}
