// SPDX-License-Identifier: MIT
#include "packet/packet_transit.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "packet/raw_segment.h"
#include "packet/sign.h"
#include "socket.h"
#include "splice/abi.h"

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

bool PacketTransit::Install(const Ownership& ownership, const TransitPair& pair) {
  KeepUrgent(pair.client);
  KeepUrgent(pair.upstream);
  const PacketTable::Installed installed = table_->Install(ownership, pair);
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
  SetAnswer(SPLICE_ANSWER_NOT_YET);
  SetStatus(PacketStatus::kTransit);
  return true;
}

bool PacketTransit::ended() const { return installed() && slot().phase == SPLICE_PHASE_ENDED; }
bool PacketTransit::released() const { return installed() && slot().phase == SPLICE_PHASE_RELEASED; }

bool PacketTransit::has_fin() const {
  const splice_flow_slot& flow = slot();
  return ((flow.leg[SPLICE_CLIENT].flags | flow.leg[SPLICE_SERVER].flags) & SPLICE_LEG_FIN) != 0;
}

uint64_t PacketTransit::idle_ms() const { return IdleMs(slot()); }

bool PacketTransit::Seen() const {
  return (slot().leg[SPLICE_CLIENT].flags & slot().leg[SPLICE_SERVER].flags & SPLICE_LEG_SEEN) != 0;
}

void PacketTransit::Provoke(int client, int upstream) {
  if ((slot().leg[SPLICE_CLIENT].flags & SPLICE_LEG_SEEN) == 0) AskForSign(client);
  if ((slot().leg[SPLICE_SERVER].flags & SPLICE_LEG_SEEN) == 0) AskForSign(upstream);
}

Narrowing::Direction PacketTransit::Way(int side, int client, int upstream) {
  const bool up = side == SPLICE_CLIENT;
  return {*table_, slot_, side, up ? client : upstream, up ? upstream : client};
}

// The pump has it for good.
void PacketTransit::Widen(int client, int upstream) {
  for (const int side : {SPLICE_CLIENT, SPLICE_SERVER}) {
    const Narrowing::Direction way = Way(side, client, upstream);
    SetUnsent(way.from, 0);
    narrowing_[side].Undo(way);
  }
}

void PacketTransit::Narrow(int client, int upstream, const uint64_t taken[2], uint64_t now_ms) {
  for (const int side : {SPLICE_CLIENT, SPLICE_SERVER}) {
    Narrowing& narrowing = narrowing_[side];
    const bool was_busy = narrowing.busy();
    narrowing.Step(Way(side, client, upstream), taken[side] != taken_[side], now_ms);
    if (!was_busy && narrowing.busy()) wait_ms_ = 1;
    taken_[side] = taken[side];
  }
}

// A peer that was promised little learns of the other's window by its answer to this.
void PacketTransit::Announce() {
  bool unheard = false;
  for (const int side : {SPLICE_CLIENT, SPLICE_SERVER}) {
    if (slot().leg[side].way == SPLICE_WAY_FAST) unheard |= narrowing_[side].TakeUnheard();
  }
  if (unheard) SendProbes(slot());
}

Transit::Step PacketTransit::Poll(int client, int upstream, const uint64_t taken[2],
                            uint64_t now_ms) {
  const int answer = table_->Advance(slot_);
  SetAnswer(answer);
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

bool PacketTransit::Leave(int client, int upstream) {
  if (table_->Cancel(slot_) != SPLICE_ANSWER_DONE) return false;
  Widen(client, upstream);
  table_->Remove(slot_);
  Refuse(SPLICE_ANSWER_NOT_YET);
  return true;
}

// a) No direction turns FAST any more, unless one is. b) Where both are, the guard lets no word of
// the sockets out, so the resets are made by hand; else the kernel's are sent, whose numbers the
// guard raises to what the peers have seen. c) Then the keys go.
void PacketTransit::Reset(int client, int upstream) {
  table_->Cancel(slot_);
  const splice_flow_slot& flow = slot();
  const bool relayed = flow.phase != SPLICE_PHASE_TRANSIT || BothRelayed(flow);
  if (flow.phase == SPLICE_PHASE_ENDED) {
    table_->Ended(slot_, client, upstream);
  } else if (relayed) {
    table_->Discard(slot_, client, upstream);
  } else {
    SetReset(client);
    SetReset(upstream);
    close(client);
    close(upstream);
    table_->Remove(slot_);
  }
}

// No word must come from the sockets of a flow that ended; where both halves ended in the pump both
// have seen the last acknowledgement.
void PacketTransit::End(int client, int upstream, Report* report) {
  report->bytes_up = std::max<uint64_t>(report->bytes_up, slot().leg[SPLICE_CLIENT].bytes);
  report->bytes_down = std::max<uint64_t>(report->bytes_down, slot().leg[SPLICE_SERVER].bytes);
  if (ended()) {
    report->reason = slot().reason;
    report->error = 0;
    table_->Ended(slot_, client, upstream);
    SetStatus(PacketStatus::kReleased);
  } else if (report->reason == SPLICE_CLOSE_END) {
    close(client);
    close(upstream);
    table_->Remove(slot_);
  } else {
    Reset(client, upstream);
  }
}

void PacketTransit::Release(int client, int upstream) {
  table_->Release(slot_, client, upstream);
  SetStatus(PacketStatus::kReleased);
}

bool PacketTransit::Count(FlowWords* out) const {
  const PacketStatus now = status();
  if (now == PacketStatus::kReleased) return false;
  if (now == PacketStatus::kTransit) {
    const splice_flow_slot& flow = slot();
    (*out)[0] = std::max((*out)[0], static_cast<double>(flow.leg[SPLICE_CLIENT].bytes));
    (*out)[1] = std::max((*out)[1], static_cast<double>(flow.leg[SPLICE_SERVER].bytes));
    if (has_fin()) (*out)[2] = SPLICE_FLOW_TEARDOWN;
    (*out)[3] = std::min((*out)[3], static_cast<double>(idle_ms()));
  }
  (*out)[4] = static_cast<double>(now);
  (*out)[5] = answer();
  return true;
}

}  // namespace symsplice
