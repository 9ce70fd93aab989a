// SPDX-License-Identifier: MIT
// Stages relay and teardown of flows that an earlier process left on programs of another build. These
// relay them and note their ends; whoever made them is gone, so the janitor here looks after them.
// A version that changes the places of what this reads in a slot must teach it both: see
// include/splice/packet.h.
#include <bpf/bpf.h>

#include <utility>

#include "packet/pins.h"
#include "packet/raw_segment.h"
#include "packet/table.h"

namespace symsplice {
namespace {

constexpr uint64_t kForeignMs = 5000;

}  // namespace

void PacketTable::HoldForeignPorts() {
  for (const ForeignPlane& plane : foreign_) {
    const int legs = plane.remains.Map("legs");
    for (const splice_key& key : KeysOf(legs, plane.remains.flows)) {
      uint32_t leg = 0;
      if (bpf_map_lookup_elem(legs, &key, &leg) != 0) continue;
      if ((leg & 1) != SPLICE_SERVER) continue;
      foreign_ports_.push_back(key);
      ports_.Hold(key);
    }
  }
}

std::vector<PacketTable::Foreign> PacketTable::ForeignPlanes() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Foreign> planes;
  for (const auto& [remains, watched] : foreign_) {
    const size_t keys = KeysOf(remains.Map("legs"), remains.flows).size();
    planes.push_back({remains.abi, remains.tag, static_cast<uint32_t>((keys + 1) / 2)});
  }
  return planes;
}

// Their keys are to go; who must hear of it, has heard.
bool PacketTable::ForeignIsOver(const splice_flow_slot& flow, Watched* watched) const {
  if (flow.phase == SPLICE_PHASE_ENDED) return MsSinceTick(flow.ended) >= settings_.time_wait_ms;
  // Some of its bytes went with the process.
  bool over = flow.phase == SPLICE_PHASE_TRANSIT && !BothRelayed(flow);
  if (!over) {
    watched->pulse = FeelPulse(flow, watched->pulse);
    switch (KeepVigil(flow, MsSinceTick(watched->pulse.tick), foreign_idle_ms_, keepalive_,
                      &watched->asked)) {
      case Vigil::kNothing: break;
      case Vigil::kProbe: SendProbes(flow); break;
      case Vigil::kIdle:
      case Vigil::kClientGone:
      case Vigil::kServerGone: over = true;
    }
  }
  if (over) SendResets(flow);
  return over;
}

// True: it has no flows any more, and nothing of it is left.
bool PacketTable::SweepForeign(ForeignPlane* plane) {
  const Remains& remains = plane->remains;
  const int legs = remains.Map("legs");
  const std::vector<splice_key> keys = KeysOf(legs, remains.flows);
  std::unordered_map<uint32_t, Watched> watched;
  for (const splice_key& key : keys) {
    uint32_t leg = 0;
    splice_flow_slot flow;
    if (bpf_map_lookup_elem(legs, &key, &leg) != 0) continue;
    const uint32_t slot = leg >> 1;
    if (watched.count(slot) != 0 || !remains.Slot(slot, &flow)) continue;
    const auto known = plane->watched.find(slot);
    const Watched before = known == plane->watched.end() ? Watched{} : known->second;
    Watched& now = watched[slot] = before;
    if (!ForeignIsOver(flow, &now)) continue;
    for (const splice_leg& each : flow.leg) bpf_map_delete_elem(legs, &each.key);
  }
  plane->watched = std::move(watched);
  if (!keys.empty()) return false;
  for (const Filter& filter : remains.filters) DetachFilters(filter.ifindex, filter.priority);
  RemovePins(PinDirectory(settings_.pin_parent, remains.priority));
  return true;
}

void PacketTable::SweepForeign(uint64_t now) {
  if (foreign_.empty() || now < foreign_due_ms_) return;
  foreign_due_ms_ = now + kForeignMs;
  std::erase_if(foreign_, [this](ForeignPlane& plane) { return SweepForeign(&plane); });
  if (!foreign_.empty()) return;
  for (const splice_key& key : foreign_ports_) ports_.Free(key);
  foreign_ports_.clear();
}

}  // namespace symsplice
