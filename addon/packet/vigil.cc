// SPDX-License-Identifier: MIT
#include "packet/vigil.h"

#include <ctime>
#include <fstream>
#include <string>

#include "splice/abi.h"

namespace symsplice {
namespace {

uint32_t TickNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint32_t>(
      (static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec)) >>
      SPLICE_TICK_SHIFT);
}

bool IsBefore(uint32_t tick, uint32_t other) { return static_cast<int32_t>(tick - other) < 0; }

uint64_t SystemSetting(const char* name, uint64_t fallback) {
  std::ifstream file(std::string("/proc/sys/net/ipv4/tcp_keepalive_") + name);
  uint64_t value = 0;
  return file >> value ? value : fallback;
}

Pulse PulseOf(const splice_flow_slot& flow) {
  // In the other order than KeepPulse writes: whoever sees the new bytes sees the new tick.
  const uint64_t bytes = __atomic_load_n(&flow.counted, __ATOMIC_ACQUIRE);
  return {bytes, __atomic_load_n(&flow.moved, __ATOMIC_RELAXED)};
}

void SetPulse(splice_flow_slot* flow, const Pulse& pulse) {
  __atomic_store_n(&flow->moved, pulse.tick, __ATOMIC_RELAXED);
  __atomic_store_n(&flow->counted, pulse.bytes, __ATOMIC_RELEASE);
}

}  // namespace

KeepAlivePace ReadKeepAlivePace() {
  return {1000 * SystemSetting("time", 7200), 1000 * SystemSetting("intvl", 75),
          SystemSetting("probes", 9)};
}

uint64_t MsSinceTick(uint32_t tick) {
  const auto ticks = static_cast<int32_t>(TickNow() - tick);
  return ticks > 0 ? (static_cast<uint64_t>(ticks) << SPLICE_TICK_SHIFT) / 1'000'000 : 0;
}

Pulse FeelPulse(const splice_flow_slot& flow, const Pulse& before) {
  const splice_leg& client = flow.leg[SPLICE_CLIENT];
  const splice_leg& server = flow.leg[SPLICE_SERVER];
  const uint64_t bytes = client.bytes + server.bytes;
  if (bytes == before.bytes) return before;
  return {bytes, IsBefore(client.active, server.active) ? server.active : client.active};
}

void StartPulse(splice_flow_slot* flow) {
  SetPulse(flow, {flow->leg[SPLICE_CLIENT].bytes + flow->leg[SPLICE_SERVER].bytes, TickNow()});
}

void KeepPulse(splice_flow_slot* flow) {
  const Pulse before = PulseOf(*flow);
  const Pulse now = FeelPulse(*flow, before);
  if (now.bytes != before.bytes) SetPulse(flow, now);
}

uint64_t IdleMs(const splice_flow_slot& flow) {
  return MsSinceTick(FeelPulse(flow, PulseOf(flow)).tick);
}

// A peer that vanished without a word is noticed as a socket with SO_KEEPALIVE would, and at the
// same pace. What it answers makes it active again.
Vigil KeepVigil(const splice_flow_slot& flow, uint64_t idle_ms, uint64_t idle_most,
                const KeepAlivePace& pace, Asked* asked) {
  if (idle_most > 0 && idle_ms >= idle_most) return Vigil::kIdle;
  const uint32_t client = flow.leg[SPLICE_CLIENT].active;
  const uint32_t server = flow.leg[SPLICE_SERVER].active;
  const bool is_client = IsBefore(client, server);
  const uint32_t heard = is_client ? client : server;
  if (!IsBefore(heard, asked->tick)) asked->probes = 0;
  // The pace is that of the questions, however late the first one was: after an adoption, say.
  const bool due = asked->probes == 0 ? MsSinceTick(heard) >= pace.time_ms
                                      : MsSinceTick(asked->tick) >= pace.interval_ms;
  if (!due) return Vigil::kNothing;
  if (asked->probes < pace.probes) {
    *asked = {TickNow(), static_cast<uint8_t>(asked->probes + 1)};
    return Vigil::kProbe;
  }
  return is_client ? Vigil::kClientGone : Vigil::kServerGone;
}

int ReasonOf(Vigil vigil) {
  switch (vigil) {
    case Vigil::kIdle: return SPLICE_CLOSE_IDLE;
    case Vigil::kClientGone: return SPLICE_CLOSE_CLIENT_RESET;
    case Vigil::kServerGone: return SPLICE_CLOSE_UPSTREAM_RESET;
    case Vigil::kNothing:
    case Vigil::kProbe: break;
  }
  return SPLICE_CLOSE_ABORTED;
}

}  // namespace symsplice
