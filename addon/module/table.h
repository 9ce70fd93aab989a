// SPDX-License-Identifier: MIT
// The flows that the kernel module carries, as this process knows them: which is whose, how many
// bytes it had moved before, which source ports are held. One table a process, shared by all engines
// and workers.
//
// The module tells the end of a flow by an event; one that is lost is found by a look at all flows.
// Nothing else depends on events. A flow is known here before its end can be told: SPLICE is asked
// under the lock, and whoever reads events takes it.
//
// The module can be unloaded only while it has no flow, which may be any time. Whoever asks it for
// something is refused then; the thread that watches finds it when it comes back, as another family.
//
// Any thread. One lock guards all; only looks at flows for people are taken without.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "flow_table.h"
#include "left_ports.h"
#include "module/client.h"
#include "module/view.h"
#include "packet/ports.h"
#include "right.h"
#include "transit.h"

namespace symsplice {

class ModuleWatch;

struct ModuleSettings {
  uint16_t port_low = 0;
  uint16_t port_high = 0;
  bool at_once = false;  // flows do not begin in the pump
  std::string pin_parent = {};  // where packets may have left flows: see packet/pins.h
  // A burst of ends should find room; what does not is found by a look at all flows.
  int event_bytes = 4 * 1024 * 1024;
};

class ModuleTable : public FlowTable {
 public:
  struct Failure {
    int error = 0;  // a positive errno; 0: none
    const char* syscall = "";
    std::string holder = {};  // EBUSY: who has the right
  };
  // The process' table, with one handle more; opened when there is none.
  static Failure Open(const ModuleSettings& settings, std::shared_ptr<ModuleTable>* out);
  static void Close(const std::shared_ptr<ModuleTable>& table);
  ~ModuleTable() override;
  ModuleTable(const ModuleTable&) = delete;
  ModuleTable& operator=(const ModuleTable&) = delete;

  uint32_t Join(ReportQueue* queue) override;
  uint32_t Leave(uint32_t owner, bool keep) override;
  bool Counters(uint32_t owner, uint64_t id, FlowWords* out) override;
  bool Detail(uint32_t owner, uint64_t id, DetailWords* out) override;
  bool End(uint32_t owner, uint64_t id) override;
  uint16_t NextPort(const splice_key& destination) override;
  void RestPorts(const splice_key& destination) override;
  void Intend(int client, int upstream, const splice_key& key, uint32_t lacks) override;
  std::unique_ptr<Transit> Begin(const TransitPolicy& policy, int client) override;

  // Stage accept: 0, or a positive errno.
  int Init(int listener) { return commands_.Init(listener); }
  // The flow is somebody else's: what has been waiting since Intend() goes to its socket.
  void Cancel(int client) { commands_.Cancel(client); }

  // Stage splice, for module/module_transit.h: an enum splice_packet_answer, or one of our own.
  int Install(const Ownership& ownership, const TransitPair& pair);
  // All that the process still had of the flow is written.
  void Paid(const Ownership& ownership);

  // Flows of an earlier process that nobody has claimed; as PacketTable::Adopt().
  struct Adopted {
    uint64_t id;
    splice_key client;
    splice_key server;
    uint64_t age_ms;
  };
  std::vector<Adopted> Adopt(uint32_t owner, uint64_t* next_id);

  struct Usage {
    uint32_t transit;
    uint32_t released;
    uint32_t ended;
    size_t ports;
    uint64_t refused;
  };
  Usage GetUsage();
  int GetStats(ModuleStats* out) { return looks_.GetStats(out); }
  // Of the module that is loaded; 0: none is. Only one of ours is used.
  uint32_t abi() const { return abi_; }

  // For the thread that watches.
  void OnEvent(const ModuleEvent& event);
  // Events were lost: finds the flows that have ended.
  void Reconcile();
  // About once a second: the module counts events that it had no memory for. False: it is not
  // loaded, or was loaded anew.
  bool Tick();
  // It has been unloaded, and all that it said before was heard.
  void Gone();
  // Uses it again if it is loaded; its events come to `events` then.
  void Return(int events);

  static uint64_t NowMs();

 private:
  struct Record {
    Ownership owned;
    uint64_t bytes[2] = {0, 0};  // moved before the splice, by side
    splice_key server{};
    bool owing = false;          // the process has still bytes to write
  };
  struct Owner {
    ReportQueue* queue = nullptr;
    std::unordered_map<uint64_t, uint64_t> flows;  // the module's numbers, by ours
  };

  explicit ModuleTable(const ModuleSettings& settings);
  Failure Start();
  int FindLeft();
  void LookAtLeftPorts();

  // Under the lock, both.
  uint64_t Find(uint32_t owner, uint64_t id) const;
  void Finish(uint64_t flow, int reason, const uint64_t bytes[2]);

  // The flow and what the module says of it now; false when it is gone.
  bool Look(uint32_t owner, uint64_t id, Record* record, uint64_t* flow, splice_flow_slot* slot);

  const ModuleSettings settings_;
  uint32_t handles_ = 0;  // guarded by the registry's lock
  Right right_;
  ModuleClient commands_;
  ModuleClient looks_;    // long answers do not keep commands waiting
  ModuleView view_{&looks_};
  std::unique_ptr<ModuleWatch> watch_;
  std::atomic<uint32_t> abi_{SPLICE_ABI_VERSION};

  std::mutex mutex_;  // guards everything below
  SourcePorts ports_;
  LeftPorts left_ports_;
  std::unordered_map<uint64_t, Record> flows_;  // by the module's numbers
  uint32_t next_owner_ = 1;
  std::unordered_map<uint32_t, Owner> owners_;
  uint64_t refused_ = 0;
  uint64_t lost_ = 0;      // events that the module had lost at the latest look
  bool doubtful_ = false;  // an end may have been missed
};

}  // namespace symsplice
