// SPDX-License-Identifier: MIT
#include "packet/transit.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "packet/raw_segment.h"
#include "packet/sign.h"
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
  if ((slot().leg[SPLICE_CLIENT].flags & SPLICE_LEG_SEEN) == 0) AskForSign(client);
  if ((slot().leg[SPLICE_SERVER].flags & SPLICE_LEG_SEEN) == 0) AskForSign(upstream);
}

Narrowing::Direction Transit::Way(int side, int client, int upstream) {
  const bool up = side == SPLICE_CLIENT;
  return {*policy_.table, slot_, side, up ? client : upstream, up ? upstream : client};
}

// The pump has it for good.
void Transit::Widen(int client, int upstream) {
  for (const int side : {SPLICE_CLIENT, SPLICE_SERVER}) {
    const Narrowing::Direction way = Way(side, client, upstream);
    SetUnsent(way.from, 0);
    narrowing_[side].Undo(way);
  }
}

void Transit::Narrow(int client, int upstream, const uint64_t taken[2], uint64_t now_ms) {
  for (const int side : {SPLICE_CLIENT, SPLICE_SERVER}) {
    Narrowing& narrowing = narrowing_[side];
    const bool was_busy = narrowing.busy();
    narrowing.Step(Way(side, client, upstream), taken[side] != taken_[side], now_ms);
    if (!was_busy && narrowing.busy()) wait_ms_ = 1;
    taken_[side] = taken[side];
  }
}

// A peer that was promised little learns of the other's window by its answer to this.
void Transit::Announce() {
  bool unheard = false;
  for (const int side : {SPLICE_CLIENT, SPLICE_SERVER}) {
    if (slot().leg[side].way == SPLICE_WAY_FAST) unheard |= narrowing_[side].TakeUnheard();
  }
  if (unheard) SendProbes(slot());
}

Transit::Step Transit::Poll(int client, int upstream, const uint64_t taken[2],
                            uint64_t now_ms) {
  const int answer = policy_.table->Advance(slot_);
  answer_.store(answer, std::memory_order_relaxed);
  Announce();
  switch (answer) {
    case SPLICE_ANSWER_DONE: return Step::kReleased;
    case SPLICE_ANSWER_ENDED: return Step::kEnded;
    default: break;
  }
  const uint64_t age = now_ms - std::min(now_ms, since_ms_);
  if (Seen()) {
    Narrow(client, upstream, taken, now_ms);
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
  Widen(client, upstream);
  policy_.table->Remove(slot_);
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
