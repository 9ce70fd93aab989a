// SPDX-License-Identifier: MIT
#include "http.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

// The version's last digit may be any: what follows means the same in all of HTTP/1.
static const char version[] = "HTTP/1.";
#define VERSION_SIZE (sizeof(version) - 1)

size_t http_connect_request(const struct address *target, char request[HTTP_REQUEST_MAX]) {
  const int v6 = target->size > 0 && target->socket.ss_family == AF_INET6;
  char authority[sizeof(target->host) + 10];
  snprintf(authority, sizeof(authority), v6 ? "[%s]:%u" : "%s:%u", target->host, target->port);
  return (size_t)snprintf(request, HTTP_REQUEST_MAX, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority,
                          authority);
}

// A line may end with LF alone (RFC 9112 section 2.2).
size_t http_head_size(const uint8_t *data, size_t size) {
  const uint8_t *end = data + size;
  for (const uint8_t *at = data; at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL;) {
    at++;
    if (at < end && *at == '\n') return (size_t)(at + 1 - data);
    if (at + 1 < end && at[0] == '\r' && at[1] == '\n') return (size_t)(at + 2 - data);
  }
  return 0;
}

int http_status(const uint8_t *data, size_t size) {
  if (size < VERSION_SIZE + 5 || !http_may_be_reply(data, size)) return -1;
  const uint8_t *rest = data + VERSION_SIZE;
  if (!isdigit(rest[0]) || rest[1] != ' ' || rest[2] < '1' || rest[2] > '5' || !isdigit(rest[3]) ||
      !isdigit(rest[4])) {
    return -1;
  }
  return (rest[2] - '0') * 100 + (rest[3] - '0') * 10 + (rest[4] - '0');
}

int http_may_be_reply(const uint8_t *data, size_t size) {
  return memcmp(data, version, size < VERSION_SIZE ? size : VERSION_SIZE) == 0;
}
