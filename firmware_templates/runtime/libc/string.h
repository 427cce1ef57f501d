/* The four functions a compiler may call by itself, for boards built without a C library.
 *
 * They are macros over the compiler's builtins, because a freestanding build switches off their
 * expansion: a copy of four bytes would otherwise be a call. The bodies are in runtime/memory.c. */
#ifndef NANO_STRING_H
#define NANO_STRING_H

#include <stddef.h>

void *memcpy(void *restrict destination, const void *restrict source, size_t size);
void *memmove(void *destination, const void *source, size_t size);
void *memset(void *destination, int value, size_t size);
int memcmp(const void *left, const void *right, size_t size);

#define memcpy(destination, source, size) __builtin_memcpy((destination), (source), (size))
#define memmove(destination, source, size) __builtin_memmove((destination), (source), (size))
#define memset(destination, value, size) __builtin_memset((destination), (value), (size))
#define memcmp(left, right, size) __builtin_memcmp((left), (right), (size))

#endif
