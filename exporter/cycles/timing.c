/* The decoder of the cycle model. Encodings: Armv7-M Architecture Reference Manual (DDI 0403E),
 * chapter A5. Times: docs/cycles.md, which names table and section for each. */
#include "timing.h"

#include <stddef.h>
#include <string.h>

enum { SP = 13, PC = 15 };

static const struct core_costs CORES[] = {
    {
        .name = "cortex-m3",
        .refill = 2,
        .call_refill = 2,
        .pop_refill = 2,
        .single = 2,
        .store_immediate = 1,
        .pipelines = true,
        .multiply_add = 2,
        .multiply_long = 5,
        .multiply_add_long = 7,
        .divide = 12,
        .special = 2,
        .change_state = 2,
        .barrier = 1,
        .instruction_barrier = 3,
        .wait = 1,
    },
    {
        .name = "cortex-m4",
        .refill = 2,
        .call_refill = 2,
        .pop_refill = 2,
        .single = 2,
        .store_immediate = 1,
        .pipelines = true,
        .multiply_add = 1,
        .multiply_long = 1,
        .multiply_add_long = 1,
        .divide = 12,
        .special = 2,
        .change_state = 2,
        .barrier = 1,
        .instruction_barrier = 3,
        .wait = 1,
    },
    {
        .name = "cortex-m0plus",
        .refill = 1,
        .call_refill = 2,
        .pop_refill = 2,
        .single = 2,
        .store_immediate = 2,
        .pipelines = false,
        .multiply_add = 1,
        .multiply_long = 1,
        .multiply_add_long = 1,
        .divide = 1,
        .special = 3,
        .change_state = 1,
        .barrier = 3,
        .instruction_barrier = 3,
        .wait = 2,
    },
};

const struct core_costs *core_costs_of(const char *name)
{
    for (size_t i = 0; i < sizeof CORES / sizeof CORES[0]; i++) {
        if (strcmp(CORES[i].name, name) == 0) {
            return &CORES[i];
        }
    }
    return NULL;
}

bool is_wide(uint16_t first)
{
    return first >> 11 >= 0x1D;
}

/* `count` bits of `word` from bit `low`. */
static unsigned bits(unsigned word, unsigned low, unsigned count)
{
    return word >> low & ((1u << count) - 1u);
}

static unsigned ones(unsigned word)
{
    return (unsigned)__builtin_popcount(word);
}

static uint16_t register_bit(unsigned number)
{
    return (uint16_t)(1u << number);
}

static struct timing plain(unsigned cycles)
{
    return (struct timing){.kind = PLAIN, .cycles = (uint8_t)cycles};
}

static struct timing memory(unsigned cycles)
{
    return (struct timing){.kind = MEMORY, .cycles = (uint8_t)cycles};
}

static struct timing branch(unsigned cycles)
{
    return (struct timing){.kind = BRANCH, .cycles = (uint8_t)cycles};
}

static struct timing call(unsigned cycles)
{
    return (struct timing){.kind = BRANCH, .cycles = (uint8_t)cycles, .calls = true};
}

static struct timing conditional_branch(const struct core_costs *core)
{
    return (struct timing){.kind = CONDITIONAL_BRANCH, .cycles = 1, .taken_cycles = core->refill};
}

static struct timing load(const struct core_costs *core, unsigned target, unsigned addresses)
{
    if (target == PC) {
        return branch(core->single + core->refill);
    }
    struct timing timing = memory(core->single);
    timing.pipelines = core->pipelines;
    timing.loads = core->pipelines ? register_bit(target) : 0;
    timing.addresses = (uint16_t)addresses;
    return timing;
}

static struct timing store_immediate(const struct core_costs *core)
{
    return memory(core->store_immediate);
}

static struct timing store_register(const struct core_costs *core, unsigned addresses)
{
    struct timing timing = memory(core->single);
    timing.pipelines = core->pipelines;
    timing.addresses = (uint16_t)addresses;
    return timing;
}

/* LDM, STM, PUSH, POP: 1 + N, and the refill where one of the N loads PC. */
static struct timing multiple(unsigned registers, bool loads, unsigned refill)
{
    const unsigned cycles = 1 + ones(registers);
    return loads && bits(registers, PC, 1) ? branch(cycles + refill) : memory(cycles);
}

/* --- 16 bits -------------------------------------------------------------------------------- */

