// SPDX-License-Identifier: MIT
//
// The server side: level-triggered epoll loops, no per-connection thread or timer. A connection's first
// byte chooses what it does (wire.h, origin.h). One chunk per wake-up keeps flows fair. The first loop accepts, and
// gives the connections to all loops in turn; from then on a connection belongs to its loop alone.
#define _GNU_SOURCE
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "descriptors.h"
#include "options.h"
#include "origin.h"
#include "pattern.h"
#include "wire.h"

enum phase { PHASE_HEADER, PHASE_SENDING, PHASE_RECEIVING, PHASE_ECHO, PHASE_SUMMARY, PHASE_HTTP };

struct loop {
  int epoll_fd;
  uint8_t inbox[PATTERN_READ];
};

struct peer {
  int fd;
  struct loop *loop;
  enum phase phase;
  uint32_t interest;
  size_t header_size;
  struct wire_header header;
  uint64_t position;
  uint64_t corrupt;
  size_t echo_start, echo_end;
  uint8_t *echo;
  struct origin *origin;
};

#define ECHO_ROOM 65536u

// What the first loop accepts with.
struct door {
  int listener;
  int spare;  // held open, so that a connection can be accepted, and closed, when there are no more
  int told;
  unsigned next, count;
  struct loop **loops;
};

static void finish(struct peer *peer) {
  close(peer->fd);
  free(peer->echo);
  origin_free(peer->origin);
  free(peer);
}

static void want(struct peer *peer, uint32_t interest) {
  if (peer->interest == interest) return;
  struct epoll_event event = {.events = interest, .data.ptr = peer};
  peer->interest = interest;
  epoll_ctl(peer->loop->epoll_fd, EPOLL_CTL_MOD, peer->fd, &event);
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
  uint8_t *inbox = peer->loop->inbox;
  size_t room = left < PATTERN_READ ? (size_t)left : PATTERN_READ;
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

static int step_http(struct peer *peer) {
  switch (origin_step(peer->origin, peer->fd)) {
    case ORIGIN_READS:
      want(peer, EPOLLIN);
      return 0;
    case ORIGIN_WRITES:
      want(peer, EPOLLOUT);
      return 0;
    case ORIGIN_ENDS:
      return -1;
  }
  return -1;
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
  if (origin_begins_with(peer->header.mode)) {
    peer->origin = origin_create(&peer->header, peer->header_size);
    peer->phase = PHASE_HTTP;
    return peer->origin ? step_http(peer) : -1;
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
    case PHASE_HTTP:
      return step_http(peer);
  }
  return -1;
}

// Without descriptors the listener would stay readable for ever: the connection is taken and closed instead.
static void turn_away(struct door *door) {
  if (!door->told) fputs("splice-load: out of descriptors: raise the limit (ulimit -Hn)\n", stderr);
  door->told = 1;
  close(door->spare);
  int fd = accept4(door->listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd >= 0) close(fd);
  door->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_some(struct door *door) {
  for (int i = 0; i < 64; i++) {
    int fd = accept4(door->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) turn_away(door);
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
    peer->loop = door->loops[door->next++ % door->count];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    // The last touch: from here on another thread may already have freed it.
    if (epoll_ctl(peer->loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) finish(peer);
  }
}

// Gives the listening socket, and in `port` the port that it got.
static int listen_on(uint16_t *port) {
  const int on = 1, off = 0;
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(*port)};
  socklen_t size = sizeof(address);
  if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4096) < 0) return -1;
  if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) return -1;
  *port = ntohs(address.sin6_port);
  return fd;
}

// Runs for ever; `door` is NULL in the loops that do not accept.
static int serve_loop(struct loop *loop, struct door *door) {
  struct epoll_event events[128];
  for (;;) {
    int count = epoll_wait(loop->epoll_fd, events, 128, -1);
    if (count < 0 && errno != EINTR) return 1;
    for (int i = 0; i < count; i++) {
      struct peer *peer = events[i].data.ptr;
      if (!peer) {
        accept_some(door);
      } else if (step(peer) < 0) {
        finish(peer);
      }
    }
  }
}

static void *serve_thread(void *loop) {
  serve_loop(loop, NULL);
  return NULL;
}

static struct loop *loop_create(void) {
  struct loop *loop = calloc(1, sizeof(*loop));
  if (loop) loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  return loop && loop->epoll_fd >= 0 ? loop : NULL;
}

static int cannot_serve(uint16_t port, int error) {
  fprintf(stderr, "splice-load: cannot serve on port %u: %s\n", port, strerror(error));
  return 1;
}

int serve(uint16_t port, unsigned threads) {
  static struct loop *loops[MAX_THREADS];
  signal(SIGPIPE, SIG_IGN);
  descriptors_raise();
  struct door door = {.listener = listen_on(&port), .count = threads, .loops = loops};
  if (door.listener < 0) return cannot_serve(port, errno);
  door.spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (unsigned i = 0; i < threads; i++) {
    loops[i] = loop_create();
    if (!loops[i]) return cannot_serve(port, errno);
  }
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (epoll_ctl(loops[0]->epoll_fd, EPOLL_CTL_ADD, door.listener, &event) < 0) return cannot_serve(port, errno);
  for (unsigned i = 1; i < threads; i++) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, serve_thread, loops[i]);
    if (error) return cannot_serve(port, error);
  }
  printf("serving on %u\n", port);
  fflush(stdout);
  return serve_loop(loops[0], &door);
}
