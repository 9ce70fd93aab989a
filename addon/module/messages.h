// SPDX-License-Identifier: MIT
// What the kernel module says, decoded: its family, and the answers of kernel/uapi/symsplice.h. An
// attribute that this version does not know is passed over. Pure, any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "module/netlink.h"
#include "splice/packet.h"

namespace symsplice {

struct ModuleFamily {
  bool ours = false;     // by its name
  uint16_t id = 0;       // 0: the answer names none
  uint32_t events = 0;   // number of the multicast group
};

// Reply to INTEND and SPLICE.
struct ModuleAnswer {
  bool there = false;
  int answer = 0;     // enum splice_packet_answer
  uint64_t flow = 0;
};

struct ModuleFlow {
  uint64_t id = 0;
  splice_flow_slot slot{};
  bool whole = false;  // the slot is of our layout
};

struct ModuleStats {
  uint32_t abi = 0;
  uint32_t flows = 0;
  std::vector<uint64_t> counters;  // by enum splice_packet_counter
  std::vector<uint64_t> edges;     // by SPLICE_EDGE()
  std::vector<uint64_t> more;      // by enum symsplice_counter
};

struct ModuleEvent {
  uint32_t type = UINT32_MAX;  // enum splice_packet_event_type
  uint64_t flow = 0;
  int reason = 0;
  uint64_t bytes[2] = {0, 0};
};

// Of the controller's answer to CTRL_CMD_GETFAMILY.
ModuleFamily DecodeFamily(NetlinkAttributes attributes);
ModuleAnswer DecodeAnswer(NetlinkAttributes attributes);
ModuleFlow DecodeFlow(NetlinkAttributes attributes);
ModuleStats DecodeStats(NetlinkAttributes attributes);
ModuleEvent DecodeEvent(NetlinkAttributes attributes);

}  // namespace symsplice
