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

/* Fills the unused part of the stack with a pattern; then, how many bytes below the frame of the
 * caller of platform_stack_paint were overwritten since. Interrupts do not count: they may be masked
 * between the two, so that nothing is received there, and platform_ticks is right for a few hundred
 * milliseconds only. Every paint is followed by a used. */
void platform_stack_paint(void);
uint32_t platform_stack_used(void);

/* Bytes of the loaded image: code, constants and initial values of data. Then, whether they can be
 * read as they were loaded, and from where on: that may be address 0. */
uint32_t platform_image_bytes(void);
bool platform_image(const uint8_t **start);

/* A number that differs from boot to boot. */
uint32_t platform_boot_nonce(void);

/* The last fault before this boot, if any: survives the reset, cleared by reading. */
struct platform_fault {
    uint32_t cause;      /* exception number (Arm) or mcause (RISC-V) */
    uint32_t status;     /* CFSR (Arm) or 0 */
    uint32_t address;    /* BFAR/MMFAR (Arm) or mtval (RISC-V) */
    uint32_t pc;
    uint32_t lr;
    uint32_t sp;
};
bool platform_take_fault(struct platform_fault *fault);

_Noreturn void platform_reset(void);

#endif
