// SPDX-License-Identifier: MIT
//
// One client connection of the load generator as a state machine. A worker (worker.c) owns the loop,
// the clock and the decision when to stop; this part owns the sockets, handshake.c what is said to a
// proxy, and body.c what follows, checking included.
#ifndef SPLICE_LOAD_CLIENT_H
#define SPLICE_LOAD_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "object.h"
#include "options.h"
#include "pattern.h"
#include "requests.h"
#include "serials.h"
#include "totals.h"
#include "wire.h"

enum client_stage {
  CLIENT_CONNECTING,
  CLIENT_METHOD,   // SOCKS5 greeting sent, method selection expected
  CLIENT_REPLY,    // SOCKS5 request sent, reply expected
  CLIENT_HEAD,     // HTTP CONNECT sent, head of the reply expected
  CLIENT_BODY,     // the mode's own traffic
  CLIENT_SUMMARY,  // upload finished, the server's summary expected
  CLIENT_CLOSED,
};

struct client {
  int fd;
  enum client_stage stage;
  uint16_t seed;
  uint64_t opened_at, asked_at, progress_at;  // nanoseconds, CLOCK_MONOTONIC
  uint64_t position;                          // of the pattern, in this connection
  uint64_t sent;                              // small only: bytes of messages sent
  uint64_t limit;                             // of position, in this connection
  uint64_t mixture;                           // mixed only: where this place is in its row of sizes
  size_t pending_size;                        // bytes of an incomplete answer in pending
  uint8_t pending[SOCKS_REQUEST_MAX];
  // HTTP modes only, see exchange.h.
  struct object object;      // asked for
  uint64_t due_at;           // when the request should have been sent
  uint64_t rested_at;        // since when no request is under way
  int in_content;            // the head of the response is behind us
  int resting;               // no request is under way
  int reopens;               // the other side ends the connection after this response: another one takes its place
  struct client *next_free;  // while resting
  uint8_t *partial;          // beginning of a head that has not come whole; NULL until that happens
  size_t partial_size;
};

// What the connections of one event loop share, and no other loop touches.
struct client_context {
  const struct load_options *options;
  struct client_totals *totals;
  int epoll_fd;
  int stopping;            // no new round trips
  int opening;             // no messages yet: a full load would keep the last connections from opening
  uint64_t measured_from;  // nanoseconds, CLOCK_MONOTONIC; 0 when the whole run is measured
  uint32_t number;         // of the next connection, among those of all loops
  uint32_t loops;          // how many loops count with this one
  struct requests requests;  // HTTP modes from here on
  struct serials serials;
  struct client *first_free, *last_free;  // connections without a request, in the order in which they will get one
  uint64_t next_due, gap;                 // nanoseconds; --rate
  uint8_t inbox[PATTERN_READ];
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

// Counts bytes that are not what was sent. The connection goes on.
void client_corrupt(struct client *client, struct client_context *context, uint64_t bytes, const char *detail);

void client_close(struct client *client);

#endif
