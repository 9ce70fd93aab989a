// SPDX-License-Identifier: MIT
//
// What a connection of the load generator does once the handshake is over: the traffic of each mode.
#ifndef SPLICE_LOAD_BODY_H
#define SPLICE_LOAD_BODY_H

#include "client.h"

// Called once a connection, by the handshake: sends what the mode begins with; the stage is
// CLIENT_BODY then, or CLIENT_CLOSED.
void body_start(struct client *client, struct client_context *context);

// Handles a wake-up in stage CLIENT_BODY.
void body_step(struct client *client, struct client_context *context);

// Handles a wake-up in stage CLIENT_SUMMARY.
void body_step_summary(struct client *client, struct client_context *context);

// Upload only: says that no more bytes follow and waits for the summary.
void body_finish_upload(struct client *client, struct client_context *context);

// Ping, small and HTTP: begins with the messages, when all connections are open.
void body_begin(struct client *client, struct client_context *context);

// Compares content that came with the pattern, and counts it.
void body_take(struct client *client, struct client_context *context, const uint8_t *data, size_t size);

// Idle only: one more round trip, to show that the connection still lives; it closes when the answer is here.
void body_ask_again(struct client *client, struct client_context *context);

#endif
