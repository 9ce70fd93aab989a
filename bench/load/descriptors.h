// SPDX-License-Identifier: MIT
#ifndef SPLICE_LOAD_DESCRIPTORS_H
#define SPLICE_LOAD_DESCRIPTORS_H

// Lets this process have as many open files as it may, and says how many that are.
unsigned long descriptors_raise(void);

#endif
