// SPDX-License-Identifier: MIT
#include "object.h"

#include <stdio.h>
#include <string.h>

static const char prefix[] = "/o/";
#define PREFIX_SIZE (sizeof(prefix) - 1)
// Of both numbers; nothing that anybody asks for is longer, and nothing of this length overflows.
#define DIGITS_MAX 18u

size_t object_path(const struct object *object, char path[OBJECT_PATH_MAX]) {
  return (size_t)snprintf(path, OBJECT_PATH_MAX, "%s%llu/%u", prefix, (unsigned long long)object->size,
                          object->number);
}

// Reads digits; gives where they end, or NULL when there is none or too many.
static const char *read_number(const char *at, const char *end, uint64_t *number) {
  const char *from = at;
  for (*number = 0; at < end && *at >= '0' && *at <= '9'; at++) {
    if (at - from >= DIGITS_MAX) return NULL;
    *number = *number * 10 + (uint64_t)(*at - '0');
  }
  return at == from ? NULL : at;
}

int object_parse(const char *path, size_t size, struct object *object) {
  const char *end = path + size;
  uint64_t number;
  if (size < PREFIX_SIZE || memcmp(path, prefix, PREFIX_SIZE) != 0) return -1;
  const char *at = read_number(path + PREFIX_SIZE, end, &object->size);
  if (!at || at == end || *at != '/') return -1;
  at = read_number(at + 1, end, &number);
  if (!at || number > UINT32_MAX || (at < end && *at != '?')) return -1;
  object->number = (uint32_t)number;
  return 0;
}
