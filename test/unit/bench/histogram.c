// SPDX-License-Identifier: MIT
//
// For histogram.test.ts: adds the numbers of standard input to two histograms in turn, merges these, and
// prints count, maximum, then the asked quantiles, then every bucket with its middle.
#include "histogram.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct histogram halves[2];

int main(int argc, char **argv) {
  uint64_t value;
  for (int i = 0; scanf("%" SCNu64, &value) == 1; i ^= 1) histogram_add(&halves[i], value);
  histogram_merge(&halves[0], &halves[1]);
  const struct histogram *all = &halves[0];
  printf("{\"count\":\"%" PRIu64 "\",\"max\":\"%" PRIu64 "\",\"quantiles\":[", all->count, all->max);
  for (int i = 1; i < argc; i++)
    printf("%s\"%" PRIu64 "\"", i > 1 ? "," : "", histogram_quantile(all, strtod(argv[i], NULL)));
  printf("],\"buckets\":[");
  const char *comma = "";
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
    if (!all->buckets[i]) continue;
    printf("%s[\"%" PRIu64 "\",%" PRIu64 "]", comma, histogram_middle(i), all->buckets[i]);
    comma = ",";
  }
  puts("]}");
  return 0;
}
