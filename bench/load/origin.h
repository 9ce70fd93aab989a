// SPDX-License-Identifier: MIT
//
// The server side of HTTP/1.1: one connection of an origin whose objects (object.h) may be cached for a day. Called
// by the loop of serve.c, which owns the descriptor and the waiting.
//
// Every response has a number of its own in its ETag, "OBJECT-RESPONSE": whoever gets the same one twice got it from
// a cache.
#ifndef SPLICE_LOAD_ORIGIN_H
#define SPLICE_LOAD_ORIGIN_H

#include <stddef.h>

struct origin;

// What the connection waits for.
enum origin_next { ORIGIN_READS, ORIGIN_WRITES, ORIGIN_ENDS };

// Whether a connection whose first byte this is speaks HTTP: GET or HEAD.
int origin_begins_with(unsigned char first);

// Begins with the bytes that have been read already. NULL without memory.
struct origin *origin_create(const void *first, size_t size);
void origin_free(struct origin *origin);

// At once, and whenever what was waited for is there.
enum origin_next origin_step(struct origin *origin, int fd);

#endif
