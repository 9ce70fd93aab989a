// SPDX-License-Identifier: MIT
//
// Latency histogram with buckets of constant relative width (1/32, about 3 percent), in nanoseconds.
#ifndef SPLICE_LOAD_HISTOGRAM_H
#define SPLICE_LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS 32
#define HISTOGRAM_BUCKETS (64 * HISTOGRAM_STEPS)

struct histogram {
  uint64_t count;
  uint64_t max;
  uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t nanoseconds);

// Middle of the bucket that holds the given quantile (0..1); 0 when empty.
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

#endif
