// SPDX-License-Identifier: MIT
//
// What a client says first on a connection to the load server, and what the server answers.
//
//   'C'                one byte; the server answers one byte (WIRE_ANSWER) and closes
//   'D' header         the server sends `bytes` pattern bytes (WIRE_UNLIMITED: until closed) and closes
//   'U' header         the client sends pattern bytes up to `bytes` or its FIN; the server answers a
//                      struct wire_summary and closes
//   'E' header         the server sends back whatever it receives, until the client's FIN
//   'M' header         the same, but every `bytes` bytes in a send of their own
//   'G', 'H'           no header: the beginning of GET or HEAD, and the server is an HTTP origin (origin.h)
//
// All integers are little endian, as on every machine this tool is built for.
#ifndef SPLICE_LOAD_WIRE_H
#define SPLICE_LOAD_WIRE_H

#include <stdint.h>

#define WIRE_CONNECT 'C'
#define WIRE_DOWNLOAD 'D'
#define WIRE_UPLOAD 'U'
#define WIRE_ECHO 'E'
#define WIRE_MESSAGES 'M'
#define WIRE_ANSWER '!'
#define WIRE_UNLIMITED UINT64_MAX

struct wire_header {
  uint8_t mode;
  uint8_t reserved[5];
  uint16_t seed;
  uint64_t bytes;
};

struct wire_summary {
  uint64_t received;
  uint64_t corrupt;
};

_Static_assert(sizeof(struct wire_header) == 16, "the header is read as 16 bytes");
_Static_assert(sizeof(struct wire_summary) == 16, "the summary is read as 16 bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wire integers are little endian");

#endif
