// SPDX-License-Identifier: MIT
//
// Sizes of what is fetched in mode mixed: mostly pages and scripts, many pictures, some large files.
#ifndef SPLICE_LOAD_MIXTURE_H
#define SPLICE_LOAD_MIXTURE_H

#include <stdint.h>

// State of one place among the connections; the same number gives the same sizes in every run.
uint64_t mixture_start(unsigned place);

// Draws the next size in bytes and moves the state on.
uint64_t mixture_draw(uint64_t *state);

#endif
