// SPDX-License-Identifier: MIT
#include "relay_thread.h"

#include <pthread.h>
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

namespace symsplice {
namespace {

constexpr size_t kBuffer = 32 * 1024;
constexpr size_t kPipesKept = 32;
constexpr int kEvents = 256;
constexpr uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;

uint64_t NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

}  // namespace

RelayThread::RelayThread(const Settings& settings, ReportQueue* reports)
    : workspace_{nullptr, std::vector<uint8_t>(kBuffer), settings.splice_after},
      pipes_(settings.pipe_size, kPipesKept),
      reports_(reports) {
  workspace_.pipes = &pipes_;
}

int RelayThread::Start() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return errno;
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_ < 0) return errno;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) < 0) return errno;
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "splice-relay");
  return 0;
}

RelayThread::~RelayThread() {
  if (thread_.joinable()) {
    stopping_ = true;
    signalled_ = false;
    Signal();
    thread_.join();
  }
  for (auto& [id, flow] : flows_) {
    if (flow->bounded) continue;
    close(flow->client);
    close(flow->upstream);
  }
  if (wake_ >= 0) close(wake_);
  if (epoll_ >= 0) close(epoll_);
}

// One write for any number of orders until the thread has woken up.
void RelayThread::Signal() {
  if (signalled_.exchange(true)) return;
  const uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
}

void RelayThread::Add(std::unique_ptr<Flow> flow) {
  flow->state = SPLICE_FLOW_RELAY;
  flow->started_ms = NowMs();
  flow->active_ms = flow->started_ms;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    incoming_.push_back(flow.get());
    const uint64_t id = flow->id;
    flows_.emplace(id, std::move(flow));
    size_ = flows_.size();
  }
  Signal();
}

void RelayThread::End(uint64_t id) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (flows_.count(id) == 0) return;
    ending_.push_back(id);
  }
  Signal();
}

bool RelayThread::Counters(uint64_t id, double out[4]) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = flows_.find(id);
  if (found == flows_.end()) return false;
  const Flow& flow = *found->second;
  const uint64_t now = NowMs();
  const uint64_t active = flow.active_ms.load(std::memory_order_relaxed);
  out[0] = static_cast<double>(flow.up.moved());
  out[1] = static_cast<double>(flow.down.moved());
  out[2] = flow.state.load(std::memory_order_relaxed);
  out[3] = now > active ? static_cast<double>(now - active) : 0;
  return true;
}

void RelayThread::Run() {
  std::array<epoll_event, kEvents> events;
  std::vector<Flow*> turn;
  while (!stopping_) {
    const int n = epoll_wait(epoll_, events.data(), kEvents, Timeout());
    now_ms_ = NowMs();
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr == nullptr) {
        TakeIncoming();
      } else {
        Mark(*static_cast<Flow::Side*>(events[i].data.ptr), events[i].events);
      }
    }
    turn.swap(ready_);
    for (Flow* flow : turn) {
      flow->ready = false;
      if (!flow->over) Work(flow);
    }
    turn.clear();
    if (now_ms_ >= next_scan_ms_) ExpireIdle();
    // Only now: an event of this turn may have pointed at a flow that ended in it.
    if (!finished_.empty()) {
      std::lock_guard<std::mutex> lock(mutex_);
      for (const Flow* flow : finished_) flows_.erase(flow->id);
      size_ = flows_.size();
      finished_.clear();
    }
  }
}

int RelayThread::Timeout() const {
  if (!ready_.empty()) return 0;
  if (size_ == 0) return -1;
  const uint64_t now = NowMs();
  return next_scan_ms_ > now ? static_cast<int>(next_scan_ms_ - now) : 0;
}

void RelayThread::TakeIncoming() {
  uint64_t drained;
  (void)!read(wake_, &drained, sizeof drained);
  signalled_ = false;  // before the lists are taken: an order after this signals anew
  std::vector<Flow*> incoming;
  std::vector<uint64_t> ending;
  std::vector<Flow*> to_end;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    incoming.swap(incoming_);
    ending.swap(ending_);
    for (const uint64_t id : ending) {
      if (const auto found = flows_.find(id); found != flows_.end()) {
        to_end.push_back(found->second.get());
      }
    }
  }
  for (Flow* flow : incoming) {
    flow->taken = true;
    if (flow->idle_ms > 0) {
      scan_every_ms_ = std::min(scan_every_ms_, std::max<uint64_t>(20, flow->idle_ms / 4));
      next_scan_ms_ = std::min(next_scan_ms_, now_ms_ + scan_every_ms_);
    }
    epoll_event event{};
    event.events = kInterest;
    event.data.ptr = &flow->client_side;
    int failed = epoll_ctl(epoll_, EPOLL_CTL_ADD, flow->client, &event) < 0 ? errno : 0;
    event.data.ptr = &flow->upstream_side;
    if (failed == 0 && epoll_ctl(epoll_, EPOLL_CTL_ADD, flow->upstream, &event) < 0) failed = errno;
    if (failed != 0) {
      Finish(flow, SPLICE_CLOSE_ERROR, failed);
    } else {
      // What was left over at hand-over is written now; for reading, epoll reports at once.
      Enqueue(flow);
    }
  }
  for (Flow* flow : to_end) {
    if (!flow->over) Finish(flow, SPLICE_CLOSE_ABORTED, 0);
  }
}

