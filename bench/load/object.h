// SPDX-License-Identifier: MIT
//
// What the load server has for HTTP: an object of any size under any number. /o/1024/17 is 1024 bytes of the pattern
// with the seed 17, so a response that belongs to another request is noticed as any wrong byte is.
#ifndef SPLICE_LOAD_OBJECT_H
#define SPLICE_LOAD_OBJECT_H

#include <stddef.h>
#include <stdint.h>

// With the query that makes a URL new.
#define OBJECT_PATH_MAX 128

struct object {
  uint64_t size;
  uint32_t number;
};

// The pattern's seed has 16 bits.
static inline uint16_t object_seed(const struct object *object) { return (uint16_t)object->number; }

// Writes the path, ended by a zero. Returns its size.
size_t object_path(const struct object *object, char path[OBJECT_PATH_MAX]);

// Reads a path of `size` bytes; a query behind it is ignored. 0, or -1 when there is no such object.
int object_parse(const char *path, size_t size, struct object *object);

#endif
