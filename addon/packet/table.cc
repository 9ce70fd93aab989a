// SPDX-License-Identifier: MIT
// Slots and their owners. How the table is opened and closed, and what an earlier process left, is
// in table_life.cc; what becomes of flows without sockets in table_sweep.cc, of those of other builds
// in table_foreign.cc.
#include "packet/table.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <utility>

#include "packet/janitor.h"
#include "packet/raw_segment.h"
#include "packet/packet_transit.h"

namespace symsplice {
namespace {

// How long a segment may still be on its way to a socket that is given up.
constexpr uint64_t kGraceMs = 5;
// How long a program may still be at work on a slot whose keys are deleted.
constexpr uint64_t kCoolingMs = 1000;

bool IsReset(int reason) {
  return reason != SPLICE_CLOSE_END;
}

bool HasFin(const splice_flow_slot& flow) {
  return ((flow.leg[SPLICE_CLIENT].flags | flow.leg[SPLICE_SERVER].flags) & SPLICE_LEG_FIN) != 0;
}

}  // namespace

uint64_t PacketTable::NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

PacketTable::PacketTable(const PacketSettings& settings)
    : settings_(settings),
      keepalive_(ReadKeepAlivePace()),
      ports_(settings.port_low, settings.port_high) {}

uint32_t PacketTable::Join(ReportQueue* queue) {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t owner = next_owner_++;
  owners_[owner].queue = queue;
  return owner;
}

uint32_t PacketTable::Leave(uint32_t owner, bool keep) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return 0;
  // Nobody hears of them any more.
  const Owner leaving = std::move(found->second);
  owners_.erase(found);
  for (const auto& [id, slot] : leaving.slots) {
    records_[slot].owned = Ownership{0, 0, records_[slot].owned.started_ms, 0};
    if (!keep) Abort(slot, SPLICE_CLOSE_ABORTED, NowMs());
  }
  return keep ? static_cast<uint32_t>(leaving.slots.size()) : 0;
}

bool PacketTable::Counters(uint32_t owner, uint64_t id, FlowWords* out) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return false;
  const auto slot = found->second.slots.find(id);
  if (slot == found->second.slots.end()) return false;
  const splice_flow_slot& flow = this->slot(slot->second);
  *out = {static_cast<double>(flow.leg[SPLICE_CLIENT].bytes),
          static_cast<double>(flow.leg[SPLICE_SERVER].bytes),
          static_cast<double>(HasFin(flow) ? SPLICE_FLOW_TEARDOWN : SPLICE_FLOW_RELAY),
          static_cast<double>(IdleMs(flow)),
          static_cast<double>(PacketStatus::kReleased),
          SPLICE_ANSWER_DONE};
  return true;
}

void PacketTable::DetailOf(uint32_t index, DetailWords* out) const {
  const splice_flow_slot& flow = slot(index);
  const splice_leg& client = flow.leg[SPLICE_CLIENT];
  const splice_leg& server = flow.leg[SPLICE_SERVER];
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const double age_ms = static_cast<double>(now.tv_sec) * 1e3 +
                        static_cast<double>(now.tv_nsec) / 1e6 -
                        static_cast<double>(flow.installed_ns) / 1e6;
  *out = {static_cast<double>(index),           static_cast<double>(flow.phase),
          static_cast<double>(client.way),      static_cast<double>(server.way),
          static_cast<double>(client.state),    static_cast<double>(server.state),
          static_cast<double>(client.flags),    static_cast<double>(server.flags),
          static_cast<double>(client.segments), static_cast<double>(server.segments),
          static_cast<double>(client.bytes),    static_cast<double>(server.bytes),
          static_cast<double>(flow.family),     std::max(0.0, age_ms)};
}

bool PacketTable::Detail(uint32_t owner, uint64_t id, DetailWords* out) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return false;
  const auto slot = found->second.slots.find(id);
  if (slot == found->second.slots.end()) return false;
  DetailOf(slot->second, out);
  return true;
}

bool PacketTable::End(uint32_t owner, uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return false;
  const auto slot = found->second.slots.find(id);
  if (slot == found->second.slots.end()) return false;
  Abort(slot->second, SPLICE_CLOSE_ABORTED, NowMs());
  return true;
}

