// SPDX-License-Identifier: MIT
#include "http.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

// As curl would: a name, who asks, and that anything will do.
size_t http_get_request(const char *path, char request[HTTP_REQUEST_MAX]) {
  return (size_t)snprintf(request, HTTP_REQUEST_MAX,
                          "GET %s HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: splice-load\r\nAccept: */*\r\n\r\n",
                          path);
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

int http_field(const uint8_t *head, size_t size, const char *name, struct http_value *value) {
  const char *at = (const char *)head, *end = at + size;
  const size_t length = strlen(name);
  while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
    at++;
    if ((size_t)(end - at) <= length || at[length] != ':' || strncasecmp(at, name, length) != 0) continue;
    const char *from = at + length + 1, *to = memchr(at, '\n', (size_t)(end - at));
    if (!to) return 0;
    while (from < to && (*from == ' ' || *from == '\t')) from++;
    while (to > from && (to[-1] == '\r' || to[-1] == ' ' || to[-1] == '\t')) to--;
    *value = (struct http_value){.text = from, .size = (size_t)(to - from)};
    return 1;
  }
  return 0;
}

int http_is(const struct http_value *value, const char *word) {
  return value->size == strlen(word) && strncasecmp(value->text, word, value->size) == 0;
}

int64_t http_number(const struct http_value *value) {
  // More digits than that are no size of anything here, and could overflow.
  if (value->size == 0 || value->size > 18) return -1;
  int64_t number = 0;
  for (size_t i = 0; i < value->size; i++) {
    if (!isdigit((unsigned char)value->text[i])) return -1;
    number = number * 10 + (value->text[i] - '0');
  }
  return number;
}
