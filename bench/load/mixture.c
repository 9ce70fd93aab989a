// SPDX-License-Identifier: MIT
#include "mixture.h"

#include <stddef.h>

#include "random.h"

#define KIB 1024u
#define MIB (1024u * KIB)

// Within a class every size is as likely as every other. The shares add up to 100. bench/README.md has the
// same table.
static const struct {
  unsigned percent;
  uint64_t low, high;
} classes[] = {
    {60, 1 * KIB, 16 * KIB},
    {30, 64 * KIB, 256 * KIB},
    {9, 1 * MIB, 4 * MIB},
    {1, 16 * MIB, 16 * MIB},
};

uint64_t mixture_start(unsigned place) {
  uint64_t state = place;
  return random_next(&state);
}

uint64_t mixture_draw(uint64_t *state) {
  const size_t last = sizeof(classes) / sizeof(classes[0]) - 1;
  unsigned percent = (unsigned)(random_next(state) % 100);
  size_t i = 0;
  while (i < last && percent >= classes[i].percent) percent -= classes[i++].percent;
  return classes[i].low + random_next(state) % (classes[i].high - classes[i].low + 1);
}
