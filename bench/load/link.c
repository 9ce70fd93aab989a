// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "link.h"

#include <stdio.h>
#include <string.h>

static uint64_t read_one(const char *name, const char *what) {
  char path[128];
  unsigned long long value = 0;
  snprintf(path, sizeof(path), "/sys/class/net/%.32s/statistics/%.32s", name, what);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  if (fscanf(file, "%llu", &value) != 1) value = 0;
  fclose(file);
  return value;
}

void link_read(const char *name, struct link_counts *counts) {
  memset(counts, 0, sizeof(*counts));
  if (!name[0]) return;
  counts->packets_out = read_one(name, "tx_packets");
  counts->packets_in = read_one(name, "rx_packets");
  counts->bytes_out = read_one(name, "tx_bytes");
  counts->bytes_in = read_one(name, "rx_bytes");
}

struct link_counts link_delta(const struct link_counts *from, const struct link_counts *to) {
  return (struct link_counts){
      .packets_out = to->packets_out - from->packets_out,
      .packets_in = to->packets_in - from->packets_in,
      .bytes_out = to->bytes_out - from->bytes_out,
      .bytes_in = to->bytes_in - from->bytes_in,
  };
}
