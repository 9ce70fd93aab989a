// SPDX-License-Identifier: MIT
// How the table comes to be, what it takes over from an earlier process, and how it goes. Of planes
// that it cannot take over: table_foreign.cc.
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "packet/janitor.h"
#include "packet/pins.h"
#include "packet/raw_segment.h"
#include "packet/table.h"

namespace symsplice {
namespace {

struct Registry {
  std::mutex mutex;
  std::weak_ptr<PacketTable> table;
  BpfResult failure;  // of the latest try that was not too late
};

Registry& TheRegistry() {
  static Registry registry;
  return registry;
}

BpfFailure SystemFailure(const std::string& what, int error, const char* syscall) {
  return {BpfFailure::Kind::kSystem,
          "packet: " + what + ": " + std::generic_category().message(error), error, syscall};
}

}  // namespace

BpfResult PacketTable::TakeRight() {
  const char* syscall = "";
  const int error = right_.Take(&syscall);
  if (error == 0) return std::nullopt;
  if (error != EADDRINUSE) return SystemFailure("cannot take the right to it", error, syscall);
  return BpfFailure{BpfFailure::Kind::kSystem,
                    "packet: " + Right::Holder() + " has the packet or module backend of this "
                    "network namespace; stop it, or use another backend",
                    EBUSY, syscall};
}

BpfResult PacketTable::Open(std::span<const uint8_t> bytes, const PacketSettings& settings,
                            std::shared_ptr<PacketTable>* out) {
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  std::shared_ptr<PacketTable> table = registry.table.lock();
  if (table == nullptr || table->handles_ == 0) {
    // Another engine of the process has tried before, and carries its flows otherwise since: why it
    // did not get the packets holds for all.
    if (registry.failure && Right::IsHere()) return registry.failure;
    table.reset(new PacketTable(settings));
    registry.failure = table->Start(bytes);
    if (registry.failure) return registry.failure;
    registry.table = table;
  }
  table->handles_++;
  *out = std::move(table);
  return std::nullopt;
}

BpfResult PacketTable::Start(std::span<const uint8_t> bytes) {
  // Else flows without sockets could neither be asked for a sign of life nor be reset.
  if (const int error = TryRawSocket(); error != 0) {
    return SystemFailure("cannot make segments by hand", error, "socket");
  }
  if (BpfResult failure = TakeRight()) return failure;
  std::vector<Remains> found;
  if (BpfResult failure = FindRemains(settings_.pin_parent, &found)) return failure;
  const PlaneSettings plane{settings_.flows, settings_.pin_parent};
  if (BpfResult failure = Plane::Open(bytes, plane, &found, &plane_)) return failure;
  std::vector<uint32_t> priorities{plane_->priority()};
  for (Remains& remains : found) {
    priorities.push_back(remains.priority);
    foreign_.push_back({std::move(remains), {}});
  }
  RemoveStalePins(settings_.pin_parent, priorities);
  if (plane_->adopted()) FindLeft();
  HoldForeignPorts();
  std::vector<splice_key> left;
  if (const int error = FindModuleFlows(&left); error != 0) {
    return SystemFailure("cannot see which source ports flows of symsplice.ko have", error, "netlink");
  }
  left_ports_.Set(std::move(left), &ports_);
  janitor_ = std::make_unique<Janitor>(this);
  if (const int error = janitor_->Start(plane_->events()); error != 0) {
    return SystemFailure("cannot start the janitor", error, "clone");
  }
  return std::nullopt;
}

// Flows of the process that was here before. No lock: nobody else knows the table yet.
void PacketTable::FindLeft() {
  const uint32_t count = plane_->flows();
  const uint64_t now = NowMs();
  records_.resize(count);
  fresh_ = count;
  for (const uint32_t slot : plane_->KeyedSlots()) {
    const splice_flow_slot& flow = this->slot(slot);
    const Ownership nobody{0, 0, flow.installed_ns / 1'000'000, 0};
    Live(slot, nobody, Stage::kReleased);
    HoldPort(slot);
    if (flow.phase == SPLICE_PHASE_ENDED) {
      End(slot, flow.reason, now);
    } else if (flow.phase == SPLICE_PHASE_TRANSIT && !BothRelayed(flow)) {
      // Some of its bytes went with the process.
      Abort(slot, SPLICE_CLOSE_ERROR, now);
    }
  }
  for (uint32_t slot = count; slot-- > 0;) {
    if (records_[slot].stage == Stage::kFree) free_.push_back(slot);
  }
}

std::vector<PacketTable::Adopted> PacketTable::Adopt(uint32_t owner, uint64_t idle_ms,
                                                     uint64_t* next_id) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Adopted> adopted;
  const auto to = owners_.find(owner);
  if (to == owners_.end()) return adopted;
  const uint64_t now = NowMs();
  foreign_idle_ms_ = idle_ms;
  for (const uint32_t slot : live_) {
    Record& record = records_[slot];
    if (record.stage != Stage::kReleased || record.owned.owner != 0) continue;
    const uint64_t id = (*next_id)++;
    record.owned = Ownership{owner, id, record.owned.started_ms, idle_ms};
    to->second.slots[id] = slot;
    adopted.push_back({id, slot, now - std::min(now, record.owned.started_ms)});
  }
  return adopted;
}

uint32_t PacketTable::Close(std::shared_ptr<PacketTable> table, bool keep) {
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  if (table->handles_ == 0 || --table->handles_ > 0) return 0;
  return table->Shut(keep);
}

BpfResult PacketTable::Uninstall(const std::string& pin_parent, Removed* out) {
  PacketTable nothing{PacketSettings{}};
  if (BpfResult failure = nothing.TakeRight()) return failure;
  *out = Removed{};
  std::vector<Remains> found;
  if (BpfResult failure = FindRemains(pin_parent, &found)) return failure;
  for (const Remains& remains : found) {
    const int legs = remains.Map("legs");
    splice_key key;
    uint32_t leg = 0;
    splice_flow_slot flow;
    // Always the first: each is deleted before the next is asked for.
    while (bpf_map_get_next_key(legs, nullptr, &key) == 0) {
      const bool known = bpf_map_lookup_elem(legs, &key, &leg) == 0;
      // Gone meanwhile: a segment took it.
      if (bpf_map_delete_elem(legs, &key) != 0 && errno != ENOENT) break;
      if (!known || !remains.Slot(leg >> 1, &flow)) continue;
      for (const splice_leg& each : flow.leg) bpf_map_delete_elem(legs, &each.key);
      if (flow.phase == SPLICE_PHASE_ENDED) continue;
      SendResets(flow);
      out->flows++;
    }
    for (const Filter& filter : remains.filters) {
      out->filters += static_cast<uint32_t>(DetachFilters(filter.ifindex, filter.priority));
    }
  }
  RemoveStalePins(pin_parent, {});
  return std::nullopt;
}

uint32_t PacketTable::Shut(bool keep) {
  uint32_t left = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const std::vector<uint32_t> live = live_;
    for (const uint32_t slot : live) {
      if (records_[slot].stage != Stage::kReleased) continue;
      if (keep) {
        left++;
      } else {
        Abort(slot, SPLICE_CLOSE_ABORTED, NowMs());
      }
    }
    shut_ = true;
  }
  janitor_.reset();
  CloseRetired();
  if (left == 0) plane_->DetachAll();
  right_.GiveBack();
  return left;
}

PacketTable::~PacketTable() {
  // Not closed by anybody: the process goes, and leaves the data plane to the next.
  janitor_.reset();
  if (plane_ != nullptr) {
    shut_ = true;
    CloseRetired();
  }
}

}  // namespace symsplice
