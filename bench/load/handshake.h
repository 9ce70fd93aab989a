// SPDX-License-Identifier: MIT
//
// What a connection of the load generator says to a proxy before its traffic: nothing, SOCKS5 or HTTP
// CONNECT. It ends in body_start(), or in a counted failure.
#ifndef SPLICE_LOAD_HANDSHAKE_H
#define SPLICE_LOAD_HANDSHAKE_H

#include "client.h"

// Called once the TCP connection is there.
void handshake_start(struct client *client, struct client_context *context);

// Handles a wake-up in the stages CLIENT_METHOD, CLIENT_REPLY and CLIENT_HEAD.
void handshake_step(struct client *client, struct client_context *context);

#endif
