/* Clock, stack, image and identity of a native process. */
#define _DEFAULT_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <elf.h>
#if __SIZEOF_POINTER__ == 8
typedef Elf64_Ehdr elf_header;
typedef Elf64_Phdr elf_segment;
#else
typedef Elf32_Ehdr elf_header;
typedef Elf32_Phdr elf_segment;
#endif
extern const uint8_t __ehdr_start[]; /* defined by the linker: the start of the image */
#endif

#include "host.h"

enum { STACK_PATTERN = 0x5C, STACK_PAINTED_BYTES = 96 * 1024 };

static pid_t parent;

/* Ends with the process that started it, however long the model runs. */
static void look_for_parent(int signal_number)
{
    (void)signal_number;
    if (getppid() != parent) {
        _exit(0);
    }
}

static void watch_parent(void)
{
    parent = getppid();
    struct sigaction action = {.sa_handler = look_for_parent, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    const struct itimerval every_second = {{1, 0}, {1, 0}};
    setitimer(ITIMER_REAL, &every_second, NULL);
}

void platform_init(void)
{
    host_fault_catch(); /* first: it sets up the stack that signal handlers run on */
    watch_parent();
    host_serial_open();
}

uint64_t platform_ticks(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint32_t platform_ticks_hz(void)
{
    return 1000000000u;
}

bool platform_spin(uint32_t instructions)
{
    (void)instructions; /* ticks are nanoseconds: they say nothing about instructions */
    return false;
}

uint32_t platform_boot_nonce(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t mixed =
        ((uint64_t)now.tv_sec << 30 ^ (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 40) *
        0x9E3779B97F4A7C15u;
    return (uint32_t)(mixed >> 32);
}

/* The painted stack: from `stack_low` to the frame of the caller of platform_stack_paint. */
static uintptr_t stack_low, stack_top;

static __attribute__((noinline)) void paint_below(void)
{
    volatile uint8_t area[STACK_PAINTED_BYTES];
    for (size_t i = 0; i < sizeof area; i++) {
        area[i] = STACK_PATTERN;
    }
    stack_low = (uintptr_t)&area[0];
}

__attribute__((noinline)) void platform_stack_paint(void)
{
    if (!HOST_SANITIZED) {
        stack_top = (uintptr_t)__builtin_frame_address(0);
        paint_below();
    }
}

uint32_t platform_stack_used(void)
{
    uintptr_t lowest = stack_low;
    while (lowest < stack_top && *(const volatile uint8_t *)lowest == STACK_PATTERN) {
        lowest++;
    }
    return (uint32_t)(stack_top - lowest);
}

/* The bytes that an ELF loader copies from the file, as the program headers state them. */
uint32_t platform_image_bytes(void)
{
#ifdef __linux__
    const elf_header *const header = (const void *)__ehdr_start;
    const elf_segment *const segments = (const void *)(__ehdr_start + header->e_phoff);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        bytes += segments[i].p_type == PT_LOAD ? segments[i].p_filesz : 0;
    }
    return (uint32_t)bytes;
#else
    return 0;
#endif
}

bool platform_image(const uint8_t **start)
{
    *start = NULL;
    return false; /* data that were loaded are written to */
}

#ifdef __linux__
/* An ELF note: sizes of name and contents, a type, then both, each filled up to whole words. */
typedef struct {
    uint32_t name_bytes, bytes, type;
    char name[4];
    uint8_t contents[];
} elf_note;

static size_t words(size_t bytes)
{
    return (bytes + 3u) & ~(size_t)3u;
}

/* The build id among the notes of one segment; NULL where it is not there. */
static const elf_note *find_build_id(const uint8_t *start, size_t size)
{
    size_t offset = 0;
    while (offset + sizeof(elf_note) <= size) {
        const elf_note *const note = (const void *)(start + offset);
        if (note->type == NT_GNU_BUILD_ID && memcmp(note->name, "GNU", 4) == 0) {
            return note;
        }
        offset += offsetof(elf_note, name) + words(note->name_bytes) + words(note->bytes);
    }
    return NULL;
}

size_t platform_elf_build_id(const uint8_t **id)
{
    const elf_header *const header = (const void *)__ehdr_start;
    const elf_segment *const segments = (const void *)(__ehdr_start + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type == PT_NOTE) {
            const elf_note *const note =
                find_build_id(__ehdr_start + segments[i].p_offset, segments[i].p_filesz);
            if (note != NULL) {
                *id = note->contents;
                return note->bytes;
            }
        }
    }
    return 0;
}
#else
size_t platform_elf_build_id(const uint8_t **id)
{
    (void)id;
    return 0;
}
#endif

size_t platform_chip_id(uint8_t *id, size_t capacity)
{
    (void)id;
    (void)capacity;
    return 0; /* a process is no chip */
}

bool platform_reset_to_loader(void)
{
    return false;
}

void platform_reset(void)
{
    host_restart(NULL);
}
