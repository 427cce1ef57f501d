/* Physical memory protection: what lies next to the stack and next to the arena is out of bounds.
 *
 * Entries come in pairs, start and end; the one with the lowest number decides. Those of the stack are
 * locked, which binds machine mode. Those of the arena are not, as the start-up code has to clear the
 * memory there and a lock may outlast a reset (in QEMU 7.2 it does): a run is bound by them because its
 * loads and stores are made with the rights of user mode (MPRV, 3.1.6.3). */
#include "arena_guards.h"
#include "interrupts.h"
#include "linker_symbols.h"
#include "platform.h"
#include "registers.h"

/* Below the guard that the linker leaves, for frames that reach over it. */
enum { BELOW_STACK_BYTES = 4096 };

static uint32_t below_stack(void)
{
    return (uint32_t)(uintptr_t)linker_stack_guard - BELOW_STACK_BYTES;
}

/* No access at all: an overflow faults. */
void guard_stack(void)
{
    CSR_WRITE(pmpaddr0, below_stack() / 4u);
    CSR_WRITE(pmpaddr1, (uint32_t)(uintptr_t)linker_stack_bottom / 4u);
    CSR_SET(pmpcfg0, PMPCFG(1, PMPCFG_LOCKED | PMPCFG_TOP_OF_RANGE));
}

/* The least that a range may begin and end on: an entry that is off has all ones for it (3.7.1). */
uint32_t guard_block_bytes(void)
{
    CSR_CLEAR(pmpcfg0, PMPCFG(2, 0xFFu) | PMPCFG(3, 0xFFu));
    CSR_WRITE(pmpaddr2, UINT32_MAX);
    const uint32_t ones = CSR_READ(pmpaddr2);
    return 4u * (ones & (0u - ones));
}

/* Entries 2 to 5 are the guards, entry 6 is all of memory, which user mode may access otherwise. A trap
 * is served with the rights of machine mode, and its return brings those of the run back. */
static void enforce(void)
{
    const uint32_t read_only = PMPCFG_TOP_OF_RANGE | PMPCFG_READ;
    CSR_WRITE(pmpaddr2, arena_guards[0].start / 4u);
    CSR_WRITE(pmpaddr3, arena_guards[0].end / 4u);
    CSR_WRITE(pmpaddr4, arena_guards[1].start / 4u);
    CSR_WRITE(pmpaddr5, arena_guards[1].end / 4u);
    CSR_WRITE(pmpaddr6, UINT32_MAX);
    CSR_SET(pmpcfg0, PMPCFG(3, read_only));
    CSR_WRITE(pmpcfg1, PMPCFG(1, read_only) | PMPCFG(2, PMPCFG_NAPOT | PMPCFG_READ | PMPCFG_WRITE));
    CSR_CLEAR(mstatus, MSTATUS_MPP);
    CSR_SET(mstatus, MSTATUS_MPRV);
}

/* The entries go off, too: an emulator looks at each access to a page that has a part of one. */
void platform_guards_enforce(bool on)
{
    if (on && arena_guard_count != 0) {
        enforce();
    } else {
        CSR_CLEAR(mstatus, MSTATUS_MPRV);
        CSR_CLEAR(pmpcfg0, PMPCFG(3, 0xFFu));
        CSR_WRITE(pmpcfg1, 0);
    }
}

bool guard_is_below_stack(uint32_t address)
{
    return address >= below_stack() && address < (uintptr_t)linker_stack_bottom;
}
