// SPDX-License-Identifier: MIT
// Stage relay, for people: what the module says of its flows. One question for all of them serves
// whoever asks within a moment, so that a list of ten thousand flows is ten thousand look-ups here
// and one there. Any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "module/client.h"

namespace symsplice {

class ModuleView {
 public:
  explicit ModuleView(ModuleClient* client) : client_(client) {}

  // What the flow was like, no longer ago than a moment; false when there is none.
  bool Slot(uint64_t flow, splice_flow_slot* out);

  struct Phases {
    uint32_t transit;
    uint32_t released;
    uint32_t ended;
  };
  // Of the whole network namespace.
  Phases CountPhases();

 private:
  void Refresh();

  ModuleClient* const client_;
  std::mutex mutex_;  // guards everything below
  std::unordered_map<uint64_t, splice_flow_slot> slots_;
  uint64_t good_us_ = 0;  // until when the answer serves
};

}  // namespace symsplice
