// SPDX-License-Identifier: MIT
//
// What the HTTP modes ask for, and in which order. The same row of requests in every run: what is drawn depends on the
// number of the loop alone.
#ifndef SPLICE_LOAD_REQUESTS_H
#define SPLICE_LOAD_REQUESTS_H

#include "object.h"
#include "options.h"

// Of one loop.
struct requests {
  uint64_t made;   // so far
  uint64_t index;  // of the loop, among `loops`
  uint64_t loops;
  uint64_t random;
};

// Once, before any of the others: makes tables that all loops read.
int requests_init(const struct load_options *options);

void requests_begin(struct requests *requests, unsigned index, unsigned loops);

// Draws the next object, writes its path, and moves on.
void requests_next(struct requests *requests, const struct load_options *options, struct object *object,
                   char path[OBJECT_PATH_MAX]);

#endif
