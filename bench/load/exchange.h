// SPDX-License-Identifier: MIT
//
// The HTTP modes: a request on a connection that lasts, its whole response, the next request. Called by body.c, and by
// the worker for what the clock decides.
//
// Without --rate a connection asks again as soon as it has been answered. With --rate requests fall due at equal
// distances, and whoever is free takes the next one. When nobody is, its time counts from when it was due: responses
// that are late must not put off the requests behind them, as if nobody had waited for those.
#ifndef SPLICE_LOAD_EXCHANGE_H
#define SPLICE_LOAD_EXCHANGE_H

#include "client.h"

// All connections are open, or this one has been opened again: it may ask.
void exchange_begin(struct client *client, struct client_context *context);

// Handles a wake-up in stage CLIENT_BODY.
void exchange_step(struct client *client, struct client_context *context);

// With --rate: when the next request can be sent, in nanoseconds; UINT64_MAX while nobody is free, and without --rate.
uint64_t exchange_due(const struct client_context *context);

// Sends what is due, as far as connections are free.
void exchange_send_due(struct client_context *context, uint64_t now);

// Requests that fell due while nothing could be sent are dropped.
void exchange_skip_to(struct client_context *context, uint64_t now);

// Frees what the connection has of its own.
void exchange_end(struct client *client);

#endif
