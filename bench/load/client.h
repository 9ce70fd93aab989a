// SPDX-License-Identifier: MIT
//
// One client connection of the load generator as a state machine. The driver (run.c) owns the loop,
// the clock and the decision when to stop; this part owns sockets and the handshake, and body.c what
// follows it, checking included.
#ifndef SPLICE_LOAD_CLIENT_H
#define SPLICE_LOAD_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "histogram.h"
#include "options.h"
#include "wire.h"

enum client_stage {
  CLIENT_CONNECTING,
  CLIENT_METHOD,   // greeting sent, method selection expected
  CLIENT_REPLY,    // request sent, reply expected
  CLIENT_BODY,     // the mode's own traffic
  CLIENT_SUMMARY,  // upload finished, the server's summary expected
  CLIENT_CLOSED,
};

// Why a connection failed; the names are in client.c and appear in the report.
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

// Counters of one run. The driver clears the measured ones when the warm-up ends; errors and corrupt
// bytes are never cleared, so that a failure during warm-up or afterwards still shows.
struct client_totals {
  uint64_t bytes;
  uint64_t operations;          // round trips, messages, or connections closed properly
  struct histogram latency;     // of a round trip, or of a whole connection
  struct histogram response;    // fetch: from the request to the end of the stream
  struct histogram handshake;   // from connect() until the traffic could start
  uint64_t corrupt;
  uint64_t errors[ERROR_COUNT];
  char first_error[160];
};

struct client {
  int fd;
  enum client_stage stage;
  uint16_t seed;
  uint64_t opened_at, asked_at, progress_at;  // nanoseconds, CLOCK_MONOTONIC
  uint64_t position;                          // of the pattern, in this connection
  uint64_t sent;                              // small only: bytes of messages sent
  uint64_t limit;                             // of position, in this connection
  size_t pending_size;                        // bytes of an incomplete answer in pending
  uint8_t pending[SOCKS_REQUEST_MAX];
};

struct client_context {
  const struct load_options *options;
  struct client_totals *totals;
  int epoll_fd;
  int stopping;  // no new round trips
  int opening;   // no messages yet: a full load would keep the last connections from opening
};

uint64_t client_now(void);

// Opens the connection. -1: it failed at once and was counted; the stage is CLIENT_CLOSED.
int client_open(struct client *client, struct client_context *context);

// Handles an epoll wake-up; stage CLIENT_CLOSED afterwards when the connection is over.
void client_step(struct client *client, struct client_context *context);

// For messages far smaller than an empty socket buffer: they go out whole or the connection is dead.
// -1: it was closed.
int client_send(struct client *client, struct client_context *context, const void *data, size_t size);

// Reads what is there into pending. Returns 1 when something came, 0 to wait, -1 when closed.
int client_read(struct client *client, struct client_context *context, size_t limit);

// Counts a failure and closes.
void client_fail(struct client *client, struct client_context *context, enum client_error error,
                 const char *detail);

// The same with the reason that errno holds.
void client_fail_errno(struct client *client, struct client_context *context);

void client_close(struct client *client);

#endif
