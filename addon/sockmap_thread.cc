// SPDX-License-Identifier: MIT
#include "sockmap_thread.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "socket.h"
#include "splice/abi.h"
#include "thread.h"

namespace symsplice {
namespace {

constexpr size_t kBuffer = 64 * 1024;
constexpr int kEvents = 256;
constexpr uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
// The kernel's worker mostly needs some ten microseconds; a slow target may need minutes.
constexpr uint64_t kFirstRetryUs = 50;
constexpr uint64_t kLastRetryUs = 50000;
constexpr uint64_t kNever = UINT64_MAX;

uint64_t NowUs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace

SockmapThread::SockmapThread(const SockmapMaps& maps, ReportQueue* reports)
    : maps_(maps), workspace_{nullptr, std::vector<uint8_t>(kBuffer), kNever}, reports_(reports) {}

int SockmapThread::Start() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return errno;
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_ < 0) return errno;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) < 0) return errno;
  return StartThread("splice-sockmap", [this] { Run(); }, &thread_);
}

SockmapThread::~SockmapThread() {
  if (thread_.joinable()) {
    stopping_ = true;
    Signal();
    thread_.join();
  }
  for (auto& [id, flow] : flows_) {
    flow->up.half.Remove();
    flow->down.half.Remove();
    SetReset(flow->client);
    SetReset(flow->upstream);
    close(flow->client);
    close(flow->upstream);
  }
  if (wake_ >= 0) close(wake_);
  if (epoll_ >= 0) close(epoll_);
}

void SockmapThread::Signal() {
  const uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
}

int SockmapThread::Add(std::unique_ptr<SockmapFlow> flow) {
  if (const int error = flow->up.half.Prepare(); error != 0) return error;
  if (const int error = flow->down.half.Prepare(); error != 0) {
    flow->up.half.Remove();
    return error;
  }
  // The target of a direction is what is inserted: this makes the verdict judge the upstream.
  if (const int error = flow->up.half.Insert(); error != 0) {
    flow->up.half.Remove();
    flow->down.half.Remove();
    return error;
  }
  // From here on bytes of the upstream may lie in a queue that leaving the map would empty, so
  // there is no way back. When the client cannot be inserted (its FIN came in this moment), the
  // verdict finds no target and passes everything: the flow is copied, and nothing is lost.
  (void)flow->down.half.Insert();
  SetNoDelay(flow->client);
  SetNoDelay(flow->upstream);
  flow->state = SPLICE_FLOW_RELAY;
  flow->started_ms = NowUs() / 1000;
  flow->active_ms = flow->started_ms;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    incoming_.push_back(flow.get());
    const uint64_t id = flow->id;
    flows_.emplace(id, std::move(flow));
  }
  Signal();
  return 0;
}

void SockmapThread::End(uint64_t id) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (flows_.count(id) == 0) return;
    ending_.push_back(id);
  }
  Signal();
}

bool SockmapThread::Counters(uint64_t id, double out[6]) {
  // The lock also keeps the thread from removing the map entries that are read here.
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = flows_.find(id);
  if (found == flows_.end() || found->second->state == SPLICE_FLOW_CLOSED) return false;
  const SockmapFlow& flow = *found->second;
  const uint64_t now_ms = NowUs() / 1000;
  const uint64_t active = flow.active_ms.load(std::memory_order_relaxed);
  out[0] = static_cast<double>(flow.up.half.moved());
  out[1] = static_cast<double>(flow.down.half.moved());
  out[2] = flow.state.load(std::memory_order_relaxed);
  out[3] = now_ms > active ? static_cast<double>(now_ms - active) : 0;
  out[4] = static_cast<double>(flow.up.half.redirected());
  out[5] = static_cast<double>(flow.down.half.redirected());
  return true;
}

void SockmapThread::Run() {
  std::array<epoll_event, kEvents> events;
  std::vector<SockmapFlow*> turn;
  while (!stopping_) {
    const uint64_t wait = WaitMicroseconds();
    const timespec timeout{static_cast<time_t>(wait / 1000000),
                           static_cast<long>(wait % 1000000 * 1000)};
    const int n = epoll_pwait2(epoll_, events.data(), kEvents, wait == kNever ? nullptr : &timeout,
                               nullptr);
    now_us_ = NowUs();
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr == nullptr) {
        TakeIncoming();
      } else {
        Mark(*static_cast<SockmapFlow::Side*>(events[i].data.ptr), events[i].events);
      }
    }
    for (SockmapFlow* flow : std::exchange(waiting_, {})) {
      flow->waiting = false;
      if (flow->over) continue;
      const uint64_t up = flow->up.retry_at_us;
      const uint64_t down = flow->down.retry_at_us;
      if ((up != 0 && up <= now_us_) || (down != 0 && down <= now_us_)) {
        Enqueue(flow);
      } else {
        AwaitRetry(flow);
      }
    }
    turn.swap(ready_);
    for (SockmapFlow* flow : turn) {
      flow->ready = false;
      if (!flow->over) Work(flow);
    }
    turn.clear();
    if (now_us_ >= next_scan_us_) Scan();
    // Only now: an event of this turn may have pointed at a flow that ended in it.
    if (!finished_.empty()) {
      std::erase_if(waiting_, [](const SockmapFlow* flow) { return flow->over; });
      std::lock_guard<std::mutex> lock(mutex_);
      for (const SockmapFlow* flow : finished_) flows_.erase(flow->id);
      finished_.clear();
    }
  }
}

