// SPDX-License-Identifier: MIT
#include "module/table.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "align.h"
#include "module/module_transit.h"
#include "module/watch.h"
#include "packet/keys.h"
#include "packet/vigil.h"
#include "splice/abi.h"
#include "splice/packet-counters.h"

namespace symsplice {
namespace {

bool HasFin(const splice_flow_slot& flow) {
  const auto ends = [](const splice_leg& leg) {
    return (leg.flags & SPLICE_LEG_FIN) != 0 || leg.state >= SPLICE_SIDE_FIN_RELAYED;
  };
  return ends(flow.leg[SPLICE_CLIENT]) || ends(flow.leg[SPLICE_SERVER]) ||
         flow.phase == SPLICE_PHASE_ENDED;
}

int AnswerOf(int error) {
  switch (error) {
    case EXDEV: return kOtherNamespace;
    case ENOENT: return kModuleGone;
    // TCP by its addresses, and none to the kernel's TCP.
    case EPROTOTYPE: return SPLICE_ANSWER_MPTCP;
    default: return kModuleFailed;
  }
}

}  // namespace

uint64_t ModuleTable::NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

ModuleTable::ModuleTable(const ModuleSettings& settings)
    : settings_(settings), ports_(settings.port_low, settings.port_high) {}

uint32_t ModuleTable::Join(ReportQueue* queue) {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t owner = next_owner_++;
  owners_[owner].queue = queue;
  return owner;
}

uint32_t ModuleTable::Leave(uint32_t owner, bool keep) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return 0;
  // Nobody hears of them any more.
  const Owner leaving = std::move(found->second);
  owners_.erase(found);
  for (const auto& [id, flow] : leaving.flows) {
    Record& record = flows_[flow];
    record.owned = Ownership{0, 0, record.owned.started_ms, 0};
    if (!keep) commands_.Abort(flow);
  }
  return keep ? static_cast<uint32_t>(leaving.flows.size()) : 0;
}

// The module's number of an owner's flow; 0: there is none.
uint64_t ModuleTable::Find(uint32_t owner, uint64_t id) const {
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return 0;
  const auto flow = found->second.flows.find(id);
  return flow == found->second.flows.end() ? 0 : flow->second;
}

// What the module says is asked without the lock, since it may take long.
bool ModuleTable::Look(uint32_t owner, uint64_t id, Record* record, uint64_t* flow,
                       splice_flow_slot* slot) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    *flow = Find(owner, id);
    if (*flow == 0) return false;
    *record = flows_[*flow];
  }
  return view_.Slot(*flow, slot);
}

bool ModuleTable::Counters(uint32_t owner, uint64_t id, FlowWords* out) {
  Record record;
  uint64_t flow;
  splice_flow_slot slot;
  if (!Look(owner, id, &record, &flow, &slot)) return false;
  const auto bytes = [&](int side) {
    return static_cast<double>(record.bytes[side] + slot.leg[side].bytes);
  };
  *out = {bytes(SPLICE_CLIENT),
          bytes(SPLICE_SERVER),
          static_cast<double>(HasFin(slot) ? SPLICE_FLOW_TEARDOWN : SPLICE_FLOW_RELAY),
          static_cast<double>(MsSinceTick(slot.moved)),
          static_cast<double>(record.owing ? PacketStatus::kTransit : PacketStatus::kReleased),
          SPLICE_ANSWER_DONE};
  return true;
}

bool ModuleTable::Detail(uint32_t owner, uint64_t id, DetailWords* out) {
  Record record;
  uint64_t flow;
  splice_flow_slot slot;
  if (!Look(owner, id, &record, &flow, &slot)) return false;
  const splice_leg& client = slot.leg[SPLICE_CLIENT];
  const splice_leg& server = slot.leg[SPLICE_SERVER];
  const uint64_t since_ms = slot.installed_ns / 1'000'000;
  *out = {static_cast<double>(flow),            static_cast<double>(slot.phase),
          static_cast<double>(client.way),      static_cast<double>(server.way),
          static_cast<double>(client.state),    static_cast<double>(server.state),
          static_cast<double>(client.flags),    static_cast<double>(server.flags),
          static_cast<double>(client.segments), static_cast<double>(server.segments),
          static_cast<double>(record.bytes[SPLICE_CLIENT] + client.bytes),
          static_cast<double>(record.bytes[SPLICE_SERVER] + server.bytes),
          static_cast<double>(slot.family),
          static_cast<double>(NowMs() - std::min(NowMs(), since_ms))};
  return true;
}

