// SPDX-License-Identifier: MIT
// What an earlier process left of a data plane, found by asking the interfaces for our filters.
// They name programs by number; those hold the maps. Plain system calls; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bpf_object.h"
#include "packet/filters.h"
#include "splice/packet.h"

namespace symsplice {

// The programs that filters hold, and the maps that a process takes over.
constexpr const char* kAttachedPrograms[] = {"relay_eth", "relay_raw", "guard_eth", "guard_raw"};
constexpr const char* kSharedMaps[] = {"about",    "flows", "legs",  "intents",
                                       "counters", "edges", "events"};

// Map `about`, as bpf/packet_maps.h has it. Another version's may be longer.
struct PlaneAbout {
  uint32_t abi;
  uint32_t unused;
  uint64_t build;  // a number made of the tags of all programs
};

// A descriptor of a map or program; closed with the object.
class BpfHandle {
 public:
  explicit BpfHandle(int fd = -1) : fd_(fd) {}
  ~BpfHandle();
  BpfHandle(BpfHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  BpfHandle& operator=(BpfHandle&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// One plane: the filters of one priority.
struct Remains {
  uint32_t priority = 0;
  uint32_t abi = 0;      // 0 when it does not say
  uint64_t build = 0;    // likewise
  uint32_t flows = 0;    // slots
  uint32_t slot_bytes = 0;  // of each; another version's may be longer than ours
  std::string tag = {};  // of one of its programs, to name it by
  std::vector<Filter> filters = {};
  std::vector<std::pair<std::string, BpfHandle>> maps = {};

  // -1 when it has none of that name.
  int Map(const std::string& name) const;
  // What of a slot we know; false when there is none of that number.
  bool Slot(uint32_t index, splice_flow_slot* out) const;
};

// All of them; a failure when one is there that may not, or cannot, be looked into. `pin_parent`: see pins.h.
BpfResult FindRemains(const std::string& pin_parent, std::vector<Remains>* out);

// What a `legs` map for so many flows holds, at about this moment.
std::vector<splice_key> KeysOf(int legs, uint32_t flows);

}  // namespace symsplice
