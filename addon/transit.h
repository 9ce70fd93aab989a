// SPDX-License-Identifier: MIT
// Stage splice: one flow on its way from the pump to a flow table, as its relay loop sees it.
//
//   young -> (due) install -> poll, poll ... -> released   the sockets are given up
//                                            -> ended      it ended in the table
//                                            -> refused    for good: the pump carries it to its end
//
// What happens between install and release is the table's: packets leave the sockets to the pump
// until the streams have been cut over (packet/packet_transit.h), the module has them at once
// (module/module_transit.h).
//
// On the loop's thread, but for status and answer, which any may read.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "flow_table.h"
#include "recovery.h"

namespace symsplice {

// When a flow is worth it; what is shorter never pays.
struct TransitPolicy {
  std::shared_ptr<FlowTable> table;  // null: the pump carries everything
  uint32_t owner = 0;
  uint64_t after_bytes = 0;
  uint64_t after_ms = 0;
  bool patient = false;  // flows that lose less while they are split wait

  bool at_once() const { return after_bytes == 0 || after_ms == 0; }
};

// Two connections in the middle of being pumped; pairs are client's, server's.
struct TransitPair {
  int client;
  int upstream;
  uint64_t bytes[2];    // of each side's stream, read so far
  uint32_t pending[2];  // read and still to be written, by the side they came from
};

class Transit {
 public:
  explicit Transit(const TransitPolicy& policy) : policy_(policy) {}
  // A flow that is still installed must have been given up by one of the ways below.
  virtual ~Transit() = default;
  Transit(const Transit&) = delete;
  Transit& operator=(const Transit&) = delete;

  bool young() const { return status() == PacketStatus::kYoung; }
  bool installed() const { return status() == PacketStatus::kTransit; }
  bool Due(uint64_t bytes, uint64_t age_ms) const {
    return bytes >= policy_.after_bytes || age_ms >= policy_.after_ms;
  }
  uint64_t after_ms() const { return policy_.after_ms; }
  // Due, but better off with the pump for now: try again in Recovery::kAgainMs.
  bool Waits(const TransitPair& pair, uint64_t now_ms) {
    return policy_.patient && !policy_.at_once() &&
           recovery_.IsBetterSplit(pair.client, pair.upstream, pair.bytes[0] + pair.bytes[1], now_ms);
  }

  // Once installed nobody reads from the sockets any more; what was read before is still written.
  virtual bool takes_sockets() const = 0;

  // False: refused. Then, as before, the pump has it.
  virtual bool Install(const Ownership& ownership, const TransitPair& pair) = 0;

  enum class Step {
    kWait,      // poll again in wait_ms()
    kReleased,  // Release() it now
    kEnded,     // End() it now
    kRefused,   // it is not installed any more
  };
  // `taken`: bytes that the pump has read so far, by side.
  virtual Step Poll(int client, int upstream, const uint64_t taken[2], uint64_t now_ms) = 0;
  uint64_t wait_ms() const { return wait_ms_; }

  // It ended in the table, without a word of the sockets; cheap, for whoever passes by.
  virtual bool ended() const = 0;
  // A socket's error means nothing any more.
  virtual bool released() const = 0;

  // Both halves ended in the pump: true when the sockets may be closed plainly, the flow being the
  // pump's again; false when the table goes on with it.
  virtual bool Leave(int client, int upstream) = 0;
  // Teardown, and both descriptors with it. By RST to both sides, without a report:
  virtual void Reset(int client, int upstream) = 0;
  // As `report` says, which is corrected to what the table knows:
  virtual void End(int client, int upstream, Report* report) = 0;
  // The table's from now on:
  virtual void Release(int client, int upstream) = 0;

  // Corrects and completes what the pump counts; false when the flow has been given up.
  virtual bool Count(FlowWords* out) const = 0;
  // Since the table saw a byte; 0 where it has a clock of its own.
  virtual uint64_t idle_ms() const = 0;
  virtual void Detail(DetailWords* out) const = 0;

  PacketStatus status() const { return status_.load(std::memory_order_acquire); }
  int answer() const { return answer_.load(std::memory_order_relaxed); }

 protected:
  void SetStatus(PacketStatus status) { status_.store(status, std::memory_order_release); }
  void SetAnswer(int answer) { answer_.store(answer, std::memory_order_relaxed); }
  void Refuse(int answer) {
    SetAnswer(answer);
    SetStatus(PacketStatus::kRefused);
  }

  const TransitPolicy& policy_;
  uint64_t wait_ms_ = 1;

 private:
  Recovery recovery_;
  std::atomic<PacketStatus> status_{PacketStatus::kYoung};
  std::atomic<int> answer_{SPLICE_ANSWER_NOT_YET};
};

}  // namespace symsplice