/* 010001: ADD, CMP, MOV with high registers; BX, BLX. */
static struct timing high_registers(const struct core_costs *core, unsigned word)
{
    const unsigned operation = bits(word, 8, 2);
    if (operation == 3) {
        return bits(word, 7, 1) ? call(1 + core->refill) : branch(1 + core->refill);
    }
    const unsigned target = bits(word, 0, 3) | bits(word, 7, 1) << 3;
    return operation != 1 && target == PC ? branch(1 + core->refill) : plain(1);
}

/* 0101: loads and stores with a register offset. */
static struct timing narrow_register_offset(const struct core_costs *core, unsigned word)
{
    const unsigned addresses = register_bit(bits(word, 3, 3)) | register_bit(bits(word, 6, 3));
    return bits(word, 9, 3) < 3 ? store_register(core, addresses)
                                : load(core, bits(word, 0, 3), addresses);
}

/* 011, 1000, 1001: loads and stores with an immediate offset from a low register or SP. */
static struct timing narrow_immediate_offset(const struct core_costs *core, unsigned word)
{
    const bool from_stack = bits(word, 12, 4) == 9;
    if (!bits(word, 11, 1)) {
        return store_immediate(core);
    }
    return load(core, from_stack ? bits(word, 8, 3) : bits(word, 0, 3),
                register_bit(from_stack ? SP : bits(word, 3, 3)));
}

/* 10111111: IT, or a hint. */
static struct timing hint(const struct core_costs *core, unsigned word)
{
    const unsigned mask = bits(word, 0, 4), number = bits(word, 4, 4);
    if (mask != 0) {
        struct timing timing = {.kind = IT_BLOCK, .cycles = 1};
        timing.conditional_count = (uint8_t)(4 - __builtin_ctz(mask));
        return timing;
    }
    return plain(number == 2 || number == 3 ? core->wait : 1);
}

/* 1011: the stack, compare and branch, and the rest. */
static struct timing miscellaneous(const struct core_costs *core, unsigned word)
{
    if ((word & 0xF500) == 0xB100) { /* CBZ, CBNZ */
        return conditional_branch(core);
    }
    switch (bits(word, 8, 4)) {
    case 0x4: /* PUSH; bit 8 is LR */
    case 0x5:
        return multiple(bits(word, 0, 9), false, 0);
    case 0xC: /* POP; bit 8 is PC */
    case 0xD:
        return multiple(bits(word, 0, 8) | bits(word, 8, 1) << PC, true, core->pop_refill);
    case 0x6:
        return plain(bits(word, 5, 3) == 3 ? core->change_state : 1);
    case 0xF:
        return hint(core, word);
    default:
        return plain(1);
    }
}

static struct timing narrow(const struct core_costs *core, unsigned word)
{
    switch (bits(word, 12, 4)) {
    case 0x4:
        if (bits(word, 11, 1)) { /* the address is PC's: no load makes it wait */
            return load(core, bits(word, 8, 3), 0);
        }
        return bits(word, 10, 1) ? high_registers(core, word) : plain(1);
    case 0x5:
        return narrow_register_offset(core, word);
    case 0x6:
    case 0x7:
    case 0x8:
    case 0x9:
        return narrow_immediate_offset(core, word);
    case 0xB:
        return miscellaneous(core, word);
    case 0xC:
        return multiple(bits(word, 0, 8), bits(word, 11, 1), 0);
    case 0xD: /* conditions 14 and 15 are UDF and SVC */
        return bits(word, 8, 4) < 14 ? conditional_branch(core) : plain(1);
    case 0xE:
        return branch(1 + core->refill);
    default:
        return plain(1);
    }
}

/* --- 32 bits -------------------------------------------------------------------------------- */

/* 1110100xx1: LDRD, STRD, exclusives, table branches. */
static struct timing dual_or_table(const struct core_costs *core, unsigned first, unsigned second)
{
    const bool loads = bits(first, 4, 1);
    const unsigned addresses = register_bit(bits(first, 0, 4)), target = bits(second, 12, 4);
    if (bits(first, 5, 1) || bits(first, 8, 1)) {
        return memory(3);
    }
    if (!bits(first, 7, 1)) { /* LDREX, STREX: timed as loads, one as the other */
        return load(core, loads ? target : bits(second, 8, 4), addresses);
    }
    if (bits(second, 6, 1)) { /* those of bytes and halfwords */
        return load(core, loads ? target : bits(second, 0, 4), addresses);
    }
    return branch(2 + core->refill); /* TBB, TBH */
}

