// SPDX-License-Identifier: MIT
//
// What an event loop counts. Every loop has its own and nobody else writes to it; run.c adds them up.
#ifndef SPLICE_LOAD_TOTALS_H
#define SPLICE_LOAD_TOTALS_H

#include <stdint.h>

#include "histogram.h"

// Why a connection failed; the names are in totals.c and appear in the report.
enum client_error {
  ERROR_CONNECT,
  ERROR_REFUSED_METHOD,
  ERROR_REFUSED_REQUEST,
  ERROR_PROTOCOL,
  ERROR_CLOSED_EARLY,
  ERROR_RESET,
  ERROR_TIMEOUT,
  ERROR_COUNT,
};

extern const char *const client_error_names[ERROR_COUNT];

// The measured counters are cleared when the warm-up ends; errors and corrupt bytes never, so that a
// failure during warm-up or afterwards still shows.
struct client_totals {
  uint64_t bytes;
  uint64_t operations;          // round trips, messages, responses, or connections closed properly
  struct histogram latency;     // of a round trip, a response, or a whole connection
  struct histogram response;    // fetch, mixed, http, web: from the request to the end of the response
  struct histogram handshake;   // from connect() until the traffic could start
  uint64_t fresh;               // http and web: responses that no other response was a copy of until then
  uint64_t reopened;            // connections in the place of one that the other side ended between two responses
  uint64_t last_serial;         // http and web: the greatest number of a response
  uint64_t corrupt;
  uint64_t errors[ERROR_COUNT];
  uint64_t first_error_at;      // nanoseconds, CLOCK_MONOTONIC; of first_error, if it is not empty
  char first_error[256];
};

// Keeps the text of the first failure.
void totals_note(struct client_totals *totals, uint64_t now, const char *text);

uint64_t totals_errors(const struct client_totals *totals);

// Clears what is measured. The handshakes of connections that last for the whole run stay.
void totals_clear_measured(struct client_totals *totals, int handshakes_too);

void totals_merge(struct client_totals *into, const struct client_totals *from);

#endif
