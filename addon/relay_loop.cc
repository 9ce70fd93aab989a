// SPDX-License-Identifier: MIT
#include "relay_loop.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "socket.h"
#include "splice/abi.h"

namespace symsplice {
namespace {

constexpr size_t kBuffer = 32 * 1024;
constexpr size_t kPipesKept = 32;
constexpr uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
constexpr uint64_t kLongestWaitMs = 60'000;
constexpr uint64_t kShortestScanMs = 10;

// With FIN when all was relayed, else with RST, so that a cut stream never looks whole, however
// it came to be cut. The duplicates of a bounded flow only close: what they name is lent.
void CloseSockets(const Flow& flow, int reason) {
  if (!flow.bounded && reason != SPLICE_CLOSE_END) {
    SetReset(flow.client);
    SetReset(flow.upstream);
  }
  close(flow.client);
  close(flow.upstream);
}

}  // namespace

uint64_t RelayLoop::NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

RelayLoop::RelayLoop(const RelaySettings& settings, ReportQueue* reports)
    : workspace_{nullptr, std::vector<uint8_t>(kBuffer), settings.splice_after},
      pipes_(settings.pipe_size, kPipesKept),
      reports_(reports),
      policy_(settings.transit),
      collected_(kEvents) {
  workspace_.pipes = &pipes_;
}

RelayLoop::~RelayLoop() {
  for (auto& [id, flow] : flows_) {
    if (flow->transit != nullptr && flow->transit->installed()) {
      flow->transit->Reset(flow->client, flow->upstream);
    } else {
      CloseSockets(*flow, SPLICE_CLOSE_ABORTED);
    }
  }
  if (epoll_ >= 0) close(epoll_);
}

int RelayLoop::Open() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  return epoll_ < 0 ? errno : 0;
}

Flow* RelayLoop::Insert(std::unique_ptr<Flow> flow) {
  if (flow->active_ms == 0) flow->active_ms = NowMs();
  Flow* const known = flow.get();
  std::lock_guard<std::mutex> lock(mutex_);
  flows_.emplace(known->id, std::move(flow));
  size_ = flows_.size();
  return known;
}

bool RelayLoop::Counters(uint64_t id, FlowWords* out) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = flows_.find(id);
  if (found == flows_.end()) return false;
  const Flow& flow = *found->second;
  const uint64_t now = NowMs();
  const uint64_t active = flow.active_ms.load(std::memory_order_relaxed);
  *out = {static_cast<double>(flow.up.moved()),
          static_cast<double>(flow.down.moved()),
          static_cast<double>(flow.state.load(std::memory_order_relaxed)),
          now > active ? static_cast<double>(now - active) : 0,
          0,
          0};
  return flow.transit == nullptr || flow.transit->Count(out);
}

bool RelayLoop::Detail(uint64_t id, DetailWords* out) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = flows_.find(id);
  if (found == flows_.end() || found->second->transit == nullptr) return false;
  if (!found->second->transit->installed()) return false;
  found->second->transit->Detail(out);
  return true;
}

bool RelayLoop::Has(uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  return flows_.count(id) != 0;
}

void RelayLoop::Admit(Flow* flow) {
  now_ms_ = NowMs();
  if (flow->started_ms == 0) {
    flow->started_ms = now_ms_;
    flow->state.store(SPLICE_FLOW_RELAY, std::memory_order_relaxed);
  }
  if (flow->idle_ms > 0) {
    next_scan_ms_ = std::min(next_scan_ms_, flow->active_ms.load(std::memory_order_relaxed) + flow->idle_ms);
  }
  epoll_event event{};
  event.events = kInterest;
  event.data.ptr = &flow->client_side;
  flow->client_watched = epoll_ctl(epoll_, EPOLL_CTL_ADD, flow->client, &event) == 0;
  event.data.ptr = &flow->upstream_side;
  flow->upstream_watched =
      flow->client_watched && epoll_ctl(epoll_, EPOLL_CTL_ADD, flow->upstream, &event) == 0;
  if (!flow->upstream_watched) {
    Finish(flow, SPLICE_CLOSE_ERROR, errno);
    return;
  }
  // Before a byte is moved: what is held in memory now is told to the table as pending.
  TryTransit(flow);
  if (flow->over) return;
  if (flow->up.pending() || flow->down.pending() || flow->bounded) {
    // What was left over at hand-over is written now; an empty bound is reached now. All else
    // epoll reports: a descriptor that is added is looked at anew.
    Enqueue(flow);
  }
}