/* 1111100: loads and stores of a byte, a halfword or a word. */
static struct timing wide_single(const struct core_costs *core, unsigned first, unsigned second)
{
    const unsigned base = bits(first, 0, 4), target = bits(second, 12, 4), size = bits(first, 5, 2);
    const bool literal = base == PC, long_immediate = bits(first, 7, 1);
    const bool by_register = !literal && !long_immediate && !bits(second, 11, 1);
    unsigned addresses = literal ? 0 : register_bit(base);
    if (by_register) {
        addresses |= register_bit(bits(second, 0, 4));
    }
    if (!bits(first, 4, 1)) {
        return by_register ? store_register(core, addresses) : store_immediate(core);
    }
    if (target == PC && size != 2) { /* PLD, PLI */
        return plain(1);
    }
    return load(core, target, addresses);
}

/* 111110110: MUL, MLA, MLS, and the DSP extension's multiplications. */
static struct timing multiply(const struct core_costs *core, unsigned first, unsigned second)
{
    const bool accumulates = bits(first, 4, 3) == 0 && bits(second, 12, 4) != PC;
    return plain(accumulates ? core->multiply_add : 1);
}

/* 111110111: long multiplications and divisions. */
static struct timing multiply_long(const struct core_costs *core, unsigned first)
{
    switch (bits(first, 4, 3)) {
    case 0:
    case 2:
        return plain(core->multiply_long);
    case 1:
    case 3:
        return plain(core->divide);
    default:
        return plain(core->multiply_add_long);
    }
}

/* 11110, second halfword from bit 15: branches and system control. */
static struct timing branch_or_control(const struct core_costs *core, unsigned first,
                                       unsigned second)
{
    if (bits(second, 12, 1)) {
        return bits(second, 14, 1) ? call(1 + core->call_refill) : branch(1 + core->refill);
    }
    if (bits(second, 14, 1)) { /* UDF */
        return plain(1);
    }
    if (bits(first, 7, 3) != 7) {
        return conditional_branch(core);
    }
    switch (bits(first, 4, 3)) {
    case 3: /* 0110 is ISB, 0100 and 0101 are DSB and DMB */
        return plain(bits(second, 4, 4) == 6 ? core->instruction_barrier : core->barrier);
    case 2:
        return plain(1);
    default:
        return plain(core->special);
    }
}

/* VADD and so on: 111011100, bit 4 of the second halfword clear. */
static struct timing float_processing(unsigned first, unsigned second)
{
    switch (bits(first, 4, 4) & 0xB) {
    case 0x0: /* VMLA, VMLS */
    case 0x1: /* VNMLA, VNMLS */
    case 0x9: /* VFNMA, VFNMS */
    case 0xA: /* VFMA, VFMS */
        return plain(3);
    case 0x8: /* VDIV */
        return plain(14);
    case 0xB: /* one of the others is VSQRT */
        return plain(bits(first, 0, 4) == 1 && bits(second, 6, 2) == 3 ? 14 : 1);
    default:
        return plain(1);
    }
}

/* The floating-point unit: coprocessors 10 (single) and 11 (double). */
static struct timing coprocessor(unsigned first, unsigned second)
{
    if (bits(second, 9, 3) != 5) {
        return plain(1);
    }
    if (bits(first, 8, 2) == 2) {
        return bits(second, 4, 1) ? plain(1) : float_processing(first, second);
    }
    if (bits(first, 5, 5) == 2) { /* VMOV of two core registers */
        return plain(2);
    }
    if (bits(first, 8, 1) && !bits(first, 5, 1)) { /* VLDR, VSTR */
        return plain(bits(second, 8, 1) ? 3 : 2);
    }
    return plain(1 + bits(second, 0, 8)); /* VLDM, VSTM: the immediate counts words */
}

static struct timing wide(const struct core_costs *core, unsigned first, unsigned second)
{
    const unsigned group = bits(first, 11, 2), operation = bits(first, 4, 7);
    if (group == 2) {
        return bits(second, 15, 1) ? branch_or_control(core, first, second) : plain(1);
    }
    if (operation & 0x40) {
        return coprocessor(first, second);
    }
    if (group == 1) {
        if (operation & 0x20) { /* data processing, shifted register */
            return plain(1);
        }
        return operation & 0x04 ? dual_or_table(core, first, second)
                                : multiple(second, bits(first, 4, 1), core->pop_refill);
    }
    if (!(operation & 0x20)) {
        return wide_single(core, first, second);
    }
    if (!(operation & 0x10)) { /* data processing, register */
        return plain(1);
    }
    return operation & 0x08 ? multiply_long(core, first) : multiply(core, first, second);
}

struct timing timing_of(const struct core_costs *core, uint16_t first, uint16_t second)
{
    return is_wide(first) ? wide(core, first, second) : narrow(core, first);
}
