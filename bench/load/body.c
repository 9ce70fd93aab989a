// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "body.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "exchange.h"

static const uint8_t wire_modes[] = {
    [MODE_DOWNLOAD] = WIRE_DOWNLOAD, [MODE_UPLOAD] = WIRE_UPLOAD,  [MODE_PING] = WIRE_ECHO,
    [MODE_CONNECT] = WIRE_CONNECT,   [MODE_FETCH] = WIRE_DOWNLOAD, [MODE_SMALL] = WIRE_MESSAGES,
    [MODE_IDLE] = WIRE_ECHO,         [MODE_MIXED] = WIRE_DOWNLOAD, [MODE_HTTP] = 0,
    [MODE_WEB] = 0,
};

static void send_ping(struct client *client, struct client_context *context) {
  client->asked_at = client_now();
  client->pending_size = 0;
  client_send(client, context, pattern_at(client->seed, client->position), (size_t)context->options->size);
}

// Keeps `depth` messages under way, every one by a send() of its own. The socket buffer may be full in
// the middle of one; the edge that says it has room again continues there.
static void send_messages(struct client *client, struct client_context *context) {
  const uint64_t size = context->options->size;
  const uint64_t room = size * context->options->depth;
  while (!context->stopping && !context->opening && client->sent - client->position < room) {
    size_t rest = (size_t)(size - client->sent % size);
    ssize_t sent = send(client->fd, pattern_at(client->seed, client->sent), rest, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN && errno != EINTR) client_fail_errno(client, context);
      return;
    }
    client->sent += (uint64_t)sent;
  }
}

// Level-triggered from here: one chunk per wake-up, so that no flow starves the others.
static void watch_bulk(struct client *client, struct client_context *context, uint32_t interest) {
  struct epoll_event event = {.events = interest, .data.ptr = client};
  epoll_ctl(context->epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
}

void body_start(struct client *client, struct client_context *context) {
  const struct load_options *options = context->options;
  client->asked_at = client_now();
  histogram_add(&context->totals->handshake, client->asked_at - client->opened_at);
  client->stage = CLIENT_BODY;
  client->pending_size = 0;
  if (options_http(options)) {
    watch_bulk(client, context, EPOLLIN);
    exchange_begin(client, context);
    return;
  }
  struct wire_header header = {.mode = wire_modes[options->mode], .seed = client->seed, .bytes = client->limit};
  if (options->mode == MODE_SMALL) header.bytes = options->size;
  if (client_send(client, context, &header, options->mode == MODE_CONNECT ? 1 : sizeof(header)) < 0) return;
  switch (options->mode) {
    case MODE_DOWNLOAD:
    case MODE_FETCH:
    case MODE_MIXED:
      watch_bulk(client, context, EPOLLIN);
      return;
    case MODE_UPLOAD:
      watch_bulk(client, context, EPOLLOUT);
      return;
    case MODE_IDLE:
      send_ping(client, context);
      return;
    case MODE_PING:
    case MODE_SMALL:
    case MODE_CONNECT:
    case MODE_HTTP:
    case MODE_WEB:
      return;
  }
}

void body_begin(struct client *client, struct client_context *context) {
  if (client->stage != CLIENT_BODY) return;
  if (context->options->mode == MODE_PING) send_ping(client, context);
  if (context->options->mode == MODE_SMALL) send_messages(client, context);
  if (options_http(context->options)) exchange_begin(client, context);
}

void body_ask_again(struct client *client, struct client_context *context) {
  if (client->pending_size == context->options->size) send_ping(client, context);
}

static void report_wrong(struct client *client, struct client_context *context, const uint8_t *data, size_t size,
                         size_t wrong) {
  char detail[128];
  size_t first = pattern_first_mismatch(client->seed, client->position, data, size);
  snprintf(detail, sizeof(detail), "%zu of the next %zu bytes are wrong, the first of them %zu bytes on", wrong,
           size, first);
  client_corrupt(client, context, wrong, detail);
}

void body_take(struct client *client, struct client_context *context, const uint8_t *data, size_t size) {
  size_t wrong = pattern_mismatches(client->seed, client->position, data, size);
  if (wrong > 0) report_wrong(client, context, data, size, wrong);
  context->totals->bytes += size;
  client->position += size;
}

// Reads into the inbox. Bytes read, or 0 to wait; -1 at the end of the stream or an error (then closed).
static ssize_t read_inbox(struct client *client, struct client_context *context, size_t limit, int *end) {
  ssize_t got = recv(client->fd, context->inbox, limit, 0);
  *end = got == 0;
  if (got >= 0) return got;
  if (errno == EAGAIN || errno == EINTR) return 0;
  client_fail_errno(client, context);
  return -1;
}

// Download, fetch and mixed. A fetch counts when every byte and then the end of the stream came.
static void step_download(struct client *client, struct client_context *context) {
  int end;
  ssize_t got = read_inbox(client, context, sizeof(context->inbox), &end);
  if (got > 0) {
    body_take(client, context, context->inbox, (size_t)got);
    if (client->position > client->limit) client_fail(client, context, ERROR_PROTOCOL, "more bytes than asked for");
  } else if (end && client->position < client->limit) {
    client_fail(client, context, ERROR_CLOSED_EARLY, "end of stream before the last byte");
  } else if (end) {
    uint64_t now = client_now();
    histogram_add(&context->totals->latency, now - client->opened_at);
    histogram_add(&context->totals->response, now - client->asked_at);
    context->totals->operations++;
    client_close(client);
  }
}

void body_finish_upload(struct client *client, struct client_context *context) {
  client->stage = CLIENT_SUMMARY;
  client->pending_size = 0;
  watch_bulk(client, context, EPOLLIN);
  shutdown(client->fd, SHUT_WR);
}

static void step_upload(struct client *client, struct client_context *context) {
  uint64_t left = client->limit - client->position;
  size_t size = left < PATTERN_CHUNK ? (size_t)left : PATTERN_CHUNK;
  ssize_t sent = send(client->fd, pattern_at(client->seed, client->position), size, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN && errno != EINTR) client_fail_errno(client, context);
    return;
  }
  context->totals->bytes += (uint64_t)sent;
  client->position += (uint64_t)sent;
  if (client->position == client->limit) body_finish_upload(client, context);
}

