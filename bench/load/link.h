// SPDX-License-Identifier: MIT
//
// What an interface of this network namespace has carried. A packet here is what the driver was given:
// with segmentation offload up to 64 KiB of one flow.
#ifndef SPLICE_LOAD_LINK_H
#define SPLICE_LOAD_LINK_H

#include <stdint.h>

struct link_counts {
  uint64_t packets_out, packets_in, bytes_out, bytes_in;
};

// Reads the counters of the interface; all zero when there is none of that name.
void link_read(const char *name, struct link_counts *counts);

struct link_counts link_delta(const struct link_counts *from, const struct link_counts *to);

#endif
