// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "handshake.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "body.h"
#include "http.h"

_Static_assert(HTTP_HEAD_MAX <= PATTERN_READ, "a reply's head is read into the inbox");

void handshake_start(struct client *client, struct client_context *context) {
  char request[HTTP_REQUEST_MAX];
  switch (context->options->via) {
    case VIA_DIRECT:
      body_start(client, context);
      return;
    case VIA_SOCKS5:
      client->stage = CLIENT_METHOD;
      client_send(client, context, socks_greeting, SOCKS_GREETING_SIZE);
      return;
    case VIA_CONNECT:
      client->stage = CLIENT_HEAD;
      client_send(client, context, request, http_connect_request(&context->options->target, request));
      return;
  }
}

static void step_method(struct client *client, struct client_context *context) {
  if (client_read(client, context, 2) <= 0 || client->pending_size < 2) return;
  if (client->pending[0] != 5) {
    client_fail(client, context, ERROR_PROTOCOL, "the proxy does not speak SOCKS5");
    return;
  }
  if (client->pending[1] != 0) {
    client_fail(client, context, ERROR_REFUSED_METHOD, "the proxy wants authentication");
    return;
  }
  uint8_t request[SOCKS_REQUEST_MAX];
  size_t size = socks_request(&context->options->target, request);
  client->stage = CLIENT_REPLY;
  client->pending_size = 0;
  client_send(client, context, request, size);
}

static void step_reply(struct client *client, struct client_context *context) {
  if (client_read(client, context, sizeof(client->pending)) <= 0) return;
  int size = socks_reply_size(client->pending, client->pending_size);
  if (size < 0 || (size > 0 && client->pending_size > (size_t)size)) {
    client_fail(client, context, ERROR_PROTOCOL, "malformed SOCKS reply, or bytes after it");
  } else if (client->pending_size >= 2 && client->pending[1] != 0) {
    char detail[48];
    snprintf(detail, sizeof(detail), "SOCKS reply code %u", client->pending[1]);
    client_fail(client, context, ERROR_REFUSED_REQUEST, detail);
  } else if (size > 0 && client->pending_size == (size_t)size) {
    body_start(client, context);
  }
}

// The status line, for the failure's text: as far as it is printable.
static void fail_refused(struct client *client, struct client_context *context) {
  char detail[96] = "";
  for (size_t i = 0; i < sizeof(detail) - 1 && context->inbox[i] >= 0x20 && context->inbox[i] < 0x7f; i++)
    detail[i] = (char)context->inbox[i];
  client_fail(client, context, ERROR_REFUSED_REQUEST, detail);
}

// Whether the other side has said its last: then all it said can be read.
static int has_ended(int fd) {
  struct pollfd state = {.fd = fd, .events = POLLRDHUP};
  return poll(&state, 1, 0) > 0 && (state.revents & POLLRDHUP);
}

// Leaves the reply in the socket until all of its head is there, and shows it in the inbox. Returns the size
// of the head, and in `shown` of what there is; 0: to wait, or the connection has failed.
static size_t peek_head(struct client *client, struct client_context *context, size_t *shown) {
  for (int ended = 0;; ended = 1) {
    ssize_t got = recv(client->fd, context->inbox, HTTP_HEAD_MAX, MSG_PEEK);
    if (got < 0) {
      if (errno != EAGAIN && errno != EINTR) client_fail_errno(client, context);
      return 0;
    }
    *shown = (size_t)got;
    size_t head = http_head_size(context->inbox, *shown);
    if (!http_may_be_reply(context->inbox, *shown)) {
      client_fail(client, context, ERROR_PROTOCOL, "the proxy's answer is not HTTP");
    } else if (head > 0) {
      return head;
    } else if (*shown == HTTP_HEAD_MAX) {
      client_fail(client, context, ERROR_PROTOCOL, "the head of the HTTP reply does not end");
    } else if (got == 0 || ended) {
      client_fail(client, context, ERROR_CLOSED_EARLY, "the proxy closed before the end of its reply");
    } else if (has_ended(client->fd)) {
      continue;
    }
    return 0;
  }
}

// Takes exactly the head out of the socket: whatever is behind it belongs to the tunnel.
static void step_head(struct client *client, struct client_context *context) {
  for (;;) {
    size_t shown;
    size_t head = peek_head(client, context, &shown);
    if (head == 0) return;
    int status = http_status(context->inbox, head);
    // An interim reply is followed by the real one; 101 would be the answer to something not asked for.
    int interim = status >= 100 && status < 200 && status != 101;
    if (status < 0) {
      client_fail(client, context, ERROR_PROTOCOL, "the HTTP reply has no proper status line");
    } else if (!interim && status / 100 != 2) {
      fail_refused(client, context);
    } else if (recv(client->fd, context->inbox, head, 0) != (ssize_t)head) {
      client_fail_errno(client, context);
    }
    if (client->stage == CLIENT_CLOSED) return;
    if (interim) continue;
    body_start(client, context);
    // Nothing wakes an edge-triggered socket for bytes that were there before.
    if (shown > head && client->stage == CLIENT_BODY) body_step(client, context);
    return;
  }
}

void handshake_step(struct client *client, struct client_context *context) {
  if (client->stage == CLIENT_METHOD) step_method(client, context);
  else if (client->stage == CLIENT_REPLY) step_reply(client, context);
  else step_head(client, context);
}
