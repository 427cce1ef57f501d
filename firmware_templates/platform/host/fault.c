/* A crash of the native process is a fault like a board's: recorded, reported after the restart. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <ucontext.h>
#endif

#include "host.h"

enum { SIGNAL_STACK_BYTES = 64 * 1024, STACK_REACH_BYTES = 64 * 1024 };

volatile uint32_t platform_step;

/* Where `address` is in the ELF file: the loader puts the image elsewhere each time. */
static uint32_t in_image(uint64_t address)
{
#ifdef __linux__
    extern const char __ehdr_start[]; /* defined by the linker, at 0 in the file */
    return (uint32_t)(address - (uint64_t)(uintptr_t)__ehdr_start);
#else
    return (uint32_t)address;
#endif
}

/* Fills in what the record tells of the registers; the whole stack pointer, 0 where it is not known. */
static uintptr_t read_registers(const void *signal_context, struct platform_fault *fault)
{
#if defined(__linux__) && defined(__x86_64__)
    const ucontext_t *const context = signal_context;
    fault->pc = in_image((uint64_t)context->uc_mcontext.gregs[REG_RIP]);
    fault->sp = (uint32_t)context->uc_mcontext.gregs[REG_RSP];
    static const int names[PLATFORM_FAULT_REGISTERS] = {
        REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP, REG_R8,
        REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_EFL};
    for (size_t i = 0; i < PLATFORM_FAULT_REGISTERS; i++) {
        fault->registers[i] = (uint32_t)context->uc_mcontext.gregs[names[i]];
    }
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#elif defined(__linux__) && defined(__aarch64__)
    const ucontext_t *const context = signal_context;
    fault->pc = in_image(context->uc_mcontext.pc);
    fault->lr = in_image(context->uc_mcontext.regs[30]);
    fault->sp = (uint32_t)context->uc_mcontext.sp;
    return (uintptr_t)context->uc_mcontext.sp;
#else
    (void)signal_context;
    (void)fault;
    (void)in_image;
    return 0;
#endif
}

/* The kernel lets the stack grow to its limit, and leaves a gap below: an access there which is near
 * the stack pointer is of the stack. */
static bool is_near_stack(uintptr_t address, uintptr_t sp)
{
    return sp != 0 && address - (sp - STACK_REACH_BYTES) < 2u * STACK_REACH_BYTES;
}

static void record_and_restart(int signal_number, siginfo_t *info, void *context)
{
    struct platform_fault fault = {
        .step = platform_step,
        .cause = (uint32_t)signal_number,
        .status = (uint32_t)info->si_code,
    };
    const uintptr_t sp = read_registers(context, &fault);
    if (signal_number == HOST_WATCHDOG_SIGNAL) {
        fault.reason = PLATFORM_WATCHDOG;
    } else {
        const uintptr_t address = (uintptr_t)info->si_addr;
        fault.address = (uint32_t)address;
        if (signal_number == SIGSEGV && is_near_stack(address, sp)) {
            fault.reason = PLATFORM_STACK_OVERFLOW;
        }
    }
    host_restart(&fault);
}

void host_fault_catch(void)
{
    static uint8_t signal_stack[SIGNAL_STACK_BYTES]; /* the main stack may have overflowed */
    const stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    sigaltstack(&stack, NULL);
    if (HOST_SANITIZED) {
        return; /* the sanitizer reports better, and a restart would hide what it found */
    }
    /* SA_NODEFER: the signal mask survives the restart, and the next crash has to be caught, too. */
    struct sigaction action = {.sa_sigaction = record_and_restart,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, HOST_WATCHDOG_SIGNAL};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], &action, NULL);
    }
}

static uint32_t hex_word(const char *digits)
{
    char word[HOST_HEX_DIGITS + 1] = {0};
    memcpy(word, digits, HOST_HEX_DIGITS);
    return (uint32_t)strtoul(word, NULL, 16);
}

const struct platform_fault *platform_last_fault(void)
{
    static struct platform_fault fault;
    const char *const record = host_inherited(HOST_FAULT_VARIABLE);
    uint32_t words[HOST_FAULT_WORDS];
    if (record == NULL || strlen(record) != HOST_FAULT_WORDS * HOST_HEX_DIGITS) {
        return NULL;
    }
    for (size_t i = 0; i < HOST_FAULT_WORDS; i++) {
        words[i] = hex_word(record + HOST_HEX_DIGITS * i);
    }
    memcpy(&fault, words, sizeof fault);
    return &fault;
}

void platform_forget_fault(void)
{
    unsetenv(HOST_FAULT_VARIABLE);
}

/* The pattern alone tells of writes next to the arena: it shares its pages with other data. */
void platform_guard(const void *start, uint32_t bytes)
{
    (void)start;
    (void)bytes;
}

void platform_guards_enforce(bool on)
{
    (void)on;
}
