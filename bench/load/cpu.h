// SPDX-License-Identifier: MIT
//
// Processor time, of the machine and of process trees, read from /proc in seconds.
#ifndef SPLICE_LOAD_CPU_H
#define SPLICE_LOAD_CPU_H

#include <sys/types.h>

#define CPU_TREES 4

// A snapshot; subtract two of them with cpu_delta().
struct cpu_times {
  double user, system, softirq, irq, steal, idle;  // whole machine; nice counts as user, iowait as idle
  double trees[CPU_TREES];                         // user+system of each tree, ended children included
  double others;                                   // user+system of all other user processes
};

// The two halves of a snapshot: at once, and by going through /proc.
void cpu_read_machine(struct cpu_times *times);

// roots[i] <= 0 means "no such tree". A process belongs to the first tree that contains it.
void cpu_read_processes(const pid_t roots[CPU_TREES], struct cpu_times *times);

struct cpu_times cpu_delta(const struct cpu_times *from, const struct cpu_times *to);

// user + system + softirq + irq of the machine.
double cpu_busy(const struct cpu_times *delta);

#endif
