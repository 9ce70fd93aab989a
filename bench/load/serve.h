// SPDX-License-Identifier: MIT
#ifndef SPLICE_LOAD_SERVE_H
#define SPLICE_LOAD_SERVE_H

#include <stdint.h>

// Serves on [::]:port, IPv4 included, until killed, with so many loops; 0 is any free port. Prints "serving
// on PORT" once it listens. Returns an exit status when it cannot start.
int serve(uint16_t port, unsigned threads);

#endif
