// SPDX-License-Identifier: MIT
#include "module/messages.h"

#include <linux/genetlink.h>

#include <cstring>

#include "uapi/symsplice.h"

namespace symsplice {
namespace {

std::vector<uint64_t> Counts(const NetlinkAttribute& attribute) {
  std::vector<uint64_t> counts(attribute.value.size() / sizeof(uint64_t));
  if (!counts.empty()) {
    std::memcpy(counts.data(), attribute.value.data(), counts.size() * sizeof(uint64_t));
  }
  return counts;
}

uint32_t GroupIn(NetlinkAttributes attributes) {
  NetlinkAttribute attribute;
  uint32_t id = 0;
  bool named = false;
  while (attributes.Next(&attribute)) {
    if (attribute.type == CTRL_ATTR_MCAST_GRP_ID) id = attribute.U32();
    if (attribute.type == CTRL_ATTR_MCAST_GRP_NAME) {
      named = attribute.Text() == SYMSPLICE_MCGRP_EVENTS;
    }
  }
  return named ? id : 0;
}

}  // namespace

ModuleFamily DecodeFamily(NetlinkAttributes attributes) {
  ModuleFamily family;
  NetlinkAttribute attribute;
  while (attributes.Next(&attribute)) {
    if (attribute.type == CTRL_ATTR_FAMILY_ID) family.id = attribute.U16();
    if (attribute.type == CTRL_ATTR_FAMILY_NAME) {
      family.ours = attribute.Text() == SYMSPLICE_GENL_NAME;
    }
    if (attribute.type != CTRL_ATTR_MCAST_GROUPS) continue;
    NetlinkAttributes groups(attribute.value);
    for (NetlinkAttribute group; groups.Next(&group);) {
      if (const uint32_t id = GroupIn(NetlinkAttributes(group.value)); id != 0) family.events = id;
    }
  }
  return family;
}

ModuleAnswer DecodeAnswer(NetlinkAttributes attributes) {
  ModuleAnswer answer;
  NetlinkAttribute attribute;
  while (attributes.Next(&attribute)) {
    if (attribute.type == SYMSPLICE_A_ANSWER) {
      answer.there = true;
      answer.answer = static_cast<int>(attribute.U32());
    }
    if (attribute.type == SYMSPLICE_A_ID) answer.flow = attribute.U64();
  }
  return answer;
}

ModuleFlow DecodeFlow(NetlinkAttributes attributes) {
  ModuleFlow flow;
  NetlinkAttribute attribute;
  while (attributes.Next(&attribute)) {
    if (attribute.type == SYMSPLICE_A_ID) flow.id = attribute.U64();
    if (attribute.type == SYMSPLICE_A_FLOW && attribute.value.size() == sizeof flow.slot) {
      std::memcpy(&flow.slot, attribute.value.data(), sizeof flow.slot);
      flow.whole = true;
    }
  }
  return flow;
}

ModuleStats DecodeStats(NetlinkAttributes attributes) {
  ModuleStats stats;
  NetlinkAttribute attribute;
  while (attributes.Next(&attribute)) {
    switch (attribute.type) {
      case SYMSPLICE_A_ABI: stats.abi = attribute.U32(); break;
      case SYMSPLICE_A_FLOWS: stats.flows = attribute.U32(); break;
      case SYMSPLICE_A_COUNTERS: stats.counters = Counts(attribute); break;
      case SYMSPLICE_A_EDGES: stats.edges = Counts(attribute); break;
      case SYMSPLICE_A_MORE: stats.more = Counts(attribute); break;
      default: break;
    }
  }
  return stats;
}

ModuleEvent DecodeEvent(NetlinkAttributes attributes) {
  ModuleEvent event;
  NetlinkAttribute attribute;
  while (attributes.Next(&attribute)) {
    switch (attribute.type) {
      case SYMSPLICE_A_EVENT: event.type = attribute.U32(); break;
      case SYMSPLICE_A_REASON: event.reason = static_cast<int>(attribute.U32()); break;
      case SYMSPLICE_A_ID: event.flow = attribute.U64(); break;
      case SYMSPLICE_A_BYTES_UP: event.bytes[SPLICE_CLIENT] = attribute.U64(); break;
      case SYMSPLICE_A_BYTES_DOWN: event.bytes[SPLICE_SERVER] = attribute.U64(); break;
      default: break;
    }
  }
  return event;
}

}  // namespace symsplice
