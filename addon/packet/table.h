// SPDX-License-Identifier: MIT
// The flows that packets carry, as this process knows them: which slot is whose, which is free,
// which source ports are held. One table a process, shared by all engines and workers; the first
// opens the data plane, and holds the network namespace's only right to it.
//
// A slot's way here: kTransit (a relay loop has the sockets and asks), kReleased (nobody has: the
// janitor looks after it), kEnded (reported; it relays what comes late until its time is over),
// kCooling (keys deleted; a processor may still be inside of a program that has seen it), free.
//
// Any thread. One lock guards all; flows are installed and removed under it. A relay loop asks for
// its own flow's steps (Advance, Cancel) without: nobody else touches the slot of a flow in transit.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "flow_table.h"
#include "left_ports.h"
#include "packet/keys.h"
#include "packet/plane.h"
#include "packet/ports.h"
#include "packet/vigil.h"
#include "report_queue.h"
#include "right.h"
#include "splice/packet.h"
#include "transit.h"

namespace symsplice {

class Janitor;

struct PacketSettings {
  uint32_t flows = SPLICE_PACKET_FLOWS_DEFAULT;
  uint16_t port_low = 0;
  uint16_t port_high = 0;
  uint64_t time_wait_ms = 60'000;
  std::string pin_parent = {};  // see pins.h
};

class PacketTable : public FlowTable {
 public:
  // The process' table, with one handle more; opened when there is none.
  static BpfResult Open(std::span<const uint8_t> bytes, const PacketSettings& settings,
                        std::shared_ptr<PacketTable>* out);
  // The last of the process' handles leaves: takes the data plane off, unless `keep` and flows are
  // left in the kernel. How many those are.
  static uint32_t Close(std::shared_ptr<PacketTable> table, bool keep);
  // Resets every flow that is left on this host, and removes all filters. EBUSY while a process
  // has a table.
  struct Removed {
    uint32_t filters;
    uint32_t flows;
  };
  static BpfResult Uninstall(const std::string& pin_parent, Removed* out);
  ~PacketTable() override;
  PacketTable(const PacketTable&) = delete;
  PacketTable& operator=(const PacketTable&) = delete;

  uint32_t Join(ReportQueue* queue) override;
  uint32_t Leave(uint32_t owner, bool keep) override;
  bool Counters(uint32_t owner, uint64_t id, FlowWords* out) override;
  bool Detail(uint32_t owner, uint64_t id, DetailWords* out) override;
  bool End(uint32_t owner, uint64_t id) override;
  uint16_t NextPort(const splice_key& destination) override;
  void RestPorts(const splice_key& destination) override;
  void Intend(int client, int upstream, const splice_key& key, uint32_t lacks) override;
  std::unique_ptr<Transit> Begin(const TransitPolicy& policy, int client) override;

  // Stage splice, for packet/packet_transit.h. A slot number, or why there is none.
  struct Installed {
    int answer;
    uint32_t slot;
  };
  Installed Install(const Ownership& ownership, const TransitPair& pair);
  int Advance(uint32_t slot);
  int Cancel(uint32_t slot);
  // No socket is needed any more: the janitor has the flow, and closes them without a word.
  void Release(uint32_t slot, int client, int upstream);
  // It ended in transit, and the caller reports it.
  void Ended(uint32_t slot, int client, int upstream);
  // It is to end, and no word of its sockets would get out: RST to both sides by hand.
  void Discard(uint32_t slot, int client, int upstream);
  // Its keys are of no use any more: cancelled, or reset.
  void Remove(uint32_t slot);
  const splice_flow_slot& slot(uint32_t index) const { return *plane_->slot(index); }
  // Whether a peer is promised no more than the other one promises (SPLICE_LEG_NARROW).
  void Narrow(uint32_t index, int side, bool narrow);
  void DetailOf(uint32_t slot, DetailWords* out) const;

  // Adoption: flows of an earlier process that nobody has claimed. The callback gets the slot and
  // returns the number under which `owner` knows it.
  struct Adopted {
    uint64_t id;
    uint32_t slot;
    uint64_t age_ms;
  };
  // `idle_ms` is also that of other builds' flows, which nobody adopts.
  std::vector<Adopted> Adopt(uint32_t owner, uint64_t idle_ms, uint64_t* next_id);
  struct Foreign {
    uint32_t abi;
    std::string tag;
    uint32_t flows;
  };
  std::vector<Foreign> ForeignPlanes();

