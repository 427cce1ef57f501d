/* A crash of the native process is a fault like a board's: recorded, reported after the restart. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <ucontext.h>
#endif

#include "host.h"

enum { FAULT_WORDS = 6, HEX_DIGITS = 8, SIGNAL_STACK_BYTES = 64 * 1024 };

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

static void read_registers(const void *signal_context, struct platform_fault *fault)
{
#if defined(__linux__) && defined(__x86_64__)
    const ucontext_t *const context = signal_context;
    fault->pc = in_image((uint64_t)context->uc_mcontext.gregs[REG_RIP]);
    fault->sp = (uint32_t)context->uc_mcontext.gregs[REG_RSP];
#elif defined(__linux__) && defined(__aarch64__)
    const ucontext_t *const context = signal_context;
    fault->pc = in_image(context->uc_mcontext.pc);
    fault->lr = in_image(context->uc_mcontext.regs[30]);
    fault->sp = (uint32_t)context->uc_mcontext.sp;
#else
    (void)signal_context;
    (void)fault;
    (void)in_image;
#endif
}

static void record_and_restart(int signal_number, siginfo_t *info, void *context)
{
    struct platform_fault fault = {
        .cause = (uint32_t)signal_number,
        .status = (uint32_t)info->si_code,
        .address = (uint32_t)(uintptr_t)info->si_addr,
    };
    read_registers(context, &fault);
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
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], &action, NULL);
    }
}

static uint32_t hex_word(const char *digits)
{
    char word[HEX_DIGITS + 1] = {0};
    memcpy(word, digits, HEX_DIGITS);
    return (uint32_t)strtoul(word, NULL, 16);
}

bool platform_take_fault(struct platform_fault *fault)
{
    const char *const record = host_inherited(HOST_FAULT_VARIABLE);
    if (record == NULL || strlen(record) != FAULT_WORDS * HEX_DIGITS) {
        return false;
    }
    fault->cause = hex_word(record);
    fault->status = hex_word(record + HEX_DIGITS);
    fault->address = hex_word(record + 2 * HEX_DIGITS);
    fault->pc = hex_word(record + 3 * HEX_DIGITS);
    fault->lr = hex_word(record + 4 * HEX_DIGITS);
    fault->sp = hex_word(record + 5 * HEX_DIGITS);
    unsetenv(HOST_FAULT_VARIABLE);
    return true;
}
