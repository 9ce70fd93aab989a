// SPDX-License-Identifier: MIT
//
// HTTP as text, without sockets: CONNECT (RFC 9110 section 9.3.6) and GET, in the messages of RFC 9112.
#ifndef SPLICE_LOAD_HTTP_H
#define SPLICE_LOAD_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "address.h"

#define HTTP_REQUEST_MAX 640
// Longest head of a reply; what proxies answer to CONNECT has a few hundred bytes.
#define HTTP_HEAD_MAX 16384

// Asks for a tunnel to the target, by address or by name. Returns the size written.
size_t http_connect_request(const struct address *target, char request[HTTP_REQUEST_MAX]);

// Asks for a path. Returns the size written.
size_t http_get_request(const char *path, char request[HTTP_REQUEST_MAX]);

// Size of the head of the reply that begins in data, its empty line included; 0 when that is not there yet.
size_t http_head_size(const uint8_t *data, size_t size);

// Status of the reply that begins in data (its first line has to be there), or -1 when it is no HTTP/1 reply.
int http_status(const uint8_t *data, size_t size);

// Whether data can be the beginning of a reply, however short it is.
int http_may_be_reply(const uint8_t *data, size_t size);

// A part of a head, which has to stay where it is.
struct http_value {
  const char *text;
  size_t size;
};

// The value of the first field of that name, in lower case, in a whole head; without spaces around it. 0: there is none.
int http_field(const uint8_t *head, size_t size, const char *name, struct http_value *value);

// Whether that is the word, in lower case.
int http_is(const struct http_value *value, const char *word);

// The value as a number; -1 when it is none.
int64_t http_number(const struct http_value *value);

#endif
