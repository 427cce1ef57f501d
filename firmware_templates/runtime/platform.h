/* What a platform gives to an application: a serial port, a tick counter, a stack, a reset.
 *
 * Each platform family implements these functions in `platform/`; applications include nothing else
 * of it. All functions are called from the main thread, none from an interrupt. */
#ifndef NANO_PLATFORM_H
#define NANO_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Clocks, serial port, tick counter. Called once, first. */
void platform_init(void);

/* Takes up to `capacity` received bytes without waiting; returns how many. */
size_t platform_serial_read(uint8_t *data, size_t capacity);

/* Bytes of input that are kept without loss while nobody reads, as during an inference. */
uint32_t platform_serial_window(void);

/* Sends `size` bytes; returns when the last one has been handed to the hardware. */
void platform_serial_write(const uint8_t *data, size_t size);

/* Sleeps until there is something to read, or returns early. */
void platform_idle(void);

/* A counter that never wraps, and how often it counts per second. */
uint64_t platform_ticks(void);
uint32_t platform_ticks_hz(void);

/* Executes `instructions` instructions, exact to a dozen, so that the host can relate ticks to
 * instructions. Returns false where the platform cannot: ticks are then time and nothing else. */
bool platform_spin(uint32_t instructions);

/* A timer that calls `handler` in an interrupt every `period_us`, from one period after its start on.
 * The longest period is 0 where the board has no timer; period_us is from 1 to that. */
uint32_t platform_timer_longest_us(void);
void platform_timer_start(uint32_t period_us, void (*handler)(void));
void platform_timer_stop(void);

/* Fills the unused part of the stack with a pattern; then, how many bytes below the frame of the
 * caller of platform_stack_paint were overwritten since. Interrupts do not count: they may be masked
 * between the two, so that nothing is received there, and platform_ticks is right for a few hundred
 * milliseconds only. Every paint is followed by a used. */
void platform_stack_paint(void);
uint32_t platform_stack_used(void);

/* Unless it is stopped within `milliseconds`, the watchdog records a fault, with the registers of what
 * ran, and resets. Works while interrupts are masked. Does nothing where the platform has none, or none
 * that counts so long. */
void platform_watchdog_start(uint32_t milliseconds);
void platform_watchdog_stop(void);

/* Bytes of the loaded image: code, constants and initial values of data. Then, whether they can be
 * read as they were loaded, and from where on: that may be address 0. */
uint32_t platform_image_bytes(void);
bool platform_image(const uint8_t **start);

/* The GNU build id of this ELF file, which the linker left in the image, and its size; 0 where there
 * is none. */
size_t platform_elf_build_id(const uint8_t **id);

/* The number that the maker gave to this very chip; writes up to `capacity` bytes of it and returns
 * how many. 0 where chips have none. */
size_t platform_chip_id(uint8_t *id, size_t capacity);

/* Resets into the boot loader that the chip has in ROM, or that was put there; false, and nothing
 * happens, where it has none. */
bool platform_reset_to_loader(void);

/* A number that differs from boot to boot. */
uint32_t platform_boot_nonce(void);

/* Names a guard, [start, start + bytes) next to the arena; called twice after boot. While the guards are
 * enforced a store there is a fault that tells its place, as finely as the core can, and what it cannot
 * cover stays as it is. Reads are always allowed. */
void platform_guard(const void *start, uint32_t bytes);
void platform_guards_enforce(bool on);

/* What ended the boot before this one. Words, so that a record can be carried as an array of them. */
enum { PLATFORM_FAULT_REGISTERS = 16, PLATFORM_FAULT_CALLERS = 8 };
enum platform_fault_reason {
    PLATFORM_FAULT = 0,
    PLATFORM_STACK_OVERFLOW = 1,
    PLATFORM_ARENA_OVERRUN = 2,
    PLATFORM_WATCHDOG = 3,
};
struct platform_fault {
    uint32_t reason;     /* enum platform_fault_reason */
    uint32_t step;       /* platform_step as it was */
    uint32_t cause;      /* exception number (Arm), mcause (RISC-V) or signal */
    uint32_t status;     /* CFSR (Arm), 0 or si_code */
    uint32_t address;    /* that of the access (Arm), mtval (RISC-V) or si_addr */
    uint32_t pc;         /* 0 where the core could not save it, as the following */
    uint32_t lr;
    uint32_t sp;
    uint32_t registers[PLATFORM_FAULT_REGISTERS];      /* PROTOCOL.md, TAKE_FAULT, names them */
    uint32_t
        callers[PLATFORM_FAULT_CALLERS]; /* return addresses on the stack, the last call first */
};

/* The record, which survives the reset; NULL where there is none. Then, that it has been told. */
const struct platform_fault *platform_last_fault(void);
void platform_forget_fault(void);

/* For the record: the step of the model that runs, from 1 on; 0 where that is not known. */
extern volatile uint32_t platform_step;

_Noreturn void platform_reset(void);

#endif