// A slot for a flow, or -1.
int64_t PacketTable::Take() {
  if (!free_.empty()) {
    const uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  return fresh_ < plane_->flows() ? int64_t{fresh_++} : -1;
}

void PacketTable::Live(uint32_t slot, const Ownership& ownership, Stage stage) {
  if (slot >= records_.size()) records_.resize(slot + 1);
  records_[slot] = Record{ownership, 0, {}, static_cast<uint32_t>(live_.size()), stage};
  live_.push_back(slot);
}

void PacketTable::HoldPort(uint32_t slot) {
  records_[slot].holds_port = true;
  ports_.Hold(this->slot(slot).leg[SPLICE_SERVER].key);
}

PacketTable::Installed PacketTable::Install(const Ownership& ownership, const TransitPair& pair) {
  Leg client;
  Leg server;
  if (!LegOf(pair.client, &client)) return {SPLICE_ANSWER_NO_CLIENT, 0};
  if (!LegOf(pair.upstream, &server)) return {SPLICE_ANSWER_NO_SERVER, 0};
  std::lock_guard<std::mutex> lock(mutex_);
  int answer = SPLICE_ANSWER_DONE;
  if (client.family != server.family) {
    answer = kFamilies;
  } else if (!ports_.Contains(ntohs(server.key.local_port))) {
    answer = kForeignPort;
  }
  const int64_t taken = answer == SPLICE_ANSWER_DONE && !shut_ ? Take() : -1;
  if (taken < 0) {
    refused_++;
    return {answer != SPLICE_ANSWER_DONE ? answer : SPLICE_ANSWER_MAP_FULL, 0};
  }
  const auto slot = static_cast<uint32_t>(taken);
  splice_flow_slot* flow = plane_->slot(slot);
  const auto generation = static_cast<unsigned short>(flow->generation + 1);
  std::memset(flow, 0, sizeof *flow);
  flow->generation = generation;
  flow->leg[SPLICE_CLIENT].key = client.key;
  flow->leg[SPLICE_SERVER].key = server.key;
  flow->leg[SPLICE_CLIENT].bytes = pair.bytes[SPLICE_CLIENT];
  flow->leg[SPLICE_SERVER].bytes = pair.bytes[SPLICE_SERVER];
  flow->family = static_cast<unsigned char>(client.family);
  StartPulse(flow);
  answer = plane_->Control(SPLICE_OP_INSTALL, slot, pair.pending[SPLICE_CLIENT],
                           pair.pending[SPLICE_SERVER]);
  if (answer == SPLICE_ANSWER_DONE) {
    Live(slot, ownership, Stage::kTransit);
    HoldPort(slot);
    return {answer, slot};
  }
  refused_++;
  if (answer == SPLICE_ANSWER_KEY_TAKEN || answer == SPLICE_ANSWER_MAP_FULL) {
    // One of its keys may have been seen; the port is the other flow's that has it.
    Live(slot, ownership, Stage::kTransit);
    Cool(slot, NowMs());
  } else {
    free_.push_back(slot);
  }
  return {answer < 0 ? kControlFailed : answer, 0};
}

int PacketTable::Advance(uint32_t slot) {
  const int answer = plane_->Control(SPLICE_OP_ADVANCE, slot, 0, 0);
  return answer < 0 ? kControlFailed : answer;
}

int PacketTable::Cancel(uint32_t slot) {
  const int answer = plane_->Control(SPLICE_OP_CANCEL, slot, 0, 0);
  return answer < 0 ? kControlFailed : answer;
}

// The programs set other flags of the same word at the same time.
void PacketTable::Narrow(uint32_t slot, int side, bool narrow) {
  unsigned int* flags = &plane_->slot(slot)->leg[side].flags;
  if (narrow) {
    __atomic_fetch_or(flags, SPLICE_LEG_NARROW, __ATOMIC_RELEASE);
  } else {
    __atomic_fetch_and(flags, ~SPLICE_LEG_NARROW, __ATOMIC_RELEASE);
  }
}

void PacketTable::Release(uint32_t slot, int client, int upstream) {
  std::lock_guard<std::mutex> lock(mutex_);
  Record& record = records_[slot];
  record.stage = Stage::kReleased;
  if (const auto owner = owners_.find(record.owned.owner); owner != owners_.end()) {
    owner->second.slots[record.owned.id] = slot;
  }
  Retire(client);
  Retire(upstream);
  // Its event may have come while a relay loop had it, who would not have been told.
  const splice_flow_slot& flow = this->slot(slot);
  if (flow.phase == SPLICE_PHASE_ENDED) Finish(slot, flow.reason, NowMs());
}

void PacketTable::Ended(uint32_t slot, int client, int upstream) {
  std::lock_guard<std::mutex> lock(mutex_);
  Retire(client);
  Retire(upstream);
  End(slot, this->slot(slot).reason, NowMs());
}

void PacketTable::Discard(uint32_t slot, int client, int upstream) {
  std::lock_guard<std::mutex> lock(mutex_);
  SendResets(this->slot(slot));
  Retire(client);
  Retire(upstream);
  plane_->Remove(slot);
  Cool(slot, NowMs());
}

void PacketTable::Remove(uint32_t slot) {
  std::lock_guard<std::mutex> lock(mutex_);
  plane_->Remove(slot);
  Cool(slot, NowMs());
}

uint16_t PacketTable::NextPort(const splice_key& destination) {
  std::lock_guard<std::mutex> lock(mutex_);
  return ports_.Next(destination, NowMs());
}

void PacketTable::RestPorts(const splice_key& destination) {
  std::lock_guard<std::mutex> lock(mutex_);
  ports_.Rest(destination, NowMs());
}

void PacketTable::Intend(int, int, const splice_key& key, uint32_t lacks) {
  plane_->Intend(key, lacks);
}

std::unique_ptr<Transit> PacketTable::Begin(const TransitPolicy& policy, int) {
  return std::make_unique<PacketTransit>(policy, this);
}

PacketTable::Usage PacketTable::GetUsage() {
  std::lock_guard<std::mutex> lock(mutex_);
  Usage usage{plane_->flows(), 0, 0, 0, ports_.held(), refused_};
  for (const uint32_t slot : live_) {
    switch (records_[slot].stage) {
      case Stage::kTransit: usage.transit++; break;
      case Stage::kReleased: usage.released++; break;
      case Stage::kEnded: usage.ended++; break;
      case Stage::kCooling:
      case Stage::kFree: break;
    }
  }
  return usage;
}

// Segments may still be on their way to the socket: the janitor closes it a little later.
void PacketTable::Retire(int fd) {
  const bool first = retired_.empty();
  retired_.push_back({NowMs() + kGraceMs, fd});
  if (first && janitor_ != nullptr) janitor_->Wake();
}

void PacketTable::End(uint32_t slot, int reason, uint64_t now) {
  Record& record = records_[slot];
  record.stage = Stage::kEnded;
  record.due_ms = now + (IsReset(reason) ? kResetQuietMs : settings_.time_wait_ms);
}

void PacketTable::Cool(uint32_t slot, uint64_t now) {
  __atomic_store_n(&plane_->slot(slot)->phase, SPLICE_PHASE_FREE, __ATOMIC_RELEASE);
  records_[slot].stage = Stage::kCooling;
  records_[slot].due_ms = now + kCoolingMs;
}

void PacketTable::Free(uint32_t slot) {
  Record& record = records_[slot];
  if (record.holds_port) ports_.Free(this->slot(slot).leg[SPLICE_SERVER].key);
  records_[live_.back()].live_at = record.live_at;
  live_[record.live_at] = live_.back();
  live_.pop_back();
  record = Record{};
  free_.push_back(slot);
}

// A flow without sockets has ended; its keys stay for what comes late.
void PacketTable::Finish(uint32_t slot, int reason, uint64_t now) {
  Report(slot, reason, now);
  End(slot, reason, now);
}

void PacketTable::Report(uint32_t slot, int reason, uint64_t now) {
  const Ownership owned = records_[slot].owned;
  const auto owner = owners_.find(owned.owner);
  if (owner == owners_.end()) return;
  owner->second.slots.erase(owned.id);
  const splice_flow_slot& flow = this->slot(slot);
  owner->second.queue->Push({owned.id, reason, 0, flow.leg[SPLICE_CLIENT].bytes,
                             flow.leg[SPLICE_SERVER].bytes,
                             static_cast<double>(now - std::min(now, owned.started_ms)),
                             static_cast<int>(PacketStatus::kReleased), SPLICE_ANSWER_DONE});
}

}  // namespace symsplice
