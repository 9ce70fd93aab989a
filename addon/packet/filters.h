// SPDX-License-Identifier: MIT
// The programs' places on the interfaces: tc filters of the clsact qdisc. They hold the programs,
// and those the maps, so the data plane outlives the process without a file system for pins, and
// whoever comes later finds it by asking the interfaces.
//
// All that tells a filter of ours is here: its priority lies in our range and its program has one
// of our names. The handle says who made the qdisc, for whoever takes the filter off.
// Plain system calls; any thread, nothing kept.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace symsplice {

// A few planes of different versions can lie side by side: each has a priority of its own.
constexpr uint32_t kFirstPriority = 10;
constexpr uint32_t kLastPriority = 17;

struct Filter {
  int ifindex;
  bool egress;
  uint32_t priority;
  uint32_t handle;
  uint32_t program_id;
};

struct WatchPrograms {
  int ingress;
  int egress;
};

// Puts both programs on an interface, in place of those that have the priority; 0 or an errno.
int AttachFilters(int ifindex, const WatchPrograms& programs, uint32_t priority);

// Removes ours of a priority, and the qdisc when we made it and nobody uses it. Their number.
int DetachFilters(int ifindex, uint32_t priority);

// Our filters on an interface, and on all of them.
std::vector<Filter> FindFilters(int ifindex);
std::vector<Filter> FindFilters();

}  // namespace symsplice