bool ModuleTable::End(uint32_t owner, uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t flow = Find(owner, id);
  if (flow == 0) return false;
  // Its event reports it. That of a flow that is gone is on its way, or lost.
  if (commands_.Abort(flow) != 0) doubtful_ = true;
  return true;
}

uint16_t ModuleTable::NextPort(const splice_key& destination) {
  std::lock_guard<std::mutex> lock(mutex_);
  return ports_.Next(destination, NowMs());
}

void ModuleTable::RestPorts(const splice_key& destination) {
  std::lock_guard<std::mutex> lock(mutex_);
  ports_.Rest(destination, NowMs());
}

// From an intent on segments with data wait, so that it is only made where the SYN must offer less,
// or the splice follows at once.
void ModuleTable::Intend(int client, int upstream, const splice_key&, uint32_t lacks) {
  if (lacks == 0 && !settings_.at_once) return;
  ModuleAnswer refusal;
  commands_.Intend(client, upstream, &refusal);
}

std::unique_ptr<Transit> ModuleTable::Begin(const TransitPolicy& policy, int client) {
  if (!policy.at_once() && OptionsLacking(client) != 0) commands_.Cancel(client);
  return std::make_unique<ModuleTransit>(policy, this);
}

int ModuleTable::Install(const Ownership& ownership, const TransitPair& pair) {
  Leg client;
  Leg server;
  int answer = SPLICE_ANSWER_DONE;
  if (!LegOf(pair.client, &client)) {
    answer = SPLICE_ANSWER_NO_CLIENT;
  } else if (!LegOf(pair.upstream, &server)) {
    answer = SPLICE_ANSWER_NO_SERVER;
  } else if (client.family != server.family) {
    answer = kFamilies;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (answer == SPLICE_ANSWER_DONE && !ports_.Contains(ntohs(server.key.local_port))) {
    answer = kForeignPort;
  }
  ModuleAnswer said;
  if (answer == SPLICE_ANSWER_DONE) {
    // What came from one side is owed to the other.
    const uint32_t owed[] = {pair.pending[SPLICE_SERVER], pair.pending[SPLICE_CLIENT]};
    const auto idle_ms = static_cast<uint32_t>(std::min<uint64_t>(ownership.idle_ms, UINT32_MAX));
    const int error = commands_.Splice(pair.client, pair.upstream, owed, idle_ms, &said);
    if (error == 0 && said.answer == SPLICE_ANSWER_DONE) {
      Record& record = flows_[said.flow];
      record = {ownership,
                {pair.bytes[SPLICE_CLIENT], pair.bytes[SPLICE_SERVER]},
                server.key,
                owed[SPLICE_CLIENT] + owed[SPLICE_SERVER] > 0};
      ports_.Hold(server.key);
      if (const auto owner = owners_.find(ownership.owner); owner != owners_.end()) {
        owner->second.flows[ownership.id] = said.flow;
      }
      return SPLICE_ANSWER_DONE;
    }
    answer = error == 0 ? said.answer : AnswerOf(error);
  }
  refused_++;
  // A refusal of the module's has ended the intent; ours must.
  commands_.Cancel(pair.client);
  return answer;
}

void ModuleTable::Paid(const Ownership& ownership) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (const uint64_t flow = Find(ownership.owner, ownership.id); flow != 0) {
    flows_[flow].owing = false;
  }
}

ModuleTable::Usage ModuleTable::GetUsage() {
  const ModuleView::Phases phases = view_.CountPhases();
  std::lock_guard<std::mutex> lock(mutex_);
  return {phases.transit, phases.released, phases.ended, ports_.held(), refused_};
}

void ModuleTable::OnEvent(const ModuleEvent& event) {
  if (event.type != SPLICE_PACKET_ENDED) return;
  std::lock_guard<std::mutex> lock(mutex_);
  Finish(event.flow, event.reason, event.bytes);
}

