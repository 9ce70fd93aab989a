// SPDX-License-Identifier: MIT
//
// with-statistics COMMAND...: runs a command while the kernel keeps run-time statistics of all BPF programs. They are
// on for as long as the descriptor is open that the command inherits, so that they end with it, however it ends;
// the setting kernel.bpf_stats_enabled stays as it is. Called by src/bench/kernel/interval.ts. Needs Linux 5.8.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: with-statistics COMMAND...\n");
    return 2;
  }
  union bpf_attr attr = {.enable_stats = {.type = BPF_STATS_RUN_TIME}};
  int fd = (int)syscall(SYS_bpf, BPF_ENABLE_STATS, &attr, sizeof(attr));
  if (fd < 0 || fcntl(fd, F_SETFD, 0) < 0) {
    fprintf(stderr, "with-statistics: run-time statistics of BPF: %s\n", strerror(errno));
    return 1;
  }
  execvp(argv[1], argv + 1);
  fprintf(stderr, "with-statistics: %s: %s\n", argv[1], strerror(errno));
  return 127;
}
