// SPDX-License-Identifier: MIT
#ifndef SPLICE_LOAD_REPORT_H
#define SPLICE_LOAD_REPORT_H

#include "client.h"
#include "cpu.h"
#include "link.h"

// Which process tree is which in cpu_times.trees.
enum load_tree { LOAD_TREE_CLIENT, LOAD_TREE_SERVER, LOAD_TREE_PROXY };

// What was counted between the two ends of the measured interval.
struct load_result {
  uint64_t measured_from;
  double seconds;
  uint64_t bytes, operations;
  unsigned stalled;
  struct histogram latency, handshake, response;
  struct cpu_times cpu;
  struct link_counts link;
  const struct client_totals *totals;  // errors and corruption of the whole run
};

// Prints one JSON object on stdout; 1 when nothing failed, 0 otherwise.
int report_print(const struct load_options *options, const struct load_result *result);

#endif