bool RelayLoop::End(uint64_t id) {
  Flow* flow = nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = flows_.find(id);
    if (found != flows_.end()) flow = found->second.get();
  }
  if (flow == nullptr || flow->over) {
    // It may have gone to the table between the order and now.
    if (!inline_ && policy_.table != nullptr) policy_.table->End(policy_.owner, id);
    return flow != nullptr;
  }
  now_ms_ = NowMs();
  Finish(flow, SPLICE_CLOSE_ABORTED, 0);
  return true;
}

int RelayLoop::Wait(int timeout_ms) {
  std::array<epoll_event, kEvents> events;
  const int n = epoll_wait(epoll_, events.data(), kEvents, timeout_ms);
  for (int i = 0; i < n; i++) collected_[i] = {events[i].data.ptr, events[i].events};
  now_ms_ = NowMs();
  return n;
}

int RelayLoop::Timeout() const {
  if (!ready_.empty() || !finished_.empty()) return 0;
  if (size_ == 0) return -1;
  const uint64_t due =
      timers_.empty() ? next_scan_ms_ : std::min(next_scan_ms_, timers_.begin()->first);
  if (due == UINT64_MAX) return -1;
  const uint64_t now = NowMs();
  return due > now ? static_cast<int>(std::min(due - now, kLongestWaitMs)) : 0;
}

void RelayLoop::Mark(const Flow::Side& side, uint32_t events) {
  Flow* flow = side.flow;
  if (flow->over) return;
  Half& from_here = side.is_client ? flow->up : flow->down;
  Half& to_here = side.is_client ? flow->down : flow->up;
  constexpr uint32_t kBroken = EPOLLERR | EPOLLHUP;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | kBroken)) != 0) from_here.readable = true;
  if ((events & (EPOLLRDHUP | EPOLLPRI | kBroken)) != 0) from_here.attentive = true;
  if ((events & (EPOLLOUT | kBroken)) != 0) to_here.writable = true;
  if ((events & EPOLLERR) != 0) from_here.broken = true;
  // A side that is no longer read tells of its reset only here: when its direction has ended
  // (FIN, then RST), or when the flow is bounded to the other direction.
  if ((events & EPOLLERR) != 0 && !(side.is_client ? flow->up_open : flow->down_open)) {
    const int error = SocketError(side.is_client ? flow->client : flow->upstream);
    Finish(flow, side.is_client ? SPLICE_CLOSE_CLIENT_RESET : SPLICE_CLOSE_UPSTREAM_RESET, error);
    return;
  }
  Enqueue(flow);
}

void RelayLoop::Enqueue(Flow* flow) {
  if (flow->ready) return;
  flow->ready = true;
  ready_.push_back(flow);
}

void RelayLoop::Serve() {
  turn_.swap(ready_);
  for (Flow* flow : turn_) {
    flow->ready = false;
    if (!flow->over && !flow->leaving) Work(flow);
  }
  turn_.clear();
  PollTransits();
  if (now_ms_ >= next_scan_ms_) ExpireIdle();
  Reap();
}

