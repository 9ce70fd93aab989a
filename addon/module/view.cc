// SPDX-License-Identifier: MIT
#include "module/view.h"

#include <algorithm>
#include <ctime>
#include <vector>

namespace symsplice {
namespace {

constexpr uint64_t kMomentUs = 10'000;
// A look that took long is not repeated for so many times as long.
constexpr uint64_t kRestFactor = 10;

uint64_t NowUs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace

// Under the lock.
void ModuleView::Refresh() {
  const uint64_t now = NowUs();
  if (now < good_us_) return;
  std::vector<ModuleFlow> flows;
  if (client_->Dump(&flows) != 0) return;
  slots_.clear();
  slots_.reserve(flows.size());
  for (const ModuleFlow& flow : flows) slots_[flow.id] = flow.slot;
  const uint64_t took = NowUs() - now;
  good_us_ = now + took + std::max(kMomentUs, kRestFactor * took);
}

bool ModuleView::Slot(uint64_t flow, splice_flow_slot* out) {
  std::lock_guard<std::mutex> lock(mutex_);
  Refresh();
  const auto found = slots_.find(flow);
  if (found != slots_.end()) {
    *out = found->second;
    return true;
  }
  // It is younger.
  ModuleFlow asked;
  if (client_->GetFlow(flow, &asked) != 0) return false;
  *out = asked.slot;
  return true;
}

ModuleView::Phases ModuleView::CountPhases() {
  std::lock_guard<std::mutex> lock(mutex_);
  Refresh();
  Phases phases{0, 0, 0};
  for (const auto& [id, slot] : slots_) {
    switch (slot.phase) {
      case SPLICE_PHASE_TRANSIT: phases.transit++; break;
      case SPLICE_PHASE_RELEASED: phases.released++; break;
      case SPLICE_PHASE_ENDED: phases.ended++; break;
      default: break;
    }
  }
  return phases;
}

}  // namespace symsplice
