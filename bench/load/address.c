// SPDX-License-Identifier: MIT
#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

int address_parse(const char *text, struct address *address) {
  memset(address, 0, sizeof(*address));
  const char *colon = strrchr(text, ':');
  if (!colon || colon == text) return -1;
  char *end;
  long port = strtol(colon + 1, &end, 10);
  if (*end || end == colon + 1 || port < 1 || port > 65535) return -1;
  size_t size = (size_t)(colon - text);
  if (text[0] == '[' && text[size - 1] == ']') {
    text++;
    size -= 2;
  }
  if (size == 0 || size >= sizeof(address->host)) return -1;
  memcpy(address->host, text, size);
  address->port = (uint16_t)port;
  struct sockaddr_in *v4 = (struct sockaddr_in *)&address->socket;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->socket;
  if (inet_pton(AF_INET, address->host, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address->port);
    address->size = sizeof(*v4);
  } else if (inet_pton(AF_INET6, address->host, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address->port);
    address->size = sizeof(*v6);
  }
  return 0;
}

const uint8_t socks_greeting[SOCKS_GREETING_SIZE] = {5, 1, 0};

size_t socks_request(const struct address *target, uint8_t request[SOCKS_REQUEST_MAX]) {
  static const uint8_t connect_v5[3] = {5, 1, 0};
  memcpy(request, connect_v5, sizeof(connect_v5));
  size_t size = sizeof(connect_v5);
  if (target->size == 0) {
    size_t length = strlen(target->host);
    request[size++] = 3;
    request[size++] = (uint8_t)length;
    memcpy(request + size, target->host, length);
    size += length;
  } else if (target->socket.ss_family == AF_INET) {
    request[size++] = 1;
    memcpy(request + size, &((const struct sockaddr_in *)&target->socket)->sin_addr, 4);
    size += 4;
  } else {
    request[size++] = 4;
    memcpy(request + size, &((const struct sockaddr_in6 *)&target->socket)->sin6_addr, 16);
    size += 16;
  }
  request[size++] = (uint8_t)(target->port >> 8);
  request[size++] = (uint8_t)target->port;
  return size;
}

int socks_reply_size(const uint8_t *data, size_t size) {
  if (size > 0 && data[0] != 5) return -1;
  if (size < 5) return 0;
  switch (data[3]) {
    case 1:
      return 4 + 4 + 2;
    case 3:
      return 4 + 1 + data[4] + 2;
    case 4:
      return 4 + 16 + 2;
    default:
      return -1;
  }
}
