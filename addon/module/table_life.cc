// SPDX-License-Identifier: MIT
// How the table comes to be, what it takes over from an earlier process, and how it goes.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "module/table.h"
#include "module/watch.h"

namespace symsplice {
namespace {

struct Registry {
  std::mutex mutex;
  std::weak_ptr<ModuleTable> table;
};

Registry& TheRegistry() {
  static Registry registry;
  return registry;
}

}  // namespace

ModuleTable::Failure ModuleTable::Open(const ModuleSettings& settings,
                                       std::shared_ptr<ModuleTable>* out) {
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  std::shared_ptr<ModuleTable> table = registry.table.lock();
  if (table == nullptr || table->handles_ == 0) {
    table.reset(new ModuleTable(settings));
    if (const Failure failure = table->Start(); failure.error != 0) return failure;
    registry.table = table;
  }
  table->handles_++;
  *out = std::move(table);
  return {};
}

// Events first: a flow that ends between the two is told by one of them.
ModuleTable::Failure ModuleTable::Start() {
  const char* syscall = "";
  if (const int error = right_.Take(&syscall); error == EADDRINUSE) {
    return {EBUSY, syscall, Right::Holder()};
  } else if (error != 0) {
    return {error, syscall};
  }
  if (const int error = commands_.Open(); error != 0) return {error, "netlink"};
  if (const int error = looks_.Open(); error != 0) return {error, "netlink"};
  std::vector<splice_key> left;
  if (const BpfResult failure = FindPacketFlows(settings_.pin_parent, &left)) {
    return {failure->error, failure->syscall};
  }
  left_ports_.Set(std::move(left), &ports_);
  const int events = OpenModuleEvents(commands_.events(), settings_.event_bytes);
  if (events < 0) return {-events, "netlink"};
  if (const int error = FindLeft(); error != 0) {
    close(events);
    return {error, "netlink"};
  }
  watch_ = std::make_unique<ModuleWatch>(this);
  if (const int error = watch_->Start(events); error != 0) return {error, "clone"};
  return {};
}

// Nobody looks after packets' flows meanwhile: they go when their ends say so, and else stay.
void ModuleTable::LookAtLeftPorts() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!left_ports_.Due(NowMs())) return;
  }
  std::vector<splice_key> left;
  if (FindPacketFlows(settings_.pin_parent, &left)) return;
  std::lock_guard<std::mutex> lock(mutex_);
  left_ports_.Set(std::move(left), &ports_);
}

// Flows of the process that was here before. No lock: nobody else knows the table yet.
int ModuleTable::FindLeft() {
  std::vector<ModuleFlow> flows;
  if (const int error = looks_.Dump(&flows); error != 0) return error;
  for (const ModuleFlow& flow : flows) {
    if (flow.slot.phase != SPLICE_PHASE_TRANSIT && flow.slot.phase != SPLICE_PHASE_RELEASED) {
      continue;
    }
    const splice_key& server = flow.slot.leg[SPLICE_SERVER].key;
    flows_[flow.id] = {Ownership{0, 0, flow.slot.installed_ns / 1'000'000, 0}, {0, 0}, server, false};
    ports_.Hold(server);
  }
  return 0;
}

std::vector<ModuleTable::Adopted> ModuleTable::Adopt(uint32_t owner, uint64_t* next_id) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Adopted> adopted;
  const auto to = owners_.find(owner);
  if (to == owners_.end()) return adopted;
  const uint64_t now = NowMs();
  for (auto& [flow, record] : flows_) {
    ModuleFlow asked;
    if (record.owned.owner != 0 || looks_.GetFlow(flow, &asked) != 0) continue;
    if (asked.slot.phase == SPLICE_PHASE_ENDED) continue;
    const uint64_t id = (*next_id)++;
    record.owned = Ownership{owner, id, record.owned.started_ms, 0};
    to->second.flows[id] = flow;
    adopted.push_back({id, asked.slot.leg[SPLICE_CLIENT].key, asked.slot.leg[SPLICE_SERVER].key,
                       now - std::min(now, record.owned.started_ms)});
  }
  return adopted;
}

void ModuleTable::Close(const std::shared_ptr<ModuleTable>& table) {
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  if (table->handles_ == 0 || --table->handles_ > 0) return;
  table->watch_.reset();
  table->right_.GiveBack();
}

ModuleTable::~ModuleTable() = default;

}  // namespace symsplice
