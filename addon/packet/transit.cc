// SPDX-License-Identifier: MIT
#include "packet/transit.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "socket.h"

namespace symsplice {
namespace {

constexpr uint64_t kLongestWaitMs = 64;
constexpr uint64_t kPatienceMs = 5000;      // what is not released by then is asked less often
constexpr uint64_t kImpatientWaitMs = 1024;
// Proving the wire: when a quiet peer is asked for a sign, and how long after the last time it is
// waited for. On a busy machine both come late, and one may follow the other at once.
constexpr uint64_t kProbesMs[] = {3, 100, 300, 700, 1500};
constexpr uint64_t kProofMs = 500;
// A direction is cut where what its socket promised fits the other peer's window. While bytes keep
// coming that is found soonest with a small promise; but not at any price.
constexpr struct {
  uint64_t from_ms;
  int window;
} kClamps[] = {{0, 64 * 1024}, {4, 32 * 1024}, {8, 16 * 1024}, {16, 8 * 1024}, {32, 4 * 1024}};
constexpr uint64_t kClampMs = 200;
constexpr int kUnclamped = 1 << 30;
// What waits unsent in a socket must be gone before the flow can be released.
constexpr int kUnsent = 128 * 1024;

// Bytes unsent from which on a socket takes no more; 0: the system's setting.
void SetUnsent(int fd, int bytes) {
  setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

// Reading steps over an urgent byte that is not inline: one that one stream has and the other not.
void KeepUrgent(int fd) {
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
}

// On and off again makes the kernel send a window probe, which the peer must answer.
void Probe(int fd) {
  int value = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &value, sizeof value) < 0) return;
  value = 0;
  setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &value, sizeof value);
  // Which took it away; and without it nobody else could bind the port.
  value = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value);
}

}  // namespace

bool Transit::Due(uint64_t bytes, uint64_t age_ms) const {
  return bytes >= policy_.after_bytes || age_ms >= policy_.after_ms;
}

bool Transit::Install(const Ownership& ownership, const PacketTable::Pair& pair) {
  KeepUrgent(pair.client);
  KeepUrgent(pair.upstream);
  const PacketTable::Installed installed = policy_.table->Install(ownership, pair);
  if (installed.answer != SPLICE_ANSWER_DONE) {
    Refuse(installed.answer);
    return false;
  }
  slot_ = installed.slot;
  SetUnsent(pair.client, kUnsent);
  SetUnsent(pair.upstream, kUnsent);
  std::copy_n(pair.bytes, 2, taken_);
  since_ms_ = PacketTable::NowMs();
  wait_ms_ = 1;
  answer_.store(SPLICE_ANSWER_NOT_YET, std::memory_order_relaxed);
  status_.store(PacketStatus::kTransit, std::memory_order_release);
  return true;
}

void Transit::Refuse(int answer) {
  answer_.store(answer, std::memory_order_relaxed);
  status_.store(PacketStatus::kRefused, std::memory_order_release);
}

bool Transit::ended() const { return installed() && slot().phase == SPLICE_PHASE_ENDED; }
bool Transit::released() const { return installed() && slot().phase == SPLICE_PHASE_RELEASED; }
int Transit::ended_reason() const { return slot().reason; }
uint64_t Transit::bytes(int side) const { return slot().leg[side].bytes; }

bool Transit::has_fin() const {
  const splice_flow_slot& flow = slot();
  return ((flow.leg[SPLICE_CLIENT].flags | flow.leg[SPLICE_SERVER].flags) & SPLICE_LEG_FIN) != 0;
}

uint64_t Transit::idle_ms() const { return IdleMs(slot()); }

bool Transit::Seen() const {
  return (slot().leg[SPLICE_CLIENT].flags & slot().leg[SPLICE_SERVER].flags & SPLICE_LEG_SEEN) != 0;
}

void Transit::Provoke(int client, int upstream) {
  if ((slot().leg[SPLICE_CLIENT].flags & SPLICE_LEG_SEEN) == 0) Probe(client);
  if ((slot().leg[SPLICE_SERVER].flags & SPLICE_LEG_SEEN) == 0) Probe(upstream);
}

