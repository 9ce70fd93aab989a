// SPDX-License-Identifier: MIT
// Stage relay of flows that segments carry: how long one has been without a byte, and whether both
// peers are still there. What a socket's timers would know. Any thread; decides, and does nothing.
#pragma once

#include <cstdint>

#include "splice/packet.h"

namespace symsplice {

// As net.ipv4.tcp_keepalive_* say.
struct KeepAlivePace {
  uint64_t time_ms;
  uint64_t interval_ms;
  uint64_t probes;
};

// The pace of this network namespace.
KeepAlivePace ReadKeepAlivePace();

// What other processors wrote a moment ahead is now.
uint64_t MsSinceTick(uint32_t tick);

// When bytes moved last, as far as somebody has looked. Segments without bytes do not count: peers
// with keepalive send them for ever.
struct Pulse {
  uint64_t bytes;  // of both streams
  uint32_t tick;
};

// What a look finds that comes after `before`: bytes that moved in between did so no later than the
// latest segment.
Pulse FeelPulse(const splice_flow_slot& flow, const Pulse& before);

// A flow of ours keeps its pulse in its slot: for whoever asks, and for the next process.
void StartPulse(splice_flow_slot* flow);
// The sweep's alone.
void KeepPulse(splice_flow_slot* flow);
uint64_t IdleMs(const splice_flow_slot& flow);

// What is to be done about a flow without sockets.
enum class Vigil { kNothing, kProbe, kIdle, kClientGone, kServerGone };

// What was asked of peers that fell silent.
struct Asked {
  uint32_t tick = 0;   // of the latest probe
  uint8_t probes = 0;  // unanswered
};

// `idle_most` 0: it may be idle for ever.
Vigil KeepVigil(const splice_flow_slot& flow, uint64_t idle_ms, uint64_t idle_most,
                const KeepAlivePace& pace, Asked* asked);

// Why it ended, for those that end it.
int ReasonOf(Vigil vigil);

}  // namespace symsplice
