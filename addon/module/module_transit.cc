// SPDX-License-Identifier: MIT
#include "module/module_transit.h"

#include <unistd.h>

namespace symsplice {

bool ModuleTransit::Install(const Ownership& ownership, const TransitPair& pair) {
  const int answer = table_->Install(ownership, pair);
  if (answer != SPLICE_ANSWER_DONE) {
    Refuse(answer);
    return false;
  }
  owned_ = ownership;
  SetAnswer(answer);
  SetStatus(PacketStatus::kTransit);
  return true;
}

// The module is told first: descriptors that go while bytes are owed would be its reason.
void ModuleTransit::Reset(int client, int upstream) {
  table_->End(owned_.owner, owned_.id);
  close(client);
  close(upstream);
}

// No FIN: the module has the files, too.
void ModuleTransit::Release(int client, int upstream) {
  close(client);
  close(upstream);
  table_->Paid(owned_);
  SetStatus(PacketStatus::kReleased);
}

bool ModuleTransit::Count(FlowWords* out) const {
  const PacketStatus now = status();
  if (now == PacketStatus::kReleased) return false;
  // What it no longer knows has just ended, and the report is on its way.
  if (now == PacketStatus::kTransit) table_->Counters(owned_.owner, owned_.id, out);
  (*out)[4] = static_cast<double>(now);
  (*out)[5] = answer();
  return true;
}

void ModuleTransit::Detail(DetailWords* out) const {
  *out = {};
  table_->Detail(owned_.owner, owned_.id, out);
}

}  // namespace symsplice
