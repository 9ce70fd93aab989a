// SPDX-License-Identifier: MIT
// Stage splice in a relay loop: when a flow goes over from the pump to a table, and what that means
// for its sockets. On the loop's thread.
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>

#include "relay_loop.h"
#include "splice/abi.h"

namespace symsplice {
namespace {

constexpr uint64_t kOwesWaitMs = 16;

int TcpState(int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 ? info.tcpi_state : 0;
}

// The kernel is done with the connection, or has left the rest of it to TIME-WAIT: it was both
// sockets' last word, and the programs, who find sockets by address, cannot see it any more.
bool IsClosed(int fd) { return TcpState(fd) == TCP_CLOSE; }

// A FIN that was read by whoever had the socket before has a place in one stream; before it is passed
// on it has none in the other, and the numbers of the two would differ by one. The pump passes on what
// it reads at once. True also of a FIN that nobody has read yet: nothing tells the two apart.
bool OwesFin(int fd, bool open) {
  const int state = open ? TcpState(fd) : 0;
  int unread = 0;
  return (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK || state == TCP_CLOSING) &&
         ioctl(fd, SIOCINQ, &unread) == 0 && unread == 0;
}

}  // namespace

void RelayLoop::Arm(Flow* flow, uint64_t due_ms) {
  if (flow->poll_ms != 0) timers_.erase({flow->poll_ms, flow});
  flow->poll_ms = due_ms;
  if (due_ms != 0) timers_.insert({due_ms, flow});
}

// A flow that this loop has begun to carry. On the JavaScript thread it is too young.
void RelayLoop::TryTransit(Flow* flow) {
  if (flow->transit == nullptr || !flow->transit->young() || inline_) return;
  const uint64_t age = now_ms_ - std::min(now_ms_, flow->started_ms);
  if (flow->transit->Due(std::max(flow->up.moved(), flow->down.moved()), age)) {
    Install(flow);
  } else if (flow->transit->after_ms() < UINT64_MAX - flow->started_ms) {
    Arm(flow, flow->started_ms + flow->transit->after_ms());
  }
}

void RelayLoop::Install(Flow* flow) {
  // Where the table has the sockets, it finds a FIN in them, and passes it on if nobody has.
  if (!flow->transit->takes_sockets() && flow->read_before &&
      (OwesFin(flow->client, flow->up_open) || OwesFin(flow->upstream, flow->down_open))) {
    Arm(flow, now_ms_ + kOwesWaitMs);
    return;
  }
  const Ownership ownership{policy_.owner, flow->id, flow->started_ms, flow->idle_ms};
  const TransitPair pair{flow->client,
                         flow->upstream,
                         {flow->up.taken(), flow->down.taken()},
                         {static_cast<uint32_t>(flow->up.pending_bytes()),
                          static_cast<uint32_t>(flow->down.pending_bytes())}};
  if (flow->transit->Waits(pair, now_ms_)) {
    Arm(flow, now_ms_ + Recovery::kAgainMs);
  } else if (!flow->transit->Install(ownership, pair)) {
    Arm(flow, 0);
  } else if (flow->transit->takes_sockets()) {
    Arm(flow, 0);
    flow->up.Limit(0);
    flow->down.Limit(0);
    PayDebts(flow);
  } else {
    Arm(flow, now_ms_ + flow->transit->wait_ms());
  }
}

// The table has the sockets, and knows how many bytes are still to come from us. It hears of a
// descriptor that is closed too early, and of a connection that breaks.
void RelayLoop::PayDebts(Flow* flow) {
  for (Half* half : {&flow->up, &flow->down}) {
    if (half->pending() && half->Move(&workspace_) == Half::Result::kToFailed) {
      GiveUpSockets(flow);
      return;
    }
  }
  if (!flow->up.pending() && !flow->down.pending()) GiveUpSockets(flow);
}

void RelayLoop::PollTransits() {
  while (!timers_.empty() && timers_.begin()->first <= now_ms_) {
    Flow* const flow = timers_.begin()->second;
    Arm(flow, 0);
    if (flow->transit->young()) {
      TryTransit(flow);
    } else {
      StepTransit(flow);
    }
  }
}

void RelayLoop::StepTransit(Flow* flow) {
  const uint64_t taken[] = {flow->up.taken(), flow->down.taken()};
  switch (flow->transit->Poll(flow->client, flow->upstream, taken, now_ms_)) {
    case Transit::Step::kWait:
      if (!flow->up_open && !flow->down_open && IsClosed(flow->client) &&
          IsClosed(flow->upstream)) {
        Finish(flow, SPLICE_CLOSE_END, 0);
      } else {
        Arm(flow, now_ms_ + flow->transit->wait_ms());
      }
      return;
    case Transit::Step::kReleased:
      GiveUpSockets(flow);
      return;
    case Transit::Step::kEnded:
      Finish(flow, SPLICE_CLOSE_END, 0);
      return;
    case Transit::Step::kRefused:
      return;
  }
}

// Both halves have ended in the pump, but a direction is relayed: only the table knows when the
// peers have had all, and it says so.
bool RelayLoop::RelayedStill(Flow* flow) {
  return flow->transit != nullptr && flow->transit->installed() &&
         !flow->transit->Leave(flow->client, flow->upstream);
}

// What the table moves passes the pump by.
uint64_t RelayLoop::IdleSince(const Flow& flow) const {
  const uint64_t active = flow.active_ms.load(std::memory_order_relaxed);
  if (flow.transit == nullptr || !flow.transit->installed()) return active;
  return std::max(active, now_ms_ - std::min(now_ms_, flow.transit->idle_ms()));
}

// The flow lives on, but not here: no close, no report.
void RelayLoop::GiveUpSockets(Flow* flow) {
  Forget(flow);
  flow->transit->Release(flow->client, flow->upstream);
}

void RelayLoop::Forget(Flow* flow) {
  Arm(flow, 0);
  flow->over = true;
  finished_.push_back(flow);
  Unwatch(flow);
}

}  // namespace symsplice
