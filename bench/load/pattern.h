// SPDX-License-Identifier: MIT
//
// The byte pattern both ends of the load generator agree on. A byte depends on its position in the
// stream and on the stream's seed, so lost, repeated, reordered or crossed bytes are all noticed.
#ifndef SPLICE_LOAD_PATTERN_H
#define SPLICE_LOAD_PATTERN_H

#include <stddef.h>
#include <stdint.h>

// Prime, so that a relay that repeats or drops a power-of-two buffer never lands in phase.
#define PATTERN_PERIOD 65521u
// Longest run that pattern_at() may be asked for, and the size of every bulk write.
#define PATTERN_CHUNK (128u * 1024u)
// Size of every bulk read.
#define PATTERN_READ (64u * 1024u)

// Fills the table. Call once, before anything else here.
void pattern_init(void);

// Address of PATTERN_CHUNK pattern bytes for stream `seed` starting at byte `position`.
const uint8_t *pattern_at(uint16_t seed, uint64_t position);

// Number of bytes in data[0..size) that differ from the pattern; size <= PATTERN_CHUNK.
size_t pattern_mismatches(uint16_t seed, uint64_t position, const uint8_t *data, size_t size);

// Index of the first such byte; size when there is none.
size_t pattern_first_mismatch(uint16_t seed, uint64_t position, const uint8_t *data, size_t size);

#endif
