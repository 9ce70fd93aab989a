// SPDX-License-Identifier: MIT
//
// A counter that is mixed on its way out (SplitMix64): good from any start, also from neighbouring ones.
#ifndef SPLICE_LOAD_RANDOM_H
#define SPLICE_LOAD_RANDOM_H

#include <stdint.h>

static inline uint64_t random_next(uint64_t *state) {
  uint64_t value = *state += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

#endif
