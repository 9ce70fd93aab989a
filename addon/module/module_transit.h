// SPDX-License-Identifier: MIT
// Stage splice: one flow on its way from the pump to the module, which is one step: from SPLICE on
// the sockets are the module's, and the pump only writes what it has read before. Their last
// descriptors may be closed then, and the process may end. See transit.h.
#pragma once

#include "module/table.h"
#include "transit.h"

namespace symsplice {

class ModuleTransit : public Transit {
 public:
  // `table` is the policy's.
  ModuleTransit(const TransitPolicy& policy, ModuleTable* table)
      : Transit(policy), table_(table) {}

  bool takes_sockets() const override { return true; }
  bool Install(const Ownership& ownership, const TransitPair& pair) override;
  // Nothing is to be asked: the table hears of what happens, and reports it.
  Step Poll(int, int, const uint64_t[2], uint64_t) override { return Step::kWait; }
  bool ended() const override { return false; }
  bool released() const override { return installed(); }
  bool Leave(int, int) override { return false; }
  void Reset(int client, int upstream) override;
  void End(int client, int upstream, Report*) override { Reset(client, upstream); }
  void Release(int client, int upstream) override;
  bool Count(FlowWords* out) const override;
  uint64_t idle_ms() const override { return 0; }
  void Detail(DetailWords* out) const override;

 private:
  ModuleTable* const table_;
  Ownership owned_;
};

}  // namespace symsplice
