// SPDX-License-Identifier: MIT
//
// Latency histogram in nanoseconds, log-linear as HdrHistogram with two digits: every power of two is
// divided into 128 buckets of the same width. A bucket is at most 1/128 of its values wide, so its middle
// is within 0.4 percent of each of them; below 256 ns it is exact.
#ifndef SPLICE_LOAD_HISTOGRAM_H
#define SPLICE_LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEP_BITS 7
#define HISTOGRAM_STEPS (1u << HISTOGRAM_STEP_BITS)
// Values below HISTOGRAM_STEPS, and one set of steps for each higher power of two of 64 bits.
#define HISTOGRAM_BUCKETS ((64u - HISTOGRAM_STEP_BITS + 1u) * HISTOGRAM_STEPS)

struct histogram {
  uint64_t count;
  uint64_t max;
  uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t nanoseconds);

void histogram_merge(struct histogram *into, const struct histogram *from);

// Middle of the bucket that holds the given quantile (0..1), and never above the maximum; 0 when empty.
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

// Middle of the values that fall into a bucket.
uint64_t histogram_middle(unsigned bucket);

#endif
