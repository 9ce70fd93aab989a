// SPDX-License-Identifier: MIT
//
// Table lookup instead of computing bytes: sending needs no copy and checking is one memcmp, so the
// generator stays well below the cost of what it measures.
#include "pattern.h"

#include <string.h>

static uint8_t table[PATTERN_PERIOD + PATTERN_CHUNK];

void pattern_init(void) {
  uint32_t state = 0x9e3779b9u;
  for (size_t i = 0; i < PATTERN_PERIOD; i++) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    table[i] = (uint8_t)(state >> 11);
  }
  for (size_t i = PATTERN_PERIOD; i < sizeof(table); i++) table[i] = table[i - PATTERN_PERIOD];
}

const uint8_t *pattern_at(uint16_t seed, uint64_t position) {
  return table + (position + (uint64_t)seed * 7919u) % PATTERN_PERIOD;
}

size_t pattern_mismatches(uint16_t seed, uint64_t position, const uint8_t *data, size_t size) {
  const uint8_t *expected = pattern_at(seed, position);
  if (memcmp(expected, data, size) == 0) return 0;
  size_t wrong = 0;
  for (size_t i = 0; i < size; i++) wrong += expected[i] != data[i];
  return wrong;
}

size_t pattern_first_mismatch(uint16_t seed, uint64_t position, const uint8_t *data, size_t size) {
  const uint8_t *expected = pattern_at(seed, position);
  size_t i = 0;
  while (i < size && expected[i] == data[i]) i++;
  return i;
}