void ModuleTable::Finish(uint64_t flow, int reason, const uint64_t bytes[2]) {
  const auto found = flows_.find(flow);
  if (found == flows_.end()) return;
  const Record record = found->second;
  flows_.erase(found);
  // It comes again after all others, and the module lets a new connection have it.
  ports_.Free(record.server);
  const auto owner = owners_.find(record.owned.owner);
  if (owner == owners_.end()) return;
  owner->second.flows.erase(record.owned.id);
  const uint64_t now = NowMs();
  owner->second.queue->Push({record.owned.id, reason, 0,
                             record.bytes[SPLICE_CLIENT] + bytes[SPLICE_CLIENT],
                             record.bytes[SPLICE_SERVER] + bytes[SPLICE_SERVER],
                             static_cast<double>(now - std::min(now, record.owned.started_ms)),
                             static_cast<int>(PacketStatus::kReleased), SPLICE_ANSWER_DONE});
}

// Only flows that were known before the look: one that is missing then is gone. Why, nobody can say.
void ModuleTable::Reconcile() {
  std::vector<uint64_t> known;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    doubtful_ = false;
    for (const auto& [flow, record] : flows_) known.push_back(flow);
  }
  std::vector<ModuleFlow> flows;
  const int error = looks_.Dump(&flows);
  std::unordered_map<uint64_t, const splice_flow_slot*> seen;
  for (const ModuleFlow& flow : flows) seen[flow.id] = &flow.slot;
  std::lock_guard<std::mutex> lock(mutex_);
  if (error != 0) {
    doubtful_ = true;
    return;
  }
  for (const uint64_t id : known) {
    ModuleFlow asked;
    const auto found = seen.find(id);
    const splice_flow_slot* slot = found == seen.end() ? nullptr : found->second;
    // Whom we believed gone by mistake, nobody would hear of again.
    if (slot == nullptr && looks_.GetFlow(id, &asked) == 0) slot = &asked.slot;
    if (slot != nullptr && slot->phase != SPLICE_PHASE_ENDED) continue;
    const uint64_t bytes[] = {slot == nullptr ? 0 : slot->leg[SPLICE_CLIENT].bytes,
                              slot == nullptr ? 0 : slot->leg[SPLICE_SERVER].bytes};
    Finish(id, slot == nullptr ? int{SPLICE_CLOSE_ERROR} : int{slot->reason}, bytes);
  }
}

bool ModuleTable::Tick() {
  right_.ForgetAskers();
  LookAtLeftPorts();
  ModuleStats stats;
  const int error = looks_.GetStats(&stats);
  if (error == ENOENT || abi_ != SPLICE_ABI_VERSION) return false;
  bool look = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (error == 0 && stats.counters.size() > SPLICE_COUNT_EVENT_LOST) {
      const uint64_t lost = stats.counters[SPLICE_COUNT_EVENT_LOST];
      look = lost != lost_;
      lost_ = lost;
    }
    look = (look || doubtful_) && !flows_.empty();
  }
  if (look) Reconcile();
  return true;
}

// A flow holds the module: those that are left here ended unheard.
void ModuleTable::Gone() {
  std::lock_guard<std::mutex> lock(mutex_);
  abi_ = 0;
  std::vector<uint64_t> known;
  for (const auto& [flow, record] : flows_) known.push_back(flow);
  constexpr uint64_t kUnknown[] = {0, 0};
  for (const uint64_t flow : known) Finish(flow, SPLICE_CLOSE_ERROR, kUnknown);
  doubtful_ = false;
}

// Flows are counted from 1 again: nobody may begin one before Gone() has forgotten the old ones, so
// commands follow last.
void ModuleTable::Return(int events) {
  ModuleStats stats;
  if (looks_.Find() != 0 || looks_.GetStats(&stats) != 0) return;
  if (stats.abi != SPLICE_ABI_VERSION) {
    abi_ = stats.abi;
    return;
  }
  if (JoinModuleEvents(events, looks_.events()) != 0 || commands_.Find() != 0) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    lost_ = 0;
  }
  abi_ = stats.abi;
}

}  // namespace symsplice
