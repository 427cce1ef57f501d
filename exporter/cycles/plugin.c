/* A plugin for QEMU that adds up modelled cycles, by the model of docs/cycles.md.
 *
 *     -plugin file=cycles.so,core=cortex-m4,out=FILE,call=1a4,call=2f0
 *
 * For each call of a function whose hexadecimal address `call` names, a line is written to FILE when
 * the function has returned: its address, modelled cycles, and executed instructions, of everything
 * between the call and the return, callees and interrupt handlers included.
 *
 * A translation block runs from its first to its last instruction, so its instructions are timed once,
 * when QEMU translates it, and its sum is added when it is entered. Two things are known later only:
 * whether a conditional branch was taken, which shows in the block that follows; and whether an
 * instruction under IT was executed, which a load or store shows by its accesses. */
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "timing.h"

/* --- What is used of QEMU's plugin interface, version 1 (docs/devel/tcg-plugins) ------------- */

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;   /* a translation block */
struct qemu_plugin_insn; /* an instruction of one */
struct qemu_info_t;      /* what QEMU says of itself; not looked at */

enum { CALLBACK_WITHOUT_REGISTERS = 0, INLINE_ADD = 0, READ_OR_WRITE = 3 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t,
                                           void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *),
                                          int flags, void *data);
void qemu_plugin_register_vcpu_mem_inline(struct qemu_plugin_insn *, int direction, int operation,
                                          void *counter, uint64_t addend);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t, const struct qemu_info_t *, int, char **);

/* --- State ----------------------------------------------------------------------------------- */

enum { MAX_DEPTH = 64, MAX_SPLIT_BLOCKS = 4096 };

/* What is known of a translation block before it runs. */
struct block {
    uint64_t start, end; /* addresses of its first instruction and after its last */
    unsigned instructions, cycles;
    unsigned taken_cycles; /* of a conditional branch at its end */
    bool calls;            /* it ends with a call */
    bool is_watched;       /* a function of interest begins here */
    bool pipelines;        /* its first instruction saves a cycle directly after a load */
    uint16_t addresses;    /* the registers of that instruction's address */
    uint16_t loads;        /* what its last instruction loads, or 0 */
};

/* A call of a watched function that has not returned yet; the counts are those at its entry. */
struct call {
    uint64_t function, return_address, cycles, instructions;
};

static const struct core_costs *core;
static int out = -1;
static uint64_t *watched;
static size_t watched_count;
static uint64_t cycles, instructions;
static const struct block *previous;
static struct call calls[MAX_DEPTH];
static size_t depth;

/* IT blocks that QEMU split: where the rest begins, and how many instructions it has. */
static struct {
    uint64_t address;
    unsigned count;
} split_blocks[MAX_SPLIT_BLOCKS];
static size_t split_count;

static void fail(const char *what, const char *value)
{
    fprintf(stderr, "cycles: %s: %s\n", what, value);
    exit(1);
}

/* --- Translation ----------------------------------------------------------------------------- */

static bool is_watched(uint64_t address)
{
    for (size_t i = 0; i < watched_count; i++) {
        if (watched[i] == address) {
            return true;
        }
    }
    return false;
}

/* How many instructions from `address` belong to an IT block that began in another block. */
static unsigned rest_of_it_block(uint64_t address)
{
    for (size_t i = 0; i < split_count; i++) {
        if (split_blocks[i].address == address) {
            return split_blocks[i].count;
        }
    }
    return 0;
}

static void remember_rest_of_it_block(uint64_t address, unsigned count)
{
    if (count == 0 || rest_of_it_block(address) == count) {
        return;
    }
    if (split_count == MAX_SPLIT_BLOCKS) {
        fail("too many split IT blocks", "the image is larger than any foreseen");
    }
    split_blocks[split_count].address = address;
    split_blocks[split_count++].count = count;
}

static struct timing timing_of_instruction(const struct qemu_plugin_insn *instruction)
{
    const uint8_t *data = qemu_plugin_insn_data(instruction);
    const bool two = qemu_plugin_insn_size(instruction) == 4;
    return timing_of(core, (uint16_t)(data[0] | data[1] << 8),
                     two ? (uint16_t)(data[2] | data[3] << 8) : 0);
}

/* Under IT: one cycle where it is skipped, the rest by what it does where it is executed. Other
 * instructions of several cycles (MLA of the M3, divisions) count as if executed. */
static void make_conditional(struct timing *timing, struct qemu_plugin_insn *instruction)
{
    if (timing->kind == BRANCH) {
        timing->taken_cycles = (uint8_t)(timing->cycles - 1);
        timing->cycles = 1;
    } else if (timing->kind == MEMORY && timing->cycles > 1) {
        timing->cycles = 1;
        qemu_plugin_register_vcpu_mem_inline(instruction, READ_OR_WRITE, INLINE_ADD, &cycles, 1);
    }
}