void RelayThread::Mark(const Flow::Side& side, uint32_t events) {
  Flow* flow = side.flow;
  if (flow->over) return;
  Half& from_here = side.is_client ? flow->up : flow->down;
  Half& to_here = side.is_client ? flow->down : flow->up;
  constexpr uint32_t kBroken = EPOLLERR | EPOLLHUP;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | kBroken)) != 0) from_here.readable = true;
  if ((events & (EPOLLRDHUP | EPOLLPRI | kBroken)) != 0) from_here.attentive = true;
  if ((events & (EPOLLOUT | kBroken)) != 0) to_here.writable = true;
  // A side that is no longer read tells of its reset only here: when its direction has ended
  // (FIN, then RST), or when the flow is bounded to the other direction.
  if ((events & EPOLLERR) != 0 && !(side.is_client ? flow->up_open : flow->down_open)) {
    const int error = SocketError(side.is_client ? flow->client : flow->upstream);
    Finish(flow, side.is_client ? SPLICE_CLOSE_CLIENT_RESET : SPLICE_CLOSE_UPSTREAM_RESET, error);
    return;
  }
  Enqueue(flow);
}

void RelayThread::Enqueue(Flow* flow) {
  if (flow->ready) return;
  flow->ready = true;
  ready_.push_back(flow);
}

void RelayThread::Work(Flow* flow) {
  const uint64_t before = flow->up.moved() + flow->down.moved();
  if (Advance(flow, &flow->up, &flow->up_open, true)) return;
  if (Advance(flow, &flow->down, &flow->down_open, false)) return;
  if (flow->up.moved() + flow->down.moved() != before) {
    flow->active_ms.store(now_ms_, std::memory_order_relaxed);
  }
}

bool RelayThread::Advance(Flow* flow, Half* half, bool* open, bool is_up) {
  if (!*open) return false;
  const bool other_open = is_up ? flow->down_open : flow->up_open;
  switch (half->Move(&workspace_)) {
    case Half::Result::kBlocked:
      return false;
    case Half::Result::kYield:
      Enqueue(flow);
      return false;
    case Half::Result::kLimited:
      Finish(flow, SPLICE_CLOSE_LIMIT, 0);
      return true;
    case Half::Result::kEnded:
      *open = false;
      if (flow->bounded || !other_open) {
        // The close sends the FIN that is still owed.
        Finish(flow, SPLICE_CLOSE_END, 0);
        return true;
      }
      shutdown(is_up ? flow->upstream : flow->client, SHUT_WR);
      flow->active_ms.store(now_ms_, std::memory_order_relaxed);
      flow->state.store(SPLICE_FLOW_TEARDOWN, std::memory_order_relaxed);
      return false;
    case Half::Result::kFromFailed:
      Finish(flow, is_up ? SPLICE_CLOSE_CLIENT_RESET : SPLICE_CLOSE_UPSTREAM_RESET, half->error());
      return true;
    case Half::Result::kToFailed:
      Finish(flow, is_up ? SPLICE_CLOSE_UPSTREAM_RESET : SPLICE_CLOSE_CLIENT_RESET, half->error());
      return true;
  }
  return false;
}

// Teardown. a) Nobody finds the flow any more: `over` is set, and its sockets leave the epoll
// set. b) Its sockets close: with FIN when all was relayed, else with RST, so that a cut stream
// never looks whole; lent sockets stay open. c) The report goes out, d) the memory at the end of
// the turn, when no collected event can point at it.
void RelayThread::Finish(Flow* flow, int reason, int error) {
  flow->over = true;
  finished_.push_back(flow);
  if (flow->bounded) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, flow->client, nullptr);
    epoll_ctl(epoll_, EPOLL_CTL_DEL, flow->upstream, nullptr);
  } else {
    if (reason != SPLICE_CLOSE_END) {
      SetReset(flow->client);
      SetReset(flow->upstream);
    }
    close(flow->client);
    close(flow->upstream);
  }
  flow->state.store(SPLICE_FLOW_CLOSED, std::memory_order_relaxed);
  reports_->Push({flow->id, reason, error, flow->up.moved(), flow->down.moved(),
                  static_cast<double>(now_ms_ - std::min(now_ms_, flow->started_ms))});
}

void RelayThread::ExpireIdle() {
  std::vector<Flow*> expired;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [id, flow] : flows_) {
      if (flow->idle_ms == 0 || flow->over || !flow->taken) continue;
      if (now_ms_ >= flow->active_ms.load(std::memory_order_relaxed) + flow->idle_ms) {
        expired.push_back(flow.get());
      }
    }
  }
  for (Flow* flow : expired) Finish(flow, SPLICE_CLOSE_IDLE, 0);
  next_scan_ms_ = now_ms_ + scan_every_ms_;
}

}  // namespace symsplice
