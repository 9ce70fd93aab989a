// SPDX-License-Identifier: MIT
#include "left_ports.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "module/client.h"
#include "packet/remains.h"

namespace symsplice {
namespace {

constexpr uint64_t kLookMs = 5000;

bool Less(const splice_key& a, const splice_key& b) { return std::memcmp(&a, &b, sizeof a) < 0; }

}  // namespace

BpfResult FindPacketFlows(const std::string& pin_parent, std::vector<splice_key>* out) {
  out->clear();
  std::vector<Remains> found;
  if (BpfResult failure = FindRemains(pin_parent, &found)) return failure;
  for (const Remains& remains : found) {
    const int legs = remains.Map("legs");
    for (const splice_key& key : KeysOf(legs, remains.flows)) {
      uint32_t leg = 0;
      if (bpf_map_lookup_elem(legs, &key, &leg) != 0) continue;
      if ((leg & 1) == SPLICE_SERVER) out->push_back(key);
    }
  }
  return std::nullopt;
}

int FindModuleFlows(std::vector<splice_key>* out) {
  out->clear();
  ModuleClient client;
  std::vector<ModuleFlow> flows;
  int error = client.Find();
  if (error == 0) error = client.Dump(&flows);
  // Unloaded, perhaps a moment ago.
  if (error == ENOENT) return 0;
  for (const ModuleFlow& flow : flows) {
    const uint32_t phase = flow.slot.phase;
    if (phase != SPLICE_PHASE_TRANSIT && phase != SPLICE_PHASE_RELEASED) continue;
    out->push_back(flow.slot.leg[SPLICE_SERVER].key);
  }
  return error;
}

void LeftPorts::Set(std::vector<splice_key> servers, SourcePorts* ports) {
  std::sort(servers.begin(), servers.end(), Less);
  for (const splice_key& key : held_) {
    if (!std::binary_search(servers.begin(), servers.end(), key, Less)) ports->Free(key);
  }
  for (const splice_key& key : servers) ports->Hold(key);
  held_ = std::move(servers);
}

bool LeftPorts::Due(uint64_t now_ms) {
  if (held_.empty() || now_ms < due_ms_) return false;
  due_ms_ = now_ms + kLookMs;
  return true;
}

}  // namespace symsplice