uint64_t SockmapThread::WaitMicroseconds() const {
  if (!ready_.empty()) return 0;
  uint64_t at = next_scan_us_;
  for (const SockmapFlow* flow : waiting_) {
    for (const uint64_t retry : {flow->up.retry_at_us, flow->down.retry_at_us}) {
      if (retry != 0) at = std::min(at, retry);
    }
  }
  const uint64_t now = NowUs();
  return at == kNever ? kNever : at > now ? at - now : 0;
}

void SockmapThread::TakeIncoming() {
  uint64_t drained;
  (void)!read(wake_, &drained, sizeof drained);
  std::vector<SockmapFlow*> incoming;
  std::vector<SockmapFlow*> to_end;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    incoming.swap(incoming_);
    for (const uint64_t id : std::exchange(ending_, {})) {
      if (const auto found = flows_.find(id); found != flows_.end()) {
        to_end.push_back(found->second.get());
      }
    }
  }
  for (SockmapFlow* flow : incoming) {
    flow->place = live_.size();
    live_.push_back(flow);
    if (flow->idle_ms > 0) {
      scan_every_us_ = std::min(scan_every_us_, std::max<uint64_t>(20000, flow->idle_ms * 250));
    }
    next_scan_us_ = std::min(next_scan_us_, now_us_ + scan_every_us_);
    epoll_event event{};
    event.events = kInterest;
    event.data.ptr = &flow->client_side;
    int failed = epoll_ctl(epoll_, EPOLL_CTL_ADD, flow->client, &event) < 0 ? errno : 0;
    event.data.ptr = &flow->upstream_side;
    if (failed == 0 && epoll_ctl(epoll_, EPOLL_CTL_ADD, flow->upstream, &event) < 0) failed = errno;
    if (failed != 0) {
      Finish(flow, SPLICE_CLOSE_ERROR, failed);
    } else {
      Enqueue(flow);
    }
  }
  for (SockmapFlow* flow : to_end) {
    if (!flow->over) Finish(flow, SPLICE_CLOSE_ABORTED, 0);
  }
}

void SockmapThread::Mark(const SockmapFlow::Side& side, uint32_t events) {
  SockmapFlow* flow = side.flow;
  if (flow->over) return;
  SockmapFlow::Direction& from_here = side.is_client ? flow->up : flow->down;
  SockmapFlow::Direction& to_here = side.is_client ? flow->down : flow->up;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) {
    from_here.half.SourceEvent();
    if (from_here.retry_at_us != 0) from_here.retry_at_us = now_us_;
  }
  if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
    to_here.half.TargetEvent();
    if (to_here.retry_at_us != 0) to_here.retry_at_us = now_us_;  // the worker may have gone on
  }
  if ((events & EPOLLERR) != 0) {
    // Nobody writes to a socket in the map but the kernel, whose errors show here and only here.
    const int error = SocketError(side.is_client ? flow->client : flow->upstream);
    Finish(flow, side.is_client ? SPLICE_CLOSE_CLIENT_RESET : SPLICE_CLOSE_UPSTREAM_RESET, error);
    return;
  }
  Enqueue(flow);
}

void SockmapThread::Enqueue(SockmapFlow* flow) {
  if (flow->ready) return;
  flow->ready = true;
  ready_.push_back(flow);
}

void SockmapThread::Work(SockmapFlow* flow) {
  if (Advance(flow, true)) return;
  if (Advance(flow, false)) return;
  AwaitRetry(flow);
}

// Once only: while one direction waits, events of the other may come by the thousand.
void SockmapThread::AwaitRetry(SockmapFlow* flow) {
  if (flow->waiting || (flow->up.retry_at_us == 0 && flow->down.retry_at_us == 0)) return;
  flow->waiting = true;
  waiting_.push_back(flow);
}

void SockmapThread::Retry(SockmapFlow::Direction* direction) {
  direction->retry_us = std::min(kLastRetryUs, std::max(kFirstRetryUs, direction->retry_us * 2));
  direction->retry_at_us = now_us_ + direction->retry_us;
}

