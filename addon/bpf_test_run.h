// SPDX-License-Identifier: MIT
// One run of a loaded program on a packet of the caller's (BPF_PROG_TEST_RUN), for ring 2 of the
// tests. Blocks the calling thread for as long as the program runs: microseconds.
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace symsplice {

// What the packet has beside its bytes, and where it comes from.
struct BpfTestPacket {
  std::span<const uint8_t> bytes;  // from the Ethernet header on
  uint32_t mark = 0;
  uint32_t ifindex = 0;          // device whose hook it passes; 0: loopback
  uint32_t ingress_ifindex = 0;  // device that it came in by
  uint32_t gso_size = 0;
  uint32_t gso_segments = 0;
  std::string network = {};  // path of a network namespace; empty: the process' own
};

struct BpfTestOutcome {
  int32_t result = 0;
  std::vector<uint8_t> bytes = {};
  uint32_t mark = 0;
  uint32_t gso_size = 0;
};

// 0, or an errno.
int RunBpfTest(const bpf_program* program, const BpfTestPacket& packet, BpfTestOutcome* out);

}  // namespace symsplice
