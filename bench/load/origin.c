// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "origin.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "http.h"
#include "object.h"
#include "pattern.h"

#define REQUEST_MAX 8192
#define REPLY_HEAD_MAX 512

struct origin {
  char request[REQUEST_MAX];
  size_t request_size;
  char head[REPLY_HEAD_MAX];
  size_t head_size, head_sent;
  struct object object;
  uint64_t position, size;  // of the body that is sent
  int replying;
  int last;  // the connection ends with this reply
};

// Of all connections of all loops.
static uint64_t responses;

int origin_begins_with(unsigned char first) { return first == 'G' || first == 'H'; }

struct origin *origin_create(const void *first, size_t size) {
  struct origin *origin = malloc(sizeof(*origin));
  if (!origin) return NULL;
  origin->request_size = size;
  origin->replying = 0;
  memcpy(origin->request, first, size);
  return origin;
}

void origin_free(struct origin *origin) { free(origin); }

static size_t write_date(char *text, size_t room) {
  const time_t now = time(NULL);
  struct tm parts;
  gmtime_r(&now, &parts);
  return strftime(text, room, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

static void reply(struct origin *origin, int known, int with_body) {
  const unsigned long long number = __atomic_add_fetch(&responses, 1, __ATOMIC_RELAXED);
  const unsigned long long size = known ? origin->object.size : 0;
  char date[48], tag[80] = "";
  write_date(date, sizeof(date));
  if (known) {
    snprintf(tag, sizeof(tag), "Cache-Control: max-age=86400\r\nETag: \"%u-%llu\"\r\n", origin->object.number, number);
  }
  origin->head_size = (size_t)snprintf(
      origin->head, sizeof(origin->head),
      "HTTP/1.1 %s\r\nDate: %s\r\nServer: splice-load\r\nContent-Type: application/octet-stream\r\n"
      "Content-Length: %llu\r\n%s%s\r\n",
      known ? "200 OK" : "404 Not Found", date, size, tag, origin->last ? "Connection: close\r\n" : "");
  origin->head_sent = 0;
  origin->position = 0;
  origin->size = with_body ? size : 0;
  origin->replying = 1;
}

// Begins the reply to a request that is there whole. -1: it is none that is understood here.
static int take_request(struct origin *origin) {
  const size_t size = http_head_size((const uint8_t *)origin->request, origin->request_size);
  if (size == 0) return origin->request_size == REQUEST_MAX ? -1 : 0;
  if (!origin_begins_with((unsigned char)origin->request[0])) return -1;
  const char *space = memchr(origin->request, ' ', size);
  const char *path = space ? space + 1 : NULL;
  const char *end = path ? memchr(path, ' ', size - (size_t)(path - origin->request)) : NULL;
  if (!end) return -1;
  struct http_value connection;
  const int known = object_parse(path, (size_t)(end - path), &origin->object) == 0;
  const int named = http_field((const uint8_t *)origin->request, size, "connection", &connection);
  const int version_1_0 = strncmp(end, " HTTP/1.0", 9) == 0;
  origin->last = named ? http_is(&connection, "close") : version_1_0;
  reply(origin, known, origin->request[0] != 'H');
  origin->request_size -= size;
  memmove(origin->request, origin->request + size, origin->request_size);
  return 0;
}

// One chunk, so that no connection starves the others.
static int send_some(struct origin *origin, int fd) {
  const uint64_t left = origin->size - origin->position;
  const size_t size = left < PATTERN_CHUNK ? (size_t)left : PATTERN_CHUNK;
  struct iovec parts[2] = {
      {origin->head + origin->head_sent, origin->head_size - origin->head_sent},
      {(void *)(uintptr_t)pattern_at(object_seed(&origin->object), origin->position), size},
  };
  const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  const size_t of_head = (size_t)sent < parts[0].iov_len ? (size_t)sent : parts[0].iov_len;
  origin->head_sent += of_head;
  origin->position += (uint64_t)sent - of_head;
  origin->replying = origin->head_sent < origin->head_size || origin->position < origin->size;
  return 0;
}

enum origin_next origin_step(struct origin *origin, int fd) {
  if (!origin->replying) {
    const size_t room = REQUEST_MAX - origin->request_size;
    ssize_t got = recv(fd, origin->request + origin->request_size, room, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return ORIGIN_ENDS;
    if (got > 0) origin->request_size += (size_t)got;
    if (take_request(origin) < 0) return ORIGIN_ENDS;
    if (!origin->replying) return ORIGIN_READS;
  }
  if (send_some(origin, fd) < 0) return ORIGIN_ENDS;
  if (origin->replying) return ORIGIN_WRITES;
  if (origin->last) return ORIGIN_ENDS;
  // A pipelined request may be here already, and nothing would say so.
  if (origin->request_size > 0 && take_request(origin) < 0) return ORIGIN_ENDS;
  return origin->replying ? ORIGIN_WRITES : ORIGIN_READS;
}
