// SPDX-License-Identifier: MIT
// Stage splice: one flow on its way from the pump to the packets, as its relay loop sees it. The
// pump goes on meanwhile: byte positions are the same on either path.
//
//   young -> (due) install -> poll, poll ... -> released   the sockets are given up
//                                            -> ended      its FINs or a RST were relayed
//                                            -> refused    for good: the pump carries it to its end
//
// On the loop's thread, but for status and answer, which any may read.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "packet/narrow.h"
#include "packet/table.h"

namespace symsplice {

// When a flow is worth it; what is shorter never pays.
struct PacketPolicy {
  std::shared_ptr<PacketTable> table;  // null: no packets
  uint32_t owner = 0;
  uint64_t after_bytes = 0;
  uint64_t after_ms = 0;

  bool at_once() const { return after_bytes == 0 || after_ms == 0; }
};

class Transit {
 public:
  explicit Transit(const PacketPolicy& policy) : policy_(policy) {}
  // A flow that is still installed must have been given up by one of the ways below.
  ~Transit() = default;
  Transit(const Transit&) = delete;
  Transit& operator=(const Transit&) = delete;

  bool young() const { return status() == PacketStatus::kYoung; }
  bool installed() const { return status() == PacketStatus::kTransit; }
  bool Due(uint64_t bytes, uint64_t age_ms) const;
  uint64_t after_ms() const { return policy_.after_ms; }

  // False: refused. Then, as before, the pump has it.
  bool Install(const Ownership& ownership, const PacketTable::Pair& pair);

  enum class Step {
    kWait,      // poll again in wait_ms()
    kReleased,  // Release() it now
    kEnded,     // GiveUp() and report ended_reason()
    kRefused,   // it is not installed any more
  };
  // `taken`: bytes that the pump has read so far, by side.
  Step Poll(int client, int upstream, const uint64_t taken[2], uint64_t now_ms);
  uint64_t wait_ms() const { return wait_ms_; }

  // What happened by relaying alone; cheap, for whoever passes by.
  bool ended() const;
  int ended_reason() const;
  // The flow is RELEASED in the kernel already: a socket's error means nothing any more.
  bool released() const;

  // Both halves ended in the pump: true when the sockets may be closed plainly, the flow being the
  // pump's again; false when a direction is relayed, and its FIN is, too.
  bool Leave(int client, int upstream);
  // Teardown, and both descriptors with it. By RST to both sides:
  void Reset(int client, int upstream);
  // Both halves ended in the pump, and both sockets have seen the last acknowledgement:
  void Close(int client, int upstream);
  // It ended, and no word must come from the sockets:
  void GiveUp(int client, int upstream);
  // The janitor's from now on:
  void Release(int client, int upstream);

  // Of the peer's stream, when installed; by side.
  uint64_t bytes(int side) const;
  uint64_t idle_ms() const;
  bool has_fin() const;
  void Detail(DetailWords* out) const { policy_.table->DetailOf(slot_, out); }

  PacketStatus status() const { return status_.load(std::memory_order_acquire); }
  int answer() const { return answer_.load(std::memory_order_relaxed); }

 private:
  const splice_flow_slot& slot() const { return policy_.table->slot(slot_); }
  bool Seen() const;
  void Provoke(int client, int upstream);
  Narrowing::Direction Way(int side, int client, int upstream);
  void Narrow(int client, int upstream, const uint64_t taken[2], uint64_t now_ms);
  void Announce();
  void Widen(int client, int upstream);
  void Refuse(int answer);

  const PacketPolicy& policy_;
  std::atomic<PacketStatus> status_{PacketStatus::kYoung};
  std::atomic<int> answer_{SPLICE_ANSWER_NOT_YET};
  uint32_t slot_ = 0;
  uint64_t since_ms_ = 0;   // installed
  uint64_t wait_ms_ = 1;
  uint32_t probes_ = 0;
  uint64_t probed_ms_ = 0;
  Narrowing narrowing_[2];         // by the side whose stream it is
  uint64_t taken_[2] = {0, 0};     // at the latest poll
};

}  // namespace symsplice