  struct Usage {
    uint32_t max_flows;
    uint32_t transit;
    uint32_t released;
    uint32_t ended;
    size_t ports;
    uint64_t refused;
  };
  Usage GetUsage();
  Plane& plane() { return *plane_; }

  // For the janitor's thread.
  void OnEvent(const splice_packet_event& event);
  // Looks after what has no sockets; some slots a call, each about once a second.
  void Sweep();
  // Closes what is due; milliseconds to the next, -1 when there is none.
  int CloseRetired();

  static uint64_t NowMs();

 private:
  enum class Stage : uint8_t { kFree, kTransit, kReleased, kEnded, kCooling };
  struct Record {
    Ownership owned;
    uint64_t due_ms = 0;    // kEnded, kCooling: when it goes on
    Asked asked = {};
    uint32_t live_at = 0;   // place in live_
    Stage stage = Stage::kFree;
    bool holds_port = false;
  };
  struct Owner {
    ReportQueue* queue = nullptr;
    std::unordered_map<uint64_t, uint32_t> slots;  // flows without sockets, by number
  };
  struct Retired {
    uint64_t due_ms;
    int fd;
  };
  // A flow on programs of another build, between two sweeps. In its slot nothing is ours.
  struct Watched {
    Pulse pulse{UINT64_MAX, 0};  // none yet
    Asked asked = {};
  };
  struct ForeignPlane {
    Remains remains;
    std::unordered_map<uint32_t, Watched> watched;  // by slot
  };

  explicit PacketTable(const PacketSettings& settings);
  BpfResult TakeRight();
  BpfResult Start(std::span<const uint8_t> bytes);
  void FindLeft();
  void HoldForeignPorts();
  void LookAtLeftPorts();
  uint32_t Shut(bool keep);

  // Under the lock, all of these.
  int64_t Take();
  void Live(uint32_t slot, const Ownership& ownership, Stage stage);
  void HoldPort(uint32_t slot);
  void Retire(int fd);
  void End(uint32_t slot, int reason, uint64_t now);
  void Cool(uint32_t slot, uint64_t now);
  void Finish(uint32_t slot, int reason, uint64_t now);
  void Report(uint32_t slot, int reason, uint64_t now);
  void Abort(uint32_t slot, int reason, uint64_t now);
  void Free(uint32_t slot);
  void Look(uint32_t slot, uint64_t now);
  void Watch(uint32_t slot, uint64_t now);
  uint64_t Hurry(uint32_t slot) const;
  void SweepForeign(uint64_t now);
  bool SweepForeign(ForeignPlane* plane);
  bool ForeignIsOver(const splice_flow_slot& flow, Watched* watched) const;

  // Behind a reset nothing sensible comes any more.
  static constexpr uint64_t kResetQuietMs = 2000;

  const PacketSettings settings_;
  const KeepAlivePace keepalive_;
  uint32_t handles_ = 0;  // guarded by the registry's lock
  Right right_;
  std::unique_ptr<Plane> plane_;
  std::unique_ptr<Janitor> janitor_;

  std::mutex mutex_;  // guards everything below
  SourcePorts ports_;
  std::vector<Record> records_;   // by slot, as far as slots were used
  std::vector<uint32_t> live_;    // slots that are not free
  std::vector<uint32_t> free_;    // used before, free again
  uint32_t fresh_ = 0;            // from here on no slot was ever used
  size_t swept_ = 0;              // where in live_ the sweep goes on
  std::vector<ForeignPlane> foreign_;
  std::vector<splice_key> foreign_ports_;  // held for its flows
  LeftPorts left_ports_;                   // of flows in the kernel module
  uint64_t foreign_due_ms_ = 0;
  uint64_t foreign_idle_ms_ = 0;
  uint32_t next_owner_ = 1;
  std::unordered_map<uint32_t, Owner> owners_;
  std::deque<Retired> retired_;
  uint64_t refused_ = 0;
  bool shut_ = false;
};

}  // namespace symsplice
