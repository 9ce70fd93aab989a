// SPDX-License-Identifier: MIT
//
// The server side: one thread, one level-triggered epoll, no per-connection thread or timer. A
// connection's first byte chooses what it does (wire.h). One chunk per wake-up keeps flows fair.
#define _GNU_SOURCE
#include "serve.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pattern.h"
#include "wire.h"

enum phase { PHASE_HEADER, PHASE_SENDING, PHASE_RECEIVING, PHASE_ECHO, PHASE_SUMMARY };

struct peer {
  int fd;
  enum phase phase;
  uint32_t interest;
  size_t header_size;
  struct wire_header header;
  uint64_t position;
  uint64_t corrupt;
  size_t echo_start, echo_end;
  uint8_t *echo;
};

#define ECHO_ROOM 65536u

static int epoll_fd;
static uint8_t inbox[PATTERN_READ];

static void finish(struct peer *peer) {
  close(peer->fd);
  free(peer->echo);
  free(peer);
}

static void want(struct peer *peer, uint32_t interest) {
  if (peer->interest == interest) return;
  struct epoll_event event = {.events = interest, .data.ptr = peer};
  peer->interest = interest;
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, peer->fd, &event);
}

// The step functions return 0 to stay and -1 when the connection is over.

static int step_sending(struct peer *peer) {
  uint64_t left = peer->header.bytes - peer->position;
  size_t size = left < PATTERN_CHUNK ? (size_t)left : PATTERN_CHUNK;
  if (size > 0) {
    ssize_t sent = send(peer->fd, pattern_at(peer->header.seed, peer->position), size, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    peer->position += (uint64_t)sent;
  }
  return peer->position == peer->header.bytes ? -1 : 0;
}

static int step_receiving(struct peer *peer) {
  uint64_t left = peer->header.bytes - peer->position;
  size_t room = left < sizeof(inbox) ? (size_t)left : sizeof(inbox);
  ssize_t got = room > 0 ? recv(peer->fd, inbox, room, 0) : 0;
  if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  peer->corrupt += pattern_mismatches(peer->header.seed, peer->position, inbox, (size_t)got);
  peer->position += (uint64_t)got;
  if (got == 0 || peer->position == peer->header.bytes) {
    peer->phase = PHASE_SUMMARY;
    want(peer, EPOLLOUT);
  }
  return 0;
}

static int step_summary(struct peer *peer) {
  // A fresh socket buffer has room for 16 bytes; anything else is a broken connection.
  struct wire_summary summary = {.received = peer->position, .corrupt = peer->corrupt};
  send(peer->fd, &summary, sizeof(summary), MSG_NOSIGNAL);
  return -1;
}

static int step_echo(struct peer *peer) {
  if (peer->echo_start == peer->echo_end) {
    ssize_t got = recv(peer->fd, peer->echo, ECHO_ROOM, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (got == 0) return -1;
    peer->echo_start = 0;
    peer->echo_end = (size_t)got;
  }
  while (peer->echo_start < peer->echo_end) {
    size_t size = peer->echo_end - peer->echo_start;
    // A message that came in two parts goes out in two parts.
    if (peer->header.mode == WIRE_MESSAGES) {
      uint64_t rest = peer->header.bytes - peer->position % peer->header.bytes;
      if (rest < size) size = (size_t)rest;
    }
    ssize_t sent = send(peer->fd, peer->echo + peer->echo_start, size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return -1;
    if (sent < 0) break;
    peer->echo_start += (size_t)sent;
    peer->position += (uint64_t)sent;
  }
  want(peer, peer->echo_start == peer->echo_end ? EPOLLIN : EPOLLOUT);
  return 0;
}

static int step_header(struct peer *peer) {
  uint8_t *into = (uint8_t *)&peer->header + peer->header_size;
  ssize_t got = recv(peer->fd, into, sizeof(peer->header) - peer->header_size, 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  if (got == 0) return -1;
  peer->header_size += (size_t)got;
  if (peer->header.mode == WIRE_CONNECT) {
    const uint8_t answer = WIRE_ANSWER;
    send(peer->fd, &answer, 1, MSG_NOSIGNAL);
    return -1;
  }
  if (peer->header_size < sizeof(peer->header)) return 0;
  switch (peer->header.mode) {
    case WIRE_DOWNLOAD:
      peer->phase = PHASE_SENDING;
      want(peer, EPOLLOUT);
      return 0;
    case WIRE_UPLOAD:
      peer->phase = PHASE_RECEIVING;
      return 0;
    case WIRE_MESSAGES:
      if (peer->header.bytes == 0) return -1;
      // fall through
    case WIRE_ECHO:
      peer->phase = PHASE_ECHO;
      peer->echo = malloc(ECHO_ROOM);
      return peer->echo ? 0 : -1;
    default:
      return -1;
  }
}

static int step(struct peer *peer) {
  switch (peer->phase) {
    case PHASE_HEADER:
      return step_header(peer);
    case PHASE_SENDING:
      return step_sending(peer);
    case PHASE_RECEIVING:
      return step_receiving(peer);
    case PHASE_ECHO:
      return step_echo(peer);
    case PHASE_SUMMARY:
      return step_summary(peer);
  }
  return -1;
}

static void accept_some(int listener) {
  for (int i = 0; i < 64; i++) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer) {
      close(fd);
      return;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    peer->fd = fd;
    peer->interest = EPOLLIN;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) finish(peer);
  }
}

static int listen_on(uint16_t port) {
  const int on = 1, off = 0;
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) return -1;
  return listen(fd, 4096) < 0 ? -1 : fd;
}

int serve(uint16_t port) {
  signal(SIGPIPE, SIG_IGN);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  int listener = listen_on(port);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (epoll_fd < 0 || listener < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0) {
    fprintf(stderr, "splice-load: cannot serve on port %u: %s\n", port, strerror(errno));
    return 1;
  }
  printf("serving on %u\n", port);
  fflush(stdout);
  struct epoll_event events[128];
  for (;;) {
    int count = epoll_wait(epoll_fd, events, 128, -1);
    if (count < 0 && errno != EINTR) return 1;
    for (int i = 0; i < count; i++) {
      struct peer *peer = events[i].data.ptr;
      if (!peer) {
        accept_some(listener);
      } else if (step(peer) < 0) {
        finish(peer);
      }
    }
  }
}