bool SockmapThread::Advance(SockmapFlow* flow, bool is_up) {
  SockmapFlow::Direction& direction = is_up ? flow->up : flow->down;
  const SockmapFlow::Direction& other = is_up ? flow->down : flow->up;
  if (!direction.open) return false;
  if (direction.retry_at_us > now_us_) return false;  // asked not long ago
  direction.retry_at_us = 0;
  const SockmapHalf::Result result = direction.half.Work(&workspace_);
  if (result == SockmapHalf::Result::kDraining) {
    Retry(&direction);
    return false;
  }
  direction.retry_us = 0;
  switch (result) {
    case SockmapHalf::Result::kDraining:
    case SockmapHalf::Result::kIdle:
      return false;
    case SockmapHalf::Result::kYield:
      Enqueue(flow);
      return false;
    case SockmapHalf::Result::kEnded:
      direction.open = false;
      if (!other.open) {
        Finish(flow, SPLICE_CLOSE_END, 0);  // the close sends the FIN that is still owed
        return true;
      }
      shutdown(is_up ? flow->upstream : flow->client, SHUT_WR);
      flow->state.store(SPLICE_FLOW_TEARDOWN, std::memory_order_relaxed);
      return false;
    case SockmapHalf::Result::kFromFailed:
      Finish(flow, is_up ? SPLICE_CLOSE_CLIENT_RESET : SPLICE_CLOSE_UPSTREAM_RESET,
             direction.half.error());
      return true;
    case SockmapHalf::Result::kToFailed:
      Finish(flow, is_up ? SPLICE_CLOSE_UPSTREAM_RESET : SPLICE_CLOSE_CLIENT_RESET,
             direction.half.error());
      return true;
    case SockmapHalf::Result::kLost:
      Finish(flow, SPLICE_CLOSE_ERROR, ENOBUFS);
      return true;
  }
  return false;
}

// Teardown. a) Nobody works on the flow any more: `over` is set. b) The counts are read, then the
// map entries go; what a queue of the map still holds goes with them, which is nothing at an END
// (both directions were drained) and of no use to anybody else. c) The sockets close: with FIN at
// an END, else with RST, so that a cut stream never looks whole. d) The report goes out, e) the
// memory at the end of the turn, when no collected event can point at it.
void SockmapThread::Finish(SockmapFlow* flow, int reason, int error) {
  flow->over = true;
  finished_.push_back(flow);
  live_.back()->place = flow->place;
  live_[flow->place] = live_.back();
  live_.pop_back();
  uint64_t bytes_up, bytes_down;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    bytes_up = flow->up.half.moved();
    bytes_down = flow->down.half.moved();
    flow->state = SPLICE_FLOW_CLOSED;
    flow->up.half.Remove();
    flow->down.half.Remove();
  }
  if (reason != SPLICE_CLOSE_END) {
    SetReset(flow->client);
    SetReset(flow->upstream);
  }
  close(flow->client);
  close(flow->upstream);
  const uint64_t now_ms = NowUs() / 1000;
  reports_->Push({flow->id, reason, error, bytes_up, bytes_down,
                  static_cast<double>(now_ms - std::min(now_ms, flow->started_ms))});
}

// The verdict tells nobody when bytes move: the counters are looked at from time to time, also
// of flows without an idle timeout, whose age since the last byte is shown to operators.
void SockmapThread::Scan() {
  std::vector<SockmapFlow*> expired;
  std::vector<SockmapFlow*> broken;
  const uint64_t now_ms = now_us_ / 1000;
  for (SockmapFlow* flow : live_) {
    uint64_t activity = 0;
    bool lost = false;
    for (const SockmapFlow::Direction* direction : {&flow->up, &flow->down}) {
      const SockmapHalf::Look look = direction->half.LookAt();
      activity += look.sum;
      lost = lost || look.lost;
      // Its source is silent or blocked, but a slow target is not an idle one.
      if (direction->retry_at_us != 0) activity += direction->half.Progress();
    }
    if (lost) {
      broken.push_back(flow);
    } else if (activity != flow->activity) {
      flow->activity = activity;
      flow->active_ms.store(now_ms, std::memory_order_relaxed);
    } else if (flow->idle_ms > 0 && now_ms >= flow->active_ms + flow->idle_ms) {
      expired.push_back(flow);
    }
  }
  for (SockmapFlow* flow : broken) Finish(flow, SPLICE_CLOSE_ERROR, ENOBUFS);
  for (SockmapFlow* flow : expired) Finish(flow, SPLICE_CLOSE_IDLE, 0);
  next_scan_us_ = live_.empty() ? kNever : now_us_ + scan_every_us_;
}

}  // namespace symsplice
