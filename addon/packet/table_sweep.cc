// SPDX-License-Identifier: MIT
// Stages relay and teardown of flows without sockets: what the janitor's thread asks of the table.
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "packet/raw_segment.h"
#include "packet/table.h"
#include "socket.h"

namespace symsplice {
namespace {

constexpr size_t kSweepsASecond = 8;

// Says nothing to the peer: its bytes go another way now.
void CloseSilently(int fd) {
  const int on = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) < 0) SetReset(fd);
  close(fd);
}

}  // namespace

int PacketTable::CloseRetired() {
  std::deque<Retired> due;
  int wait = -1;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const uint64_t now = NowMs();
    while (!retired_.empty() && (retired_.front().due_ms <= now || shut_)) {
      due.push_back(retired_.front());
      retired_.pop_front();
    }
    if (!retired_.empty()) wait = static_cast<int>(retired_.front().due_ms - now);
  }
  for (const Retired& retired : due) CloseSilently(retired.fd);
  return wait;
}

void PacketTable::OnEvent(const splice_packet_event& event) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (event.slot >= records_.size() || event.type == SPLICE_PACKET_RELEASED) return;
  // What a relay loop has it finds itself; of an earlier user of the slot nobody wants to hear.
  if (records_[event.slot].stage != Stage::kReleased) return;
  if (slot(event.slot).generation != event.generation) return;
  Finish(event.slot, static_cast<int>(event.reason), NowMs());
}

// Flows of the kernel module, which looks after them by itself.
void PacketTable::LookAtLeftPorts() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!left_ports_.Due(NowMs())) return;
  }
  std::vector<splice_key> left;
  if (FindModuleFlows(&left) != 0) return;
  std::lock_guard<std::mutex> lock(mutex_);
  left_ports_.Set(std::move(left), &ports_);
}

void PacketTable::Sweep() {
  right_.ForgetAskers();
  LookAtLeftPorts();
  std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t now = NowMs();
  // Backwards: a slot that is freed is replaced by the last one, which was looked at already.
  for (size_t left = live_.size() / kSweepsASecond + 1; left > 0 && !live_.empty(); left--) {
    if (swept_ == 0 || swept_ > live_.size()) swept_ = live_.size();
    Look(live_[--swept_], now);
  }
  SweepForeign(now);
}

// By how much an ended flow goes before its time: nothing while half of the slots, and of the
// source ports to its destination, are free; all but the quiet time of a reset when none is. Linux
// reuses a port in TIME-WAIT after a second, too (tcp_tw_reuse): timestamps tell the two apart.
uint64_t PacketTable::Hurry(uint32_t slot) const {
  const double load = std::max(static_cast<double>(live_.size()) / plane_->flows(),
                               ports_.Load(this->slot(slot).leg[SPLICE_SERVER].key));
  if (load <= 0.5 || settings_.time_wait_ms <= kResetQuietMs) return 0;
  const auto most = static_cast<double>(settings_.time_wait_ms - kResetQuietMs);
  return static_cast<uint64_t>(most * std::min(1.0, 2 * load - 1));
}

void PacketTable::Look(uint32_t slot, uint64_t now) {
  const Record& record = records_[slot];
  const splice_flow_slot& flow = this->slot(slot);
  switch (record.stage) {
    case Stage::kReleased:
      // Its event was lost, the ring buffer being full.
      if (flow.phase == SPLICE_PHASE_ENDED) {
        Finish(slot, flow.reason, now);
      } else {
        KeepPulse(plane_->slot(slot));
        Watch(slot, now);
      }
      break;
    case Stage::kTransit:
      KeepPulse(plane_->slot(slot));
      break;
    case Stage::kEnded:
      if (now + Hurry(slot) < record.due_ms) break;
      plane_->Remove(slot);
      Cool(slot, now);
      break;
    case Stage::kCooling:
      if (now >= record.due_ms) Free(slot);
      break;
    case Stage::kFree:
      break;
  }
}

void PacketTable::Watch(uint32_t slot, uint64_t now) {
  Record& record = records_[slot];
  const splice_flow_slot& flow = this->slot(slot);
  const Vigil vigil =
      KeepVigil(flow, IdleMs(flow), record.owned.idle_ms, keepalive_, &record.asked);
  switch (vigil) {
    case Vigil::kNothing: break;
    case Vigil::kProbe: SendProbes(flow); break;
    case Vigil::kIdle:
    case Vigil::kClientGone:
    case Vigil::kServerGone: Abort(slot, ReasonOf(vigil), now);
  }
}

// Both peers hear of it; then the keys go, and what still comes the host answers itself.
void PacketTable::Abort(uint32_t slot, int reason, uint64_t now) {
  SendResets(this->slot(slot));
  plane_->Remove(slot);
  Report(slot, reason, now);
  Cool(slot, now);
}

}  // namespace symsplice
