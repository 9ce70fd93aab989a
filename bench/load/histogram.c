// SPDX-License-Identifier: MIT
#include "histogram.h"

// Values below HISTOGRAM_STEPS have a bucket each; above, a bucket is the top bits of the value.
static unsigned bucket_of(uint64_t value) {
  if (value < HISTOGRAM_STEPS) return (unsigned)value;
  unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
  return (shift + 1) * HISTOGRAM_STEPS + (unsigned)((value >> shift) - HISTOGRAM_STEPS);
}

uint64_t histogram_middle(unsigned bucket) {
  if (bucket < HISTOGRAM_STEPS) return bucket;
  unsigned shift = bucket / HISTOGRAM_STEPS - 1;
  uint64_t low = (uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) << shift;
  return low + ((uint64_t)1 << shift) / 2;
}

void histogram_add(struct histogram *histogram, uint64_t nanoseconds) {
  histogram->buckets[bucket_of(nanoseconds)]++;
  histogram->count++;
  if (nanoseconds > histogram->max) histogram->max = nanoseconds;
}

void histogram_merge(struct histogram *into, const struct histogram *from) {
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) into->buckets[i] += from->buckets[i];
  into->count += from->count;
  if (from->max > into->max) into->max = from->max;
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile) {
  if (histogram->count == 0) return 0;
  // The least value that at least this share of all is not above: of a few values, p99 is the greatest.
  const double exact = quantile * (double)histogram->count;
  uint64_t rank = (uint64_t)exact;
  if ((double)rank < exact || rank == 0) rank++;
  uint64_t seen = 0;
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += histogram->buckets[i];
    if (seen < rank) continue;
    uint64_t middle = histogram_middle(i);
    return middle < histogram->max ? middle : histogram->max;
  }
  return histogram->max;
}