// Frees what has finished. Not before the end of a turn: a collected event, or the other half's
// place on the ready list, may point at a flow that ended in it.
bool RelayLoop::Reap() {
  if (finished_.empty()) return false;
  std::erase_if(ready_, [](const Flow* flow) { return flow->over; });
  std::erase_if(leaving_, [](const Flow* flow) { return flow->over; });
  std::lock_guard<std::mutex> lock(mutex_);
  for (const Flow* flow : finished_) flows_.erase(flow->id);
  size_ = flows_.size();
  finished_.clear();
  return true;
}

void RelayLoop::Work(Flow* flow) {
  if (flow->transit != nullptr && flow->transit->installed()) {
    if (flow->transit->takes_sockets()) {
      PayDebts(flow);
      return;
    }
    if (flow->transit->ended()) {
      Finish(flow, SPLICE_CLOSE_END, 0);
      return;
    }
  }
  const uint64_t before = flow->up.moved() + flow->down.moved();
  // A reply that belongs to no direction that moves goes before all else.
  if (flow->bounded && flow->up_open && flow->down_open) {
    if (Advance(flow, &flow->down, &flow->down_open, false) || flow->down_open) return;
  }
  if (Advance(flow, &flow->up, &flow->up_open, true)) return;
  if (Advance(flow, &flow->down, &flow->down_open, false)) return;
  if (flow->up.moved() + flow->down.moved() != before) {
    flow->active_ms.store(now_ms_, std::memory_order_relaxed);
  }
  const uint64_t after = workspace_.splice_after;
  const bool due = flow->transit != nullptr && flow->transit->young() &&
                   flow->transit->Due(std::max(flow->up.moved(), flow->down.moved()), 0);
  if (inline_ && !flow->leaving && (due || flow->up.grown(after) || flow->down.grown(after))) {
    flow->leaving = true;
    leaving_.push_back(flow);
  } else if (due && !inline_) {
    Install(flow);
  }
}

bool RelayLoop::Advance(Flow* flow, Half* half, bool* open, bool is_up) {
  if (!*open) return false;
  const bool other_open = is_up ? flow->down_open : flow->up_open;
  const int from = is_up ? flow->client : flow->upstream;
  const int from_reset = is_up ? SPLICE_CLOSE_CLIENT_RESET : SPLICE_CLOSE_UPSTREAM_RESET;
  const int to_reset = is_up ? SPLICE_CLOSE_UPSTREAM_RESET : SPLICE_CLOSE_CLIENT_RESET;
  switch (half->Move(&workspace_)) {
    case Half::Result::kBlocked:
      // A reset does not wait until a blocked target has taken what was sent before it.
      if (!half->broken || !half->pending()) return false;
      Finish(flow, from_reset, SocketError(from));
      return true;
    case Half::Result::kYield:
      Enqueue(flow);
      return false;
    case Half::Result::kLimited:
      if (other_open) {
        // It was the reply of a flow that is bounded to the other direction.
        *open = false;
        return false;
      }
      Finish(flow, SPLICE_CLOSE_LIMIT, 0);
      return true;
    case Half::Result::kEnded:
      *open = false;
      if (half->broken) {
        // A FIN and a reset right behind it: reading tells only of the first.
        if (const int error = SocketError(from); error != 0) {
          Finish(flow, from_reset, error);
          return true;
        }
      }
      if ((flow->bounded || !other_open) && !RelayedStill(flow)) {
        // The close sends the FIN that is still owed.
        Finish(flow, SPLICE_CLOSE_END, 0);
        return true;
      }
      shutdown(is_up ? flow->upstream : flow->client, SHUT_WR);
      flow->active_ms.store(now_ms_, std::memory_order_relaxed);
      flow->state.store(SPLICE_FLOW_TEARDOWN, std::memory_order_relaxed);
      return false;
    case Half::Result::kFromFailed:
      Finish(flow, from_reset, half->error());
      return true;
    case Half::Result::kToFailed:
      Finish(flow, to_reset, half->error());
      return true;
  }
  return false;
}

