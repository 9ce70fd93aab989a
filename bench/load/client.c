// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

const char *const client_error_names[ERROR_COUNT] = {
    "connect", "refusedMethod", "refusedRequest", "protocol", "closedEarly", "reset", "timeout"};

static uint8_t inbox[PATTERN_READ];

uint64_t client_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void client_close(struct client *client) {
  if (client->fd >= 0) close(client->fd);
  client->fd = -1;
  client->stage = CLIENT_CLOSED;
}

void client_fail(struct client *client, struct client_context *context, enum client_error error,
                 const char *detail) {
  struct client_totals *totals = context->totals;
  totals->errors[error]++;
  if (!totals->first_error[0]) {
    snprintf(totals->first_error, sizeof(totals->first_error), "%s in stage %d after %llu bytes: %s",
             client_error_names[error], (int)client->stage, (unsigned long long)client->position, detail);
  }
  client_close(client);
}

static void fail_errno(struct client *client, struct client_context *context) {
  enum client_error error = client->stage == CLIENT_CONNECTING ? ERROR_CONNECT : ERROR_RESET;
  client_fail(client, context, error, strerror(errno));
}

// Spreads the connections over the source addresses, so that the search for a free port in the
// client's own kernel is not what gets measured.
static void bind_source(int fd, const struct load_options *options) {
  static uint32_t next;
  if (options->source_count == 0) return;
  const int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  struct sockaddr_in source = {.sin_family = AF_INET};
  source.sin_addr.s_addr = htonl(ntohl(options->source.s_addr) + next++ % options->source_count);
  bind(fd, (struct sockaddr *)&source, sizeof(source));
}

int client_open(struct client *client, struct client_context *context) {
  static uint16_t next_seed;
  const struct load_options *options = context->options;
  const struct address *to = options->via_socks5 ? &options->proxy : &options->target;
  *client = (struct client){.fd = -1, .stage = CLIENT_CONNECTING, .seed = next_seed++};
  client->limit = options->bytes ? options->bytes : WIRE_UNLIMITED;
  client->opened_at = client->progress_at = client_now();
  client->fd = socket(to->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (client->fd < 0 || setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
    fail_errno(client, context);
    return -1;
  }
  if (to->socket.ss_family == AF_INET) bind_source(client->fd, options);
  // Edge-triggered, registered once: the handshake steps read until EAGAIN.
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client};
  if ((connect(client->fd, (const struct sockaddr *)&to->socket, to->size) < 0 && errno != EINPROGRESS) ||
      epoll_ctl(context->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0) {
    fail_errno(client, context);
    return -1;
  }
  return 0;
}

// For messages far smaller than an empty socket buffer: they go out whole or the connection is dead.
static int send_small(struct client *client, struct client_context *context, const void *data, size_t size) {
  if (send(client->fd, data, size, MSG_NOSIGNAL) == (ssize_t)size) return 0;
  fail_errno(client, context);
  return -1;
}

static void send_ping(struct client *client, struct client_context *context) {
  if (context->stopping) return;
  client->asked_at = client_now();
  client->pending_size = 0;
  send_small(client, context, pattern_at(client->seed, client->position), context->options->size);
}

static void start_body(struct client *client, struct client_context *context) {
  static const uint8_t modes[] = {[MODE_DOWNLOAD] = WIRE_DOWNLOAD,
                                  [MODE_UPLOAD] = WIRE_UPLOAD,
                                  [MODE_PING] = WIRE_ECHO,
                                  [MODE_CONNECT] = WIRE_CONNECT};
  enum load_mode mode = context->options->mode;
  histogram_add(&context->totals->handshake, client_now() - client->opened_at);
  client->stage = CLIENT_BODY;
  client->pending_size = 0;
  struct wire_header header = {.mode = modes[mode], .seed = client->seed, .bytes = client->limit};
  if (send_small(client, context, &header, mode == MODE_CONNECT ? 1 : sizeof(header)) < 0) return;
  if (mode == MODE_PING) send_ping(client, context);
  if (mode == MODE_DOWNLOAD || mode == MODE_UPLOAD) {
    // Level-triggered from here: one chunk per wake-up, so that no flow starves the others.
    struct epoll_event event = {.events = mode == MODE_UPLOAD ? EPOLLOUT : EPOLLIN, .data.ptr = client};
    epoll_ctl(context->epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
  }
}

static void step_connecting(struct client *client, struct client_context *context) {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) {
    errno = error;
    fail_errno(client, context);
  } else if (!context->options->via_socks5) {
    start_body(client, context);
  } else {
    client->stage = CLIENT_METHOD;
    send_small(client, context, socks_greeting, SOCKS_GREETING_SIZE);
  }
}

// Reads what is there into pending. Returns 1 when something came, 0 to wait, -1 when closed.
static int read_pending(struct client *client, struct client_context *context, size_t limit) {
  ssize_t got = recv(client->fd, client->pending + client->pending_size, limit - client->pending_size, 0);
  if (got > 0) {
    client->pending_size += (size_t)got;
    return 1;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (got < 0) {
    fail_errno(client, context);
  } else {
    client_fail(client, context, ERROR_CLOSED_EARLY, "connection closed by the other side");
  }
  return -1;
}

static void step_method(struct client *client, struct client_context *context) {
  if (read_pending(client, context, 2) <= 0 || client->pending_size < 2) return;
  if (client->pending[0] != 5 || client->pending[1] != 0) {
    client_fail(client, context, ERROR_REFUSED_METHOD, "the proxy wants authentication");
    return;
  }
  uint8_t request[SOCKS_REQUEST_MAX];
  size_t size = socks_request(&context->options->target, request);
  client->stage = CLIENT_REPLY;
  client->pending_size = 0;
  send_small(client, context, request, size);
}

static void step_reply(struct client *client, struct client_context *context) {
  if (read_pending(client, context, sizeof(client->pending)) <= 0) return;
  int size = socks_reply_size(client->pending, client->pending_size);
  if (size < 0 || (size > 0 && client->pending_size > (size_t)size)) {
    client_fail(client, context, ERROR_PROTOCOL, "malformed SOCKS reply, or bytes after it");
  } else if (client->pending_size >= 2 && client->pending[1] != 0) {
    char detail[48];
    snprintf(detail, sizeof(detail), "SOCKS reply code %u", client->pending[1]);
    client_fail(client, context, ERROR_REFUSED_REQUEST, detail);
  } else if (size > 0 && client->pending_size == (size_t)size) {
    start_body(client, context);
  }
}

static void step_download(struct client *client, struct client_context *context) {
  ssize_t got = recv(client->fd, inbox, sizeof(inbox), 0);
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) fail_errno(client, context);
    return;
  }
  if (got == 0) {
    if (client->position == client->limit) {
      client_close(client);
    } else {
      client_fail(client, context, ERROR_CLOSED_EARLY, "end of stream before the last byte");
    }
    return;
  }
  context->totals->corrupt += pattern_mismatches(client->seed, client->position, inbox, (size_t)got);
  context->totals->bytes += (uint64_t)got;
  client->position += (uint64_t)got;
  if (client->position > client->limit) client_fail(client, context, ERROR_PROTOCOL, "more bytes than asked for");
}

