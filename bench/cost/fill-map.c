// SPDX-License-Identifier: MIT
//
// fill-map MAP_ID TOTAL: adds legs of flows that do not exist to the map `legs` of the packet backend until it
// holds TOTAL entries, and prints how many it has added. Called by figures f and g, which end the data plane
// afterwards: nobody else would remove them. Their addresses are those reserved for benchmarks (RFC 2544), so
// that no segment ever matches one.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "splice/packet.h"

#define BATCH 4096

static int bpf(int command, union bpf_attr *attr) { return (int)syscall(SYS_bpf, command, attr, sizeof(*attr)); }

static int open_map(uint32_t id) {
  union bpf_attr attr = {.map_id = id};
  return bpf(BPF_MAP_GET_FD_BY_ID, &attr);
}

// -1, after saying why, when it is no map of legs.
static int check_map(int fd) {
  struct bpf_map_info info = {0};
  union bpf_attr attr = {.info = {.bpf_fd = (uint32_t)fd, .info_len = sizeof(info), .info = (uintptr_t)&info}};
  if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) < 0) return -1;
  if (info.key_size == sizeof(struct splice_key) && info.value_size == sizeof(uint32_t)) return 0;
  fprintf(stderr, "fill-map: map \"%s\" does not hold legs\n", info.name);
  errno = EINVAL;
  return -1;
}

static uint64_t count_entries(int fd) {
  struct splice_key key, next;
  uint64_t count = 0;
  union bpf_attr attr = {.map_fd = (uint32_t)fd, .next_key = (uintptr_t)&next};
  while (bpf(BPF_MAP_GET_NEXT_KEY, &attr) == 0) {
    count++;
    key = next;
    attr.key = (uintptr_t)&key;
  }
  return count;
}

// The number-th leg: 198.18.0.0/16 ports 1024 and up, to 198.19.0.1 port 1080.
static struct splice_key invent(uint64_t number) {
  struct splice_key key = {.remote_port = htons((uint16_t)(1024 + number % 64000)), .local_port = htons(1080)};
  const uint32_t remote = htonl(0xc6120000u + (uint32_t)(number / 64000)), local = htonl(0xc6130001u);
  key.remote[10] = key.remote[11] = key.local[10] = key.local[11] = 0xff;
  memcpy(key.remote + 12, &remote, sizeof(remote));
  memcpy(key.local + 12, &local, sizeof(local));
  return key;
}

// Numbers begin at what is there already, so that a second call adds others.
static int add(int fd, uint64_t first, uint64_t wanted) {
  static struct splice_key keys[BATCH];
  static uint32_t values[BATCH];
  for (uint64_t done = 0; done < wanted;) {
    uint32_t count = wanted - done < BATCH ? (uint32_t)(wanted - done) : BATCH;
    for (uint32_t i = 0; i < count; i++) keys[i] = invent(first + done + i);
    union bpf_attr attr = {.batch = {.map_fd = (uint32_t)fd,
                                     .keys = (uintptr_t)keys,
                                     .values = (uintptr_t)values,
                                     .count = count}};
    if (bpf(BPF_MAP_UPDATE_BATCH, &attr) < 0) return -1;
    done += count;
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fputs("usage: fill-map MAP_ID TOTAL\n", stderr);
    return 2;
  }
  int fd = open_map((uint32_t)strtoul(argv[1], NULL, 10));
  uint64_t total = strtoull(argv[2], NULL, 10);
  if (fd < 0 || check_map(fd) < 0) {
    fprintf(stderr, "fill-map: map %s: %s\n", argv[1], strerror(errno));
    return 1;
  }
  uint64_t present = count_entries(fd);
  uint64_t wanted = total > present ? total - present : 0;
  if (add(fd, present, wanted) < 0) {
    fprintf(stderr, "fill-map: %llu entries are there, %llu more do not fit: %s\n", (unsigned long long)present,
            (unsigned long long)wanted, strerror(errno));
    return 1;
  }
  printf("%llu\n", (unsigned long long)wanted);
  return 0;
}
