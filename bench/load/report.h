// SPDX-License-Identifier: MIT
#ifndef SPLICE_LOAD_REPORT_H
#define SPLICE_LOAD_REPORT_H

#include "cpu.h"
#include "link.h"
#include "options.h"
#include "totals.h"

// Which process tree is which in cpu_times.trees.
enum load_tree { LOAD_TREE_CLIENT, LOAD_TREE_SERVER, LOAD_TREE_PROXY };

// All event loops together.
struct load_result {
  double seconds;
  unsigned stalled;
  struct cpu_times cpu;
  struct link_counts link;
  struct client_totals measured;  // between the two ends of the measured interval
  struct client_totals whole;     // errors and corruption of the whole run
};

// Prints one JSON object on stdout; 1 when nothing failed, 0 otherwise.
int report_print(const struct load_options *options, const struct load_result *result);

#endif
