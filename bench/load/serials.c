// SPDX-License-Identifier: MIT
#include "serials.h"

#include <stdlib.h>
#include <string.h>

#define BITS 64u
// More responses than any origin gives in a day; a bit each are 128 MiB.
#define SERIAL_MAX (UINT64_C(1) << 30)

int serials_note(struct serials *serials, uint64_t serial) {
  if (serial >= SERIAL_MAX) return -1;
  const size_t at = (size_t)(serial / BITS);
  if (at >= serials->count) {
    const size_t count = (at + 1) * 2;
    uint64_t *words = realloc(serials->words, count * sizeof(*words));
    if (!words) return -1;
    memset(words + serials->count, 0, (count - serials->count) * sizeof(*words));
    *serials = (struct serials){.words = words, .count = count};
  }
  const uint64_t bit = UINT64_C(1) << serial % BITS;
  const int first = (serials->words[at] & bit) == 0;
  serials->words[at] |= bit;
  return first;
}

void serials_free(struct serials *serials) { free(serials->words); }