void Transit::Narrow(int fd, int side, bool comes, uint64_t age_ms) {
  int window = kUnclamped;
  if (age_ms < kClampMs) {
    if (!comes || slot().leg[side].way != SPLICE_WAY_SLOW) return;
    for (const auto& clamp : kClamps) {
      if (age_ms >= clamp.from_ms) window = clamp.window;
    }
  } else if (clamp_[side] == 0) {
    return;
  }
  if (clamp_[side] == window) return;
  clamp_[side] = window;
  setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &window, sizeof window);
}

// The pump has it for good.
void Transit::Widen(int client, int upstream) {
  const int fds[] = {client, upstream};
  for (const int side : {SPLICE_CLIENT, SPLICE_SERVER}) {
    SetUnsent(fds[side], 0);
    if (clamp_[side] != 0) {
      setsockopt(fds[side], IPPROTO_TCP, TCP_WINDOW_CLAMP, &kUnclamped, sizeof kUnclamped);
    }
  }
}

Transit::Step Transit::Poll(int client, int upstream, const uint64_t taken[2],
                            uint64_t now_ms) {
  const int answer = policy_.table->Advance(slot_);
  answer_.store(answer, std::memory_order_relaxed);
  switch (answer) {
    case SPLICE_ANSWER_DONE: return Step::kReleased;
    case SPLICE_ANSWER_ENDED: return Step::kEnded;
    default: break;
  }
  const uint64_t age = now_ms - std::min(now_ms, since_ms_);
  if (Seen()) {
    Narrow(client, SPLICE_CLIENT, taken[SPLICE_CLIENT] != taken_[SPLICE_CLIENT], age);
    Narrow(upstream, SPLICE_SERVER, taken[SPLICE_SERVER] != taken_[SPLICE_SERVER], age);
    std::copy_n(taken, 2, taken_);
  } else {
    if (probes_ < std::size(kProbesMs)) {
      if (age >= kProbesMs[probes_]) {
        probes_++;
        probed_ms_ = now_ms;
        Provoke(client, upstream);
      }
    } else if (now_ms - probed_ms_ >= kProofMs && Leave(client, upstream)) {
      Refuse(kNotSeen);
      return Step::kRefused;
    }
  }
  wait_ms_ = std::min(wait_ms_ * 2, age < kPatienceMs ? kLongestWaitMs : kImpatientWaitMs);
  return Step::kWait;
}

bool Transit::Leave(int client, int upstream) {
  if (policy_.table->Cancel(slot_) != SPLICE_ANSWER_DONE) return false;
  policy_.table->Remove(slot_);
  Widen(client, upstream);
  Refuse(SPLICE_ANSWER_NOT_YET);
  return true;
}

// a) No direction turns FAST any more, unless one is. b) Where both are, the guard lets no word of
// the sockets out, so the resets are made by hand; else the kernel's are sent, whose numbers the
// guard raises to what the peers have seen. c) Then the keys go.
void Transit::Reset(int client, int upstream) {
  policy_.table->Cancel(slot_);
  const splice_flow_slot& flow = slot();
  const bool relayed = flow.phase != SPLICE_PHASE_TRANSIT || BothRelayed(flow);
  if (flow.phase == SPLICE_PHASE_ENDED) {
    policy_.table->Ended(slot_, client, upstream);
  } else if (relayed) {
    policy_.table->Discard(slot_, client, upstream);
  } else {
    SetReset(client);
    SetReset(upstream);
    close(client);
    close(upstream);
    policy_.table->Remove(slot_);
  }
}

void Transit::Close(int client, int upstream) {
  close(client);
  close(upstream);
  policy_.table->Remove(slot_);
}

void Transit::GiveUp(int client, int upstream) {
  policy_.table->Ended(slot_, client, upstream);
  status_.store(PacketStatus::kReleased, std::memory_order_release);
}

void Transit::Release(int client, int upstream) {
  policy_.table->Release(slot_, client, upstream);
  status_.store(PacketStatus::kReleased, std::memory_order_release);
}

}  // namespace symsplice
