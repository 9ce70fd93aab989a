// SPDX-License-Identifier: MIT
//
// One event loop with its share of the connections. run.c says when each phase begins and ends; what is
// in a worker belongs to its thread alone until that has ended.
#ifndef SPLICE_LOAD_WORKER_H
#define SPLICE_LOAD_WORKER_H

#include "client.h"

struct worker {
  struct client_context context;
  struct client_totals totals;
  struct client_totals measured;  // as it was at the end of the measured interval
  struct client *clients;
  unsigned connections;
  unsigned opened;   // clients[0..opened) have been begun
  unsigned open;     // not closed
  unsigned opening;  // in the handshake
  unsigned stalled;
  uint64_t still_before;  // nanoseconds: whoever made its last progress before stands still
  uint64_t share;    // of --count
};

// One connection after the other in each place, rather than one for the whole run.
int worker_renews(const struct load_options *options);

// Worker `index` of options->threads. NULL with errno when there are no means for it.
struct worker *worker_create(const struct load_options *options, unsigned index);
void worker_free(struct worker *worker);

// Opens the connections, and waits until every one could start or has failed. Modes with a connection
// after the other begin at once: whatever happens to a connection is what they measure.
void worker_open(struct worker *worker, uint64_t until);

// The connections of all workers are open: traffic that would have kept the last ones from it may begin.
void worker_begin(struct worker *worker);

// Runs until the clock says so, everything is counted, or nothing is open any more.
void worker_loop(struct worker *worker, uint64_t until);

// The two ends of the measured interval. What began before `now` was held up by the end of the warm-up.
void worker_measure_from(struct worker *worker, uint64_t now);
void worker_measure_to_here(struct worker *worker);

// Ends what is still open.
void worker_stop(struct worker *worker);

#endif
