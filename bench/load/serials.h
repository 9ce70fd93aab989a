// SPDX-License-Identifier: MIT
//
// Which of the origin's responses have been seen: by the number in their ETag (origin.h). A response that comes a second
// time came from a cache.
#ifndef SPLICE_LOAD_SERIALS_H
#define SPLICE_LOAD_SERIALS_H

#include <stddef.h>
#include <stdint.h>

struct serials {
  uint64_t *words;
  size_t count;
};

// Notes a response. 1: seen for the first time, 0: seen before, -1: no memory, or a number beyond all reason.
int serials_note(struct serials *serials, uint64_t serial);

void serials_free(struct serials *serials);

#endif
