// SPDX-License-Identifier: MIT
#ifndef SPLICE_LOAD_RUN_H
#define SPLICE_LOAD_RUN_H

#include "options.h"

// Runs the load and prints one JSON object. Exit status: 0 clean, 3 errors or corrupt bytes, 1 when
// it could not run.
int run(const struct load_options *options);

#endif
