/* A ring of received bytes with one writer, the receive interrupt, and one reader, the main thread.
 *
 * Each index is written by one side only and only ever grows (modulo 2^32), so that neither side
 * needs a lock: the ring is empty where they are equal and full where they are a capacity apart. */
#ifndef NANO_RECEIVE_RING_H
#define NANO_RECEIVE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board.h" /* BOARD_RECEIVE_RING_BYTES, a power of two */

struct receive_ring {
    volatile uint32_t written; /* by the interrupt */
    volatile uint32_t read; /* by the main thread */
    volatile uint8_t bytes[BOARD_RECEIVE_RING_BYTES];
};

static inline bool ring_is_empty(const struct receive_ring *ring)
{
    return ring->written == ring->read;
}

static inline bool ring_is_full(const struct receive_ring *ring)
{
    return ring->written - ring->read == BOARD_RECEIVE_RING_BYTES;
}

/* Appends one byte; the caller has made sure that the ring is not full. */
static inline void ring_put(struct receive_ring *ring, uint8_t byte)
{
    const uint32_t written = ring->written;
    ring->bytes[written % BOARD_RECEIVE_RING_BYTES] = byte;
    ring->written = written + 1;
}

/* Takes up to `capacity` bytes; returns how many. */
static inline size_t ring_take(struct receive_ring *ring, uint8_t *data, size_t capacity)
{
    const uint32_t written = ring->written;
    uint32_t read = ring->read;
    size_t taken = 0;
    while (taken < capacity && read != written) {
        data[taken++] = ring->bytes[read++ % BOARD_RECEIVE_RING_BYTES];
    }
    ring->read = read;
    return taken;
}

#endif