void client_finish_upload(struct client *client, struct client_context *context) {
  client->stage = CLIENT_SUMMARY;
  client->pending_size = 0;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
  epoll_ctl(context->epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
  shutdown(client->fd, SHUT_WR);
}

static void step_upload(struct client *client, struct client_context *context) {
  uint64_t left = client->limit - client->position;
  size_t size = left < PATTERN_CHUNK ? (size_t)left : PATTERN_CHUNK;
  ssize_t sent = send(client->fd, pattern_at(client->seed, client->position), size, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN && errno != EINTR) fail_errno(client, context);
    return;
  }
  context->totals->bytes += (uint64_t)sent;
  client->position += (uint64_t)sent;
  if (client->position == client->limit) client_finish_upload(client, context);
}

static void step_summary(struct client *client, struct client_context *context) {
  struct wire_summary summary;
  if (read_pending(client, context, sizeof(summary)) <= 0 || client->pending_size < sizeof(summary)) return;
  memcpy(&summary, client->pending, sizeof(summary));
  context->totals->corrupt += summary.corrupt;
  if (summary.received != client->position) {
    client_fail(client, context, ERROR_CLOSED_EARLY, "the server received fewer bytes than were sent");
  } else {
    client_close(client);
  }
}

static void step_ping(struct client *client, struct client_context *context) {
  size_t missing = context->options->size - client->pending_size;
  ssize_t got = recv(client->fd, inbox, missing, 0);
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) fail_errno(client, context);
    return;
  }
  if (got == 0) {
    client_fail(client, context, ERROR_CLOSED_EARLY, "the echo connection was closed");
    return;
  }
  context->totals->corrupt += pattern_mismatches(client->seed, client->position, inbox, (size_t)got);
  context->totals->bytes += (uint64_t)got;
  client->position += (uint64_t)got;
  client->pending_size += (size_t)got;
  if (client->pending_size < context->options->size) return;
  histogram_add(&context->totals->latency, client_now() - client->asked_at);
  context->totals->operations++;
  send_ping(client, context);
}

// One byte, then the end of the stream: a connection counts only when both came in this order.
static void step_connect(struct client *client, struct client_context *context) {
  for (;;) {
    uint8_t bytes[2];
    ssize_t got = recv(client->fd, bytes, sizeof(bytes), 0);
    if (got < 0) {
      if (errno != EAGAIN && errno != EINTR) fail_errno(client, context);
      return;
    }
    if (got == 0) break;
    client->position += (uint64_t)got;
    if (client->position != 1 || bytes[0] != WIRE_ANSWER) {
      context->totals->corrupt++;
      client_fail(client, context, ERROR_PROTOCOL, "not the one byte that was expected");
      return;
    }
  }
  if (client->position != 1) {
    client_fail(client, context, ERROR_CLOSED_EARLY, "closed before the answer");
    return;
  }
  histogram_add(&context->totals->latency, client_now() - client->opened_at);
  context->totals->operations++;
  client_close(client);
}

static void step_body(struct client *client, struct client_context *context) {
  switch (context->options->mode) {
    case MODE_DOWNLOAD:
      step_download(client, context);
      return;
    case MODE_UPLOAD:
      step_upload(client, context);
      return;
    case MODE_PING:
      step_ping(client, context);
      return;
    case MODE_CONNECT:
      step_connect(client, context);
      return;
  }
}

void client_step(struct client *client, struct client_context *context) {
  client->progress_at = client_now();
  switch (client->stage) {
    case CLIENT_CONNECTING:
      step_connecting(client, context);
      return;
    case CLIENT_METHOD:
      step_method(client, context);
      return;
    case CLIENT_REPLY:
      step_reply(client, context);
      return;
    case CLIENT_BODY:
      step_body(client, context);
      return;
    case CLIENT_SUMMARY:
      step_summary(client, context);
      return;
    case CLIENT_CLOSED:
      return;
  }
}
