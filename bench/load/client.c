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
#include "exchange.h"
#include "handshake.h"
#include "mixture.h"

// Where it happened, for the text of a failure.
static const char *const stage_names[] = {
    [CLIENT_CONNECTING] = "while connecting",
    [CLIENT_METHOD] = "after the SOCKS5 greeting",
    [CLIENT_REPLY] = "after the SOCKS5 request",
    [CLIENT_HEAD] = "after the CONNECT request",
    [CLIENT_BODY] = "in the traffic",
    [CLIENT_SUMMARY] = "after the upload",
    [CLIENT_CLOSED] = "before it was opened",
};

uint64_t client_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void client_close(struct client *client) {
  exchange_end(client);
  if (client->fd >= 0) close(client->fd);
  client->fd = -1;
  client->stage = CLIENT_CLOSED;
}

static void note(struct client *client, struct client_context *context, const char *kind, const char *detail) {
  char text[256];
  snprintf(text, sizeof(text), "%s %s, at byte %llu: %s", kind, stage_names[client->stage],
           (unsigned long long)client->position, detail);
  totals_note(context->totals, client_now(), text);
}

void client_fail(struct client *client, struct client_context *context, enum client_error error,
                 const char *detail) {
  context->totals->errors[error]++;
  note(client, context, client_error_names[error], detail);
  client_close(client);
}

void client_corrupt(struct client *client, struct client_context *context, uint64_t bytes, const char *detail) {
  context->totals->corrupt += bytes;
  note(client, context, "corrupt", detail);
}

void client_fail_errno(struct client *client, struct client_context *context) {
  enum client_error error = client->stage == CLIENT_CONNECTING ? ERROR_CONNECT : ERROR_RESET;
  const char *detail = errno == EADDRNOTAVAIL
                           ? "no port is free at this address, or it is not of this machine; see --source"
                           : strerror(errno);
  client_fail(client, context, error, detail);
}

// Spreads the connections over the source addresses, so that the search for a free port in the
// client's own kernel is not what gets measured.
static int bind_source(int fd, const struct load_options *options, uint32_t connection) {
  if (options->source_count == 0) return 0;
  const int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  struct sockaddr_storage source = options->source;
  uint8_t *last = source.ss_family == AF_INET ? (uint8_t *)&((struct sockaddr_in *)&source)->sin_addr
                                              : (uint8_t *)&((struct sockaddr_in6 *)&source)->sin6_addr + 12;
  uint32_t number;
  memcpy(&number, last, sizeof(number));
  number = htonl(ntohl(number) + connection % options->source_count);
  memcpy(last, &number, sizeof(number));
  return bind(fd, (struct sockaddr *)&source, options->source_size);
}

static uint64_t limit_of(struct client *client, const struct load_options *options) {
  if (options->mode == MODE_MIXED) return mixture_draw(&client->mixture);
  if (options->mode == MODE_FETCH) return options->size;
  return options->bytes ? options->bytes : WIRE_UNLIMITED;
}

int client_open(struct client *client, struct client_context *context) {
  const struct load_options *options = context->options;
  const struct address *to = options->via == VIA_DIRECT ? &options->target : &options->proxy;
  const uint32_t number = context->number;
  context->number += context->loops;
  *client = (struct client){
      .fd = -1, .stage = CLIENT_CONNECTING, .seed = (uint16_t)number, .mixture = client->mixture};
  client->limit = limit_of(client, options);
  client->opened_at = client->progress_at = client_now();
  client->fd = socket(to->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (client->fd < 0 || setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
    client_fail_errno(client, context);
    return -1;
  }
  if (to->socket.ss_family == options->source.ss_family && bind_source(client->fd, options, number) < 0) {
    client_fail_errno(client, context);
    return -1;
  }
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
  } else {
    handshake_start(client, context);
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

void client_step(struct client *client, struct client_context *context) {
  client->progress_at = client_now();
  switch (client->stage) {
    case CLIENT_CONNECTING:
      step_connecting(client, context);
      return;
    case CLIENT_METHOD:
    case CLIENT_REPLY:
    case CLIENT_HEAD:
      handshake_step(client, context);
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
