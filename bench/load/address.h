// SPDX-License-Identifier: MIT
#ifndef SPLICE_LOAD_ADDRESS_H
#define SPLICE_LOAD_ADDRESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

// HOST:PORT or [IPV6]:PORT. A host that is no numeric address stays a name (size 0): only a proxy
// can resolve it.
struct address {
  struct sockaddr_storage socket;
  socklen_t size;
  char host[256];
  uint16_t port;
};

// 0, or -1 when the text is no address.
int address_parse(const char *text, struct address *address);

#define SOCKS_GREETING_SIZE 3
#define SOCKS_REQUEST_MAX 262

// RFC 1928: version 5, one method, no authentication.
extern const uint8_t socks_greeting[SOCKS_GREETING_SIZE];

// RFC 1928 section 4: CONNECT to the target, by address or by name. Returns the size written.
size_t socks_request(const struct address *target, uint8_t request[SOCKS_REQUEST_MAX]);

// RFC 1928 section 6: whole size of the reply that begins in data, 0 when more bytes are needed to
// know, -1 when it is no reply.
int socks_reply_size(const uint8_t *data, size_t size);

#endif
