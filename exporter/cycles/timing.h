/* How long an instruction takes: the cycle model of docs/cycles.md, without a processor.
 *
 * Times are cycles at zero wait states. A time that depends on what runs before or after is given by
 * its parts, and whoever follows the execution adds them up: see `struct timing`. */
#ifndef NANO_CYCLES_TIMING_H
#define NANO_CYCLES_TIMING_H

#include <stdbool.h>
#include <stdint.h>

/* The costs that differ between cores, in cycles. P is the refill of the pipeline. */
struct core_costs {
    const char *name;
    uint8_t refill;             /* P of a branch that is taken */
    uint8_t call_refill;        /* P of BL with an immediate */
    uint8_t pop_refill;         /* P of POP with PC */
    uint8_t single;             /* LDR, and STR with a register offset */
    uint8_t store_immediate;    /* STR with an immediate offset */
    bool pipelines;             /* whether a load or store overlaps the load before it */
    uint8_t multiply_add;       /* MLA, MLS */
    uint8_t multiply_long;      /* SMULL, UMULL */
    uint8_t multiply_add_long;  /* SMLAL, UMLAL and their kin */
    uint8_t divide;             /* SDIV, UDIV */
    uint8_t special;            /* MRS, MSR */
    uint8_t change_state;       /* CPSID, CPSIE */
    uint8_t barrier;            /* DMB, DSB */
    uint8_t instruction_barrier;
    uint8_t wait;               /* WFI, WFE, without the wait itself */
};

enum instruction_kind {
    PLAIN,
    MEMORY, /* loads and stores of core registers that do not branch */
    BRANCH, /* changes the flow where it is executed */
    CONDITIONAL_BRANCH,
    IT_BLOCK,
};

struct timing {
    enum instruction_kind kind;
    uint8_t cycles;             /* a conditional branch: not taken; a load: not pipelined */
    uint8_t taken_cycles;       /* what a conditional branch takes more when it is taken */
    uint8_t conditional_count;  /* IT: how many instructions it makes conditional */
    bool calls;                 /* BL, BLX: the next address is where the callee returns to */
    bool pipelines;             /* one cycle less directly after a load that allows it */
    uint16_t loads;             /* bit r: core register r is what a single load fetches */
    uint16_t addresses;         /* bit r: the address is made from core register r */
};

/* The costs of a core by its name ("cortex-m4"); NULL where there is no model. */
const struct core_costs *core_costs_of(const char *name);

/* The timing of one Thumb instruction: its first halfword, and its second or 0. */
struct timing timing_of(const struct core_costs *core, uint16_t first, uint16_t second);

/* Whether the instruction that begins with `first` has a second halfword. */
bool is_wide(uint16_t first);

#endif
