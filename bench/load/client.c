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

#include "body.h"

const char *const client_error_names[ERROR_COUNT] = {
    "connect", "refusedMethod", "refusedRequest", "protocol", "closedEarly", "reset", "timeout"};

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

void client_fail_errno(struct client *client, struct client_context *context) {
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
  struct sockaddr_storage source = options->source;
  uint8_t *last = source.ss_family == AF_INET ? (uint8_t *)&((struct sockaddr_in *)&source)->sin_addr
                                              : (uint8_t *)&((struct sockaddr_in6 *)&source)->sin6_addr + 12;
  uint32_t number;
  memcpy(&number, last, sizeof(number));
  number = htonl(ntohl(number) + next++ % options->source_count);
  memcpy(last, &number, sizeof(number));
  bind(fd, (struct sockaddr *)&source, options->source_size);
}

int client_open(struct client *client, struct client_context *context) {
  static uint16_t next_seed;
  const struct load_options *options = context->options;
  const struct address *to = options->via_socks5 ? &options->proxy : &options->target;
  *client = (struct client){.fd = -1, .stage = CLIENT_CONNECTING, .seed = next_seed++};
  client->limit = options->mode == MODE_FETCH ? options->size : options->bytes ? options->bytes : WIRE_UNLIMITED;
  client->opened_at = client->progress_at = client_now();
  client->fd = socket(to->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (client->fd < 0 || setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
    client_fail_errno(client, context);
    return -1;
  }
  if (to->socket.ss_family == options->source.ss_family) bind_source(client->fd, options);
  // Edge-triggered, registered once: the handshake steps read until EAGAIN.
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client};
  if ((connect(client->fd, (const struct sockaddr *)&to->socket, to->size) < 0 && errno != EINPROGRESS) ||
      epoll_ctl(context->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0) {
    client_fail_errno(client, context);
    return -1;
  }
  return 0;
}

int client_send(struct client *client, struct client_context *context, const void *data, size_t size) {
  if (send(client->fd, data, size, MSG_NOSIGNAL) == (ssize_t)size) return 0;
  client_fail_errno(client, context);
  return -1;
}

static void step_connecting(struct client *client, struct client_context *context) {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) {
    errno = error;
    client_fail_errno(client, context);
  } else if (!context->options->via_socks5) {
    body_start(client, context);
  } else {
    client->stage = CLIENT_METHOD;
    client_send(client, context, socks_greeting, SOCKS_GREETING_SIZE);
  }
}

int client_read(struct client *client, struct client_context *context, size_t limit) {
  ssize_t got = recv(client->fd, client->pending + client->pending_size, limit - client->pending_size, 0);
  if (got > 0) {
    client->pending_size += (size_t)got;
    return 1;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (got < 0) {
    client_fail_errno(client, context);
  } else {
    client_fail(client, context, ERROR_CLOSED_EARLY, "connection closed by the other side");
  }
  return -1;
}

static void step_method(struct client *client, struct client_context *context) {
  if (client_read(client, context, 2) <= 0 || client->pending_size < 2) return;
  if (client->pending[0] != 5 || client->pending[1] != 0) {
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
      body_step(client, context);
      return;
    case CLIENT_SUMMARY:
      body_step_summary(client, context);
      return;
    case CLIENT_CLOSED:
      return;
  }
}
