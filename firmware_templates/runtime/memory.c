/* memcpy, memmove, memset and memcmp for boards built without a C library.
 *
 * Compiled with -fno-builtin, and with loop pattern recognition off where the compiler has it:
 * otherwise the compiler would recognise these loops and replace them by calls to themselves. */
#include <stddef.h>
#include <stdint.h>

/* A word that may alias any type, since these functions copy objects of all types. */
typedef uint32_t __attribute__((may_alias)) word;
enum { WORD_BYTES = sizeof(word), BLOCK_BYTES = 4 * WORD_BYTES };

void *memcpy(void *restrict destination, const void *restrict source, size_t size);
void *memmove(void *destination, const void *source, size_t size);
void *memset(void *destination, int value, size_t size);
int memcmp(const void *left, const void *right, size_t size);

static size_t misalignment(const void *pointer)
{
    return (uintptr_t)pointer % WORD_BYTES;
}

/* Copies upwards: right for memcpy, and for memmove to a lower address. */
static void copy_up(uint8_t *to, const uint8_t *from, size_t size)
{
    if (misalignment(to) == misalignment(from)) {
        for (; size > 0 && misalignment(to) != 0; --size) {
            *to++ = *from++;
        }
        word *to_word = (word *)(void *)to;
        const word *from_word = (const word *)(const void *)from;
        for (; size >= BLOCK_BYTES; size -= BLOCK_BYTES, to_word += 4, from_word += 4) {
            const word a = from_word[0], b = from_word[1], c = from_word[2], d = from_word[3];
            to_word[0] = a;
            to_word[1] = b;
            to_word[2] = c;
            to_word[3] = d;
        }
        for (; size >= WORD_BYTES; size -= WORD_BYTES) {
            *to_word++ = *from_word++;
        }
        to = (uint8_t *)to_word;
        from = (const uint8_t *)from_word;
    }
    while (size-- > 0) {
        *to++ = *from++;
    }
}

/* Copies downwards: for memmove to a higher address that overlaps. */
static void copy_down(uint8_t *to, const uint8_t *from, size_t size)
{
    to += size;
    from += size;
    if (misalignment(to) == misalignment(from)) {
        for (; size > 0 && misalignment(to) != 0; --size) {
            *--to = *--from;
        }
        word *to_word = (word *)(void *)to;
        const word *from_word = (const word *)(const void *)from;
        for (; size >= WORD_BYTES; size -= WORD_BYTES) {
            *--to_word = *--from_word;
        }
        to = (uint8_t *)to_word;
        from = (const uint8_t *)from_word;
    }
    while (size-- > 0) {
        *--to = *--from;
    }
}

void *memcpy(void *restrict destination, const void *restrict source, size_t size)
{
    copy_up(destination, source, size);
    return destination;
}

void *memmove(void *destination, const void *source, size_t size)
{
    /* One unsigned comparison: true also where the destination lies below the source. */
    if ((uintptr_t)destination - (uintptr_t)source >= size) {
        copy_up(destination, source, size);
    } else {
        copy_down(destination, source, size);
    }
    return destination;
}

void *memset(void *destination, int value, size_t size)
{
    uint8_t *to = destination;
    const uint8_t byte = (uint8_t)value;
    for (; size > 0 && misalignment(to) != 0; --size) {
        *to++ = byte;
    }
    word *to_word = (word *)(void *)to;
    const word pattern = byte * UINT32_C(0x01010101);
    for (; size >= BLOCK_BYTES; size -= BLOCK_BYTES, to_word += 4) {
        to_word[0] = pattern;
        to_word[1] = pattern;
        to_word[2] = pattern;
        to_word[3] = pattern;
    }
    for (; size >= WORD_BYTES; size -= WORD_BYTES) {
        *to_word++ = pattern;
    }
    to = (uint8_t *)to_word;
    while (size-- > 0) {
        *to++ = byte;
    }
    return destination;
}

int memcmp(const void *left, const void *right, size_t size)
{
    const uint8_t *a = left;
    const uint8_t *b = right;
    for (; size > 0; --size, ++a, ++b) {
        if (*a != *b) {
            return (int)*a - (int)*b;
        }
    }
    return 0;
}
