// SPDX-License-Identifier: MIT
// Stage splice: one flow on its way from the pump to the packets. The pump goes on meanwhile: byte
// positions are the same on either path. See transit.h.
#pragma once

#include <cstdint>

#include "packet/narrow.h"
#include "packet/table.h"
#include "transit.h"

namespace symsplice {

class PacketTransit : public Transit {
 public:
  // `table` is the policy's.
  PacketTransit(const TransitPolicy& policy, PacketTable* table)
      : Transit(policy), table_(table) {}

  bool takes_sockets() const override { return false; }
  bool Install(const Ownership& ownership, const TransitPair& pair) override;
  Step Poll(int client, int upstream, const uint64_t taken[2], uint64_t now_ms) override;
  bool ended() const override;
  bool released() const override;
  bool Leave(int client, int upstream) override;
  void Reset(int client, int upstream) override;
  void End(int client, int upstream, Report* report) override;
  void Release(int client, int upstream) override;
  bool Count(FlowWords* out) const override;
  uint64_t idle_ms() const override;
  void Detail(DetailWords* out) const override { table_->DetailOf(slot_, out); }

 private:
  const splice_flow_slot& slot() const { return table_->slot(slot_); }
  bool has_fin() const;
  bool Seen() const;
  void Provoke(int client, int upstream);
  Narrowing::Direction Way(int side, int client, int upstream);
  void Narrow(int client, int upstream, const uint64_t taken[2], uint64_t now_ms);
  void Announce();
  void Widen(int client, int upstream);

  PacketTable* const table_;
  uint32_t slot_ = 0;
  uint64_t since_ms_ = 0;   // installed
  uint32_t probes_ = 0;
  uint64_t probed_ms_ = 0;
  Narrowing narrowing_[2];         // by the side whose stream it is
  uint64_t taken_[2] = {0, 0};     // at the latest poll
};

}  // namespace symsplice