void body_step_summary(struct client *client, struct client_context *context) {
  struct wire_summary summary;
  if (client_read(client, context, sizeof(summary)) <= 0 || client->pending_size < sizeof(summary)) return;
  memcpy(&summary, client->pending, sizeof(summary));
  if (summary.corrupt > 0) client_corrupt(client, context, summary.corrupt, "the server received wrong bytes");
  if (summary.received != client->position) {
    char detail[96];
    snprintf(detail, sizeof(detail), "the server received %llu bytes", (unsigned long long)summary.received);
    client_fail(client, context, ERROR_CLOSED_EARLY, detail);
  } else {
    client_close(client);
  }
}

// The loops rest for some milliseconds where the measured interval begins: what was under way then took
// long because of that. Whole fetches may well be longer than the interval, so they count all the same.
static void add_latency(struct client_context *context, uint64_t from) {
  if (from >= context->measured_from) histogram_add(&context->totals->latency, client_now() - from);
}

// Ping and idle: one question under way at most, and the idle one asks again only at the very end.
static void step_ping(struct client *client, struct client_context *context) {
  const size_t size = (size_t)context->options->size;
  int end;
  // One byte more than is missing: a byte too many has to be seen now, nothing would wake us for it later.
  const size_t missing = size - client->pending_size;
  ssize_t got = read_inbox(client, context, missing + 1, &end);
  if (end || got > (ssize_t)missing) {
    const char *detail = end ? "the echo connection was closed" : "an answer to no question";
    client_fail(client, context, end ? ERROR_CLOSED_EARLY : ERROR_PROTOCOL, detail);
  }
  if (got <= 0 || client->stage == CLIENT_CLOSED) return;
  body_take(client, context, context->inbox, (size_t)got);
  client->pending_size += (size_t)got;
  if (client->pending_size < size) return;
  add_latency(context, client->asked_at);
  context->totals->operations++;
  if (context->options->mode == MODE_PING && !context->stopping) send_ping(client, context);
  if (context->options->mode == MODE_IDLE && context->stopping) client_close(client);
}

// Reads all that is there before anything is sent, so that one flow cannot keep the loop for itself.
static void step_messages(struct client *client, struct client_context *context) {
  const uint64_t size = context->options->size;
  for (;;) {
    int end;
    ssize_t got = read_inbox(client, context, sizeof(context->inbox), &end);
    if (end || (got > 0 && client->position + (uint64_t)got > client->sent)) {
      const char *detail = end ? "the echo connection was closed" : "an answer to no question";
      client_fail(client, context, end ? ERROR_CLOSED_EARLY : ERROR_PROTOCOL, detail);
    }
    if (client->stage == CLIENT_CLOSED) return;
    if (got == 0) break;
    uint64_t before = client->position / size;
    body_take(client, context, context->inbox, (size_t)got);
    context->totals->operations += client->position / size - before;
  }
  send_messages(client, context);
}

// One byte, then the end of the stream: a connection counts only when both came in this order.
static void step_connect(struct client *client, struct client_context *context) {
  for (;;) {
    uint8_t bytes[2];
    ssize_t got = recv(client->fd, bytes, sizeof(bytes), 0);
    if (got < 0) {
      if (errno != EAGAIN && errno != EINTR) client_fail_errno(client, context);
      return;
    }
    if (got == 0) break;
    client->position += (uint64_t)got;
    if (client->position != 1 || bytes[0] != WIRE_ANSWER) {
      client_corrupt(client, context, 1, "not the one byte that was expected");
      client_fail(client, context, ERROR_PROTOCOL, "not the one byte that was expected");
      return;
    }
  }
  if (client->position != 1) {
    client_fail(client, context, ERROR_CLOSED_EARLY, "closed before the answer");
    return;
  }
  add_latency(context, client->opened_at);
  context->totals->operations++;
  client_close(client);
}

void body_step(struct client *client, struct client_context *context) {
  switch (context->options->mode) {
    case MODE_DOWNLOAD:
    case MODE_FETCH:
    case MODE_MIXED:
      step_download(client, context);
      return;
    case MODE_UPLOAD:
      step_upload(client, context);
      return;
    case MODE_PING:
    case MODE_IDLE:
      step_ping(client, context);
      return;
    case MODE_CONNECT:
      step_connect(client, context);
      return;
    case MODE_SMALL:
      step_messages(client, context);
      return;
    case MODE_HTTP:
    case MODE_WEB:
      exchange_step(client, context);
      return;
  }
}
