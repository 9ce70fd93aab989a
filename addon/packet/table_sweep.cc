// SPDX-License-Identifier: MIT
// Stages relay and teardown of flows without sockets: what the janitor's thread asks of the table.
#include <bpf/bpf.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "packet/pins.h"
#include "packet/raw_segment.h"
#include "packet/table.h"
#include "socket.h"

namespace symsplice {
namespace {

constexpr size_t kSweepsASecond = 8;
constexpr uint64_t kForeignMs = 5000;

uint32_t TickNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint32_t>(
      (static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec)) >>
      SPLICE_TICK_SHIFT);
}

// Since `tick`; what another processor wrote a moment ahead is now.
uint64_t TicksSince(uint32_t tick) {
  const auto ticks = static_cast<int32_t>(TickNow() - tick);
  return ticks > 0 ? static_cast<uint64_t>(ticks) : 0;
}

uint64_t MsOfTicks(uint64_t ticks) { return (ticks << SPLICE_TICK_SHIFT) / 1'000'000; }

// Says nothing to the peer: its bytes go another way now.
void CloseSilently(int fd) {
  const int on = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) < 0) SetReset(fd);
  close(fd);
}

}  // namespace

uint64_t PacketTable::IdleMs(const splice_flow_slot& flow) const {
  return MsOfTicks(std::min(TicksSince(flow.leg[SPLICE_CLIENT].active),
                            TicksSince(flow.leg[SPLICE_SERVER].active)));
}

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

void PacketTable::Sweep() {
  ForgetAskers();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const uint64_t now = NowMs();
    // Backwards: a slot that is freed is replaced by the last one, which was looked at already.
    for (size_t left = live_.size() / kSweepsASecond + 1; left > 0 && !live_.empty(); left--) {
      if (swept_ == 0 || swept_ > live_.size()) swept_ = live_.size();
      Look(live_[--swept_], now);
    }
  }
  SweepForeign();
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
      } else if (record.owned.idle_ms > 0 && IdleMs(flow) >= record.owned.idle_ms) {
        Abort(slot, SPLICE_CLOSE_IDLE, now);
      } else {
        KeepAlive(slot, now);
      }
      break;
    case Stage::kEnded:
      if (now + Hurry(slot) < record.due_ms) break;
      plane_->Remove(slot);
      Cool(slot, now);
      break;
    case Stage::kCooling:
      if (now >= record.due_ms) Free(slot);
      break;
    case Stage::kTransit:
    case Stage::kFree:
      break;
  }
}

// A peer that vanished without a word is noticed as a socket with SO_KEEPALIVE would, and at the
// same pace. What it answers makes it active again.
void PacketTable::KeepAlive(uint32_t slot, uint64_t now) {
  const splice_flow_slot& flow = this->slot(slot);
  uint8_t& probes = records_[slot].probes;
  const uint64_t client = MsOfTicks(TicksSince(flow.leg[SPLICE_CLIENT].active));
  const uint64_t silent =
      std::max(client, MsOfTicks(TicksSince(flow.leg[SPLICE_SERVER].active)));
  if (silent < keepalive_.time_ms) {
    probes = 0;
  } else if (silent >= keepalive_.time_ms + probes * keepalive_.interval_ms) {
    if (probes++ < keepalive_.probes) {
      SendProbes(flow);
    } else {
      Abort(slot, silent == client ? SPLICE_CLOSE_CLIENT_RESET : SPLICE_CLOSE_UPSTREAM_RESET, now);
    }
  }
}

// Both peers hear of it; then the keys go, and what still comes the host answers itself.
void PacketTable::Abort(uint32_t slot, int reason, uint64_t now) {
  SendResets(this->slot(slot));
  plane_->Remove(slot);
  Report(slot, reason, now);
  Cool(slot, now);
}

// Planes of other builds end their flows on their own programs. They have no janitor but this one:
// a version that changes the places of key, phase, ended and way in a slot must teach it both.
void PacketTable::SweepForeign() {
  const uint64_t now = NowMs();
  std::lock_guard<std::mutex> lock(mutex_);
  if (foreign_.empty() || now < foreign_due_ms_) return;
  foreign_due_ms_ = now + kForeignMs;
  std::erase_if(foreign_, [this](const Remains& remains) {
    const int legs = remains.Map("legs");
    const std::vector<splice_key> keys = KeysOf(legs, remains.flows);
    for (const splice_key& key : keys) {
      uint32_t leg = 0;
      splice_flow_slot flow;
      if (bpf_map_lookup_elem(legs, &key, &leg) != 0) continue;
      if (!remains.Slot(leg >> 1, &flow)) continue;
      const bool over = flow.phase == SPLICE_PHASE_ENDED &&
                        MsOfTicks(TicksSince(flow.ended)) >= settings_.time_wait_ms;
      // Some of its bytes went with the process.
      const bool torn = flow.phase == SPLICE_PHASE_TRANSIT && !BothRelayed(flow);
      if (torn) SendResets(flow);
      if (over || torn) {
        for (const splice_leg& each : flow.leg) bpf_map_delete_elem(legs, &each.key);
      }
    }
    if (!keys.empty()) return false;
    for (const Filter& filter : remains.filters) DetachFilters(filter.ifindex, filter.priority);
    RemovePins(PinDirectory(settings_.pin_parent, remains.priority));
    return true;
  });
  if (!foreign_.empty()) return;
  for (const splice_key& key : foreign_ports_) ports_.Free(key);
  foreign_ports_.clear();
}

}  // namespace symsplice