/* Adds an instruction to `block`; `before` is the one before it in the block, or NULL. */
static struct timing add_instruction(struct block *block, const struct timing *before,
                                     struct qemu_plugin_insn *instruction, bool conditional)
{
    struct timing timing = timing_of_instruction(instruction);
    if (before && timing.pipelines && before->loads && !(before->loads & timing.addresses)) {
        timing.cycles--;
    } else if (!before && !conditional) {
        block->pipelines = timing.pipelines;
        block->addresses = timing.addresses;
    }
    if (conditional) {
        make_conditional(&timing, instruction);
    }
    block->cycles += timing.cycles;
    return timing;
}

static void block_entered(unsigned, void *);

static void block_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *translated)
{
    (void)id;
    struct block *block = calloc(1, sizeof *block);
    if (!block) {
        fail("no memory for", "a translation block");
    }
    struct timing last = {.kind = PLAIN};
    unsigned conditional_count = 0;
    block->instructions = (unsigned)qemu_plugin_tb_n_insns(translated);
    for (size_t i = 0; i < block->instructions; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(translated, i);
        const uint64_t address = qemu_plugin_insn_vaddr(instruction);
        if (i == 0) {
            block->start = address;
            conditional_count = rest_of_it_block(address);
        }
        last = add_instruction(block, i ? &last : NULL, instruction, conditional_count > 0);
        conditional_count -= conditional_count > 0;
        if (last.kind == IT_BLOCK) {
            conditional_count = last.conditional_count;
        }
        block->end = address + qemu_plugin_insn_size(instruction);
    }
    remember_rest_of_it_block(block->end, conditional_count);
    block->taken_cycles = last.taken_cycles;
    block->calls = last.calls;
    block->loads = last.loads;
    block->is_watched = is_watched(block->start);
    qemu_plugin_register_vcpu_tb_exec_cb(translated, block_entered, CALLBACK_WITHOUT_REGISTERS,
                                         block);
}

/* --- Execution ------------------------------------------------------------------------------- */

/* Written at once, not when QEMU ends: it is ended by a signal. */
static void report(const struct call *call)
{
    char line[80];
    const uint64_t spent = cycles - call->cycles, executed = instructions - call->instructions;
    const int size = snprintf(line, sizeof line, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n",
                              call->function, spent, executed);
    if (write(out, line, (size_t)size) != size) {
        fail("cannot write", line);
    }
}

/* What the end of the previous block cost more, or less, because this block follows it. */
static void settle(const struct block *block)
{
    if (previous->end != block->start) {
        cycles += previous->taken_cycles;
    } else if (block->pipelines && previous->loads && !(previous->loads & block->addresses)) {
        cycles--;
    }
}

static void block_entered(unsigned processor, void *data)
{
    (void)processor;
    const struct block *block = data;
    if (previous) {
        settle(block);
    }
    while (depth > 0 && calls[depth - 1].return_address == block->start) {
        report(&calls[--depth]);
    }
    if (block->is_watched && previous && previous->calls) {
        if (depth == MAX_DEPTH) { /* calls that a reset cut short */
            depth = 0;
        }
        calls[depth++] = (struct call){block->start, previous->end, cycles, instructions};
    }
    cycles += block->cycles;
    instructions += block->instructions;
    previous = block;
}

/* --- Start ----------------------------------------------------------------------------------- */

static void watch(const char *address)
{
    watched = realloc(watched, (watched_count + 1) * sizeof *watched);
    if (!watched) {
        fail("no memory for", address);
    }
    watched[watched_count++] = strtoull(address, NULL, 16);
}

/* The value of "name=value", or NULL where `argument` has another name. */
static const char *value_of(const char *argument, const char *name)
{
    const size_t size = strlen(name);
    return strncmp(argument, name, size) == 0 && argument[size] == '=' ? argument + size + 1 : NULL;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int count,
                               char **arguments)
{
    (void)info;
    for (int i = 0; i < count; i++) {
        const char *value;
        if ((value = value_of(arguments[i], "core"))) {
            core = core_costs_of(value);
        } else if ((value = value_of(arguments[i], "out"))) {
            out = open(value, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        } else if ((value = value_of(arguments[i], "call"))) {
            watch(value);
        } else {
            fail("unknown argument", arguments[i]);
        }
    }
    if (!core || out < 0) {
        fprintf(stderr, "cycles: core= names no modelled core, or out= no file to write\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
    return 0;
}
