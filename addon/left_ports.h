// SPDX-License-Identifier: MIT
// Stage handshake: source ports that flows of an ended process still have in a table of the other
// kind. Packets' programs and the kernel module know nothing of each other's flows: a connection
// from such a port would be taken for the flow. As nobody else may begin flows here (right.h), they
// only become fewer.
//
// Any thread, one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bpf_object.h"
#include "packet/ports.h"
#include "splice/packet.h"

namespace symsplice {

// Keys of the servers' legs, at about this moment. `pin_parent`: see packet/pins.h.
BpfResult FindPacketFlows(const std::string& pin_parent, std::vector<splice_key>* out);
// 0, or a positive errno. A module that is not loaded is not loaded for this, and has none.
int FindModuleFlows(std::vector<splice_key>* out);

class LeftPorts {
 public:
  // Holds the ports of these flows, and no longer those of others.
  void Set(std::vector<splice_key> servers, SourcePorts* ports);
  // When they are to be looked at again.
  bool Due(uint64_t now_ms);

 private:
  std::vector<splice_key> held_;
  uint64_t due_ms_ = 0;
};

}  // namespace symsplice