// Not left to close(2): a duplicate, be it that of a child process between fork and exec, would
// keep the socket in the epoll set, and its next event would point at freed memory.
void RelayLoop::Unwatch(Flow* flow) {
  if (flow->client_watched) epoll_ctl(epoll_, EPOLL_CTL_DEL, flow->client, nullptr);
  if (flow->upstream_watched) epoll_ctl(epoll_, EPOLL_CTL_DEL, flow->upstream, nullptr);
  flow->client_watched = flow->upstream_watched = false;
}

// Teardown. a) Nobody serves the flow any more: `over` is set, and its sockets leave the epoll
// set. b) Its sockets close, see CloseSockets() and, for what a table has, Transit::End(). c) The
// report goes out, d) the memory at the end of the turn, when no collected event can point at it.
void RelayLoop::Finish(Flow* flow, int reason, int error) {
  if (flow->transit != nullptr && flow->transit->released()) {
    // What the socket says means nothing any more.
    GiveUpSockets(flow);
    if (reason == SPLICE_CLOSE_ABORTED) policy_.table->End(policy_.owner, flow->id);
    return;
  }
  Report report{flow->id, reason, error, flow->up.moved(), flow->down.moved(),
                static_cast<double>(now_ms_ - std::min(now_ms_, flow->started_ms))};
  Forget(flow);
  if (flow->transit != nullptr && flow->transit->installed()) {
    flow->transit->End(flow->client, flow->upstream, &report);
  } else {
    CloseSockets(*flow, reason);
  }
  if (flow->transit != nullptr) {
    report.packet_status = static_cast<int>(flow->transit->status());
    report.packet_answer = flow->transit->answer();
  }
  flow->state.store(SPLICE_FLOW_CLOSED, std::memory_order_relaxed);
  if (inline_) {
    reports_->PushQuietly(report);
  } else {
    reports_->Push(report);
  }
}

// Looks again when the next flow may be due, but for no flow more often than eight times in its
// idle time: as bytes keep moving, the moment moves too.
void RelayLoop::ExpireIdle() {
  next_scan_ms_ = UINT64_MAX;
  std::vector<Flow*> expired;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [id, flow] : flows_) {
      // A flow that is inserted but not admitted is still named by an order: not ours to end.
      if (flow->idle_ms == 0 || flow->over || !flow->client_watched) continue;
      const uint64_t due = IdleSince(*flow) + flow->idle_ms;
      if (now_ms_ >= due) {
        expired.push_back(flow.get());
      } else {
        const uint64_t soon = now_ms_ + std::max(kShortestScanMs, flow->idle_ms / 8);
        next_scan_ms_ = std::min(next_scan_ms_, std::max(due, soon));
      }
    }
  }
  for (Flow* flow : expired) Finish(flow, SPLICE_CLOSE_IDLE, 0);
}

// Between two turns: no collected event points at a flow that leaves, and the loop that takes it
// adds its sockets to its own epoll set, which then reports what they hold.
std::vector<std::unique_ptr<Flow>> RelayLoop::TakeGrown(uint64_t before_ms) {
  std::vector<std::unique_ptr<Flow>> grown;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto take = [&](Flow* flow) {
    const auto found = flows_.find(flow->id);
    Unwatch(flow);
    flow->ready = flow->leaving = false;
    grown.push_back(std::move(found->second));
    flows_.erase(found);
  };
  for (Flow* flow : leaving_) take(flow);
  leaving_.clear();
  if (before_ms > 0) {
    std::vector<Flow*> old;
    for (const auto& [id, flow] : flows_) {
      if (!flow->over && flow->started_ms <= before_ms) old.push_back(flow.get());
    }
    for (Flow* flow : old) take(flow);
  }
  if (!grown.empty()) std::erase_if(ready_, [](const Flow* flow) { return !flow->ready; });
  size_ = flows_.size();
  return grown;
}

}  // namespace symsplice
