// SPDX-License-Identifier: MIT
#include "tap_thread.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "relay_loop.h"
#include "socket.h"

namespace symsplice {
namespace {

constexpr int kEvents = 256;
constexpr size_t kBuffer = 32 * 1024;
constexpr size_t kPipesKept = 32;
constexpr size_t kWidePipesKept = 2;  // one turn needs no more
constexpr uint32_t kSourceInterest = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;
constexpr uint32_t kClientInterest = EPOLLOUT | EPOLLET;
constexpr uint64_t kLongestWaitMs = 60'000;
constexpr uint64_t kShortestScanMs = 10;

}  // namespace

TapThread::TapThread(const TapSettings& settings, ReportQueue* reports)
    : reports_(reports),
      pipes_(settings.pipe_size, kPipesKept),
      wide_pipes_(settings.wide_pipe_size, kWidePipesKept),
      workspace_{&pipes_, &wide_pipes_, std::vector<uint8_t>(kBuffer), this, 0} {}

TapThread::~TapThread() { Stop(); }

int TapThread::Start() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return errno;
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_ < 0) return errno;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) < 0) return errno;
  // Signals are for JavaScript's thread; and SIGPIPE and SIGXFSZ, which splice(2) raises in the
  // thread that calls it, for nobody: the errno says it too.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error& failure) {
    error = failure.code().value();  // EAGAIN: a limit of threads or memory
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) return error;
  pthread_setname_np(thread_.native_handle(), "splice-tap");
  return 0;
}

void TapThread::Stop() {
  if (thread_.joinable()) {
    stopping_ = true;
    signalled_ = false;
    Signal();
    thread_.join();
  }
  for (auto& [id, body] : bodies_) body->Leave(this);
  bodies_.clear();
  for (int* fd : {&epoll_, &wake_}) {
    if (*fd >= 0) close(std::exchange(*fd, -1));
  }
}

// One write for any number of orders until the thread has woken up.
void TapThread::Signal() {
  if (signalled_.exchange(true)) return;
  const uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
}

// The body is in the map before its order is queued: a thread that stops before it has taken the
// order frees the body with the others.
void TapThread::Add(TapOrder order) {
  auto body = std::make_unique<TapBody>(std::move(order));
  TapBody* const known = body.get();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    bodies_.emplace(known->id(), std::move(body));
    size_ = bodies_.size();
  }
  {
    std::lock_guard<std::mutex> lock(orders_mutex_);
    admitting_.push_back(known);
  }
  Signal();
}

bool TapThread::Abort(uint64_t id) {
  if (Find(id) == nullptr) return false;
  {
    std::lock_guard<std::mutex> lock(orders_mutex_);
    aborting_.push_back(id);
  }
  Signal();
  return true;
}

void TapThread::Grown(uint64_t id) {
  {
    std::lock_guard<std::mutex> lock(orders_mutex_);
    grown_.push_back(id);
  }
  Signal();
}

bool TapThread::Counters(uint64_t id, TapWords* out) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = bodies_.find(id);
  if (found == bodies_.end()) return false;
  const TapBody& body = *found->second;
  *out = {static_cast<double>(body.taken()), static_cast<double>(body.written()),
          static_cast<double>(body.sent())};
  return true;
}

TapBody* TapThread::Find(uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = bodies_.find(id);
  return found == bodies_.end() ? nullptr : found->second.get();
}

void TapThread::TakeOrders() {
  uint64_t drained;
  (void)!read(wake_, &drained, sizeof drained);
  signalled_ = false;  // before the orders are taken: one that comes after this signals anew
  std::vector<TapBody*> admitting;
  std::vector<uint64_t> aborting;
  std::vector<uint64_t> grown;
  {
    std::lock_guard<std::mutex> lock(orders_mutex_);
    admitting.swap(admitting_);
    aborting.swap(aborting_);
    grown.swap(grown_);
  }
  for (TapBody* body : admitting) Admit(body);
  for (const uint64_t id : grown) {
    TapBody* const body = Find(id);
    if (body == nullptr || body->over) continue;
    body->MarkGrown();
    Enqueue(body);
  }
  for (const uint64_t id : aborting) {
    TapBody* const body = Find(id);
    if (body == nullptr || body->over) continue;
    body->Abort();
    Settle(body);
  }
}

bool TapThread::Watch(TapPart* part, uint32_t interest) {
  if (!part->open) return true;
  epoll_event event{};
  event.events = interest;
  event.data.ptr = part;
  part->watched = epoll_ctl(epoll_, EPOLL_CTL_ADD, part->fd, &event) == 0;
  return part->watched;
}

void TapThread::Admit(TapBody* body) {
  if (!Watch(&body->source, kSourceInterest) || !Watch(&body->client, kClientInterest)) {
    body->Fail(errno);
    Settle(body);
    return;
  }
  // Until the body is whole: whoever closes it before, be it the end of the process, resets it.
  if (body->client.open) SetReset(body->client.fd);
  body->Begin(&workspace_);
  const uint64_t now = workspace_.now_ms;
  for (const TapPart* part : {&body->source, &body->client}) {
    if (part->open && part->idle_ms > 0) {
      next_scan_ms_ = std::min(next_scan_ms_, now + part->idle_ms);
    }
  }
  // What waits for no event: the head, the file, an empty body.
  Enqueue(body);
}

void TapThread::Enqueue(TapBody* body) {
  if (body->ready) return;
  body->ready = true;
  ready_.push_back(body);
}

void TapThread::Serve(TapBody* body) {
  if (body->over) return;
  const bool more = body->Work(&workspace_);
  Settle(body);
  if (body->over) return;
  if (more) {
    Enqueue(body);
  } else if (body->retry_ms != 0 && !body->retrying) {
    body->retrying = true;
    retrying_.push_back(body);
  }
}

// Teardown, part by part. a) Its socket leaves the epoll set: not left to close(2), since the
// caller's descriptor keeps the socket alive, and its next event would point at freed memory.
// b) Our duplicate closes, so that c) whoever hears the report has the socket alone. The file's
// stays while a client may be sent from it. d) The memory goes at the end of the turn, when no
// collected event can point at it.
void TapThread::Settle(TapBody* body) {
  const auto settle = [&](TapPart* part, TapPartKind kind) {
    if (part->open || part->reported) return;
    if (part->watched) epoll_ctl(epoll_, EPOLL_CTL_DEL, part->fd, nullptr);
    part->watched = false;
    if (kind == TapPartKind::kClient && part->end == TapEnd::kComplete) SetFin(part->fd);
    if (kind != TapPartKind::kFile) close(std::exchange(part->fd, -1));
    part->reported = true;
    reports_->PushWords(body->Report(kind, workspace_.now_ms));
  };
  settle(&body->source, TapPartKind::kSource);
  if (body->ended()) {
    body->Leave(this);
    // Nor is the file ours any more when the last report is read.
    if (body->file.fd >= 0) close(std::exchange(body->file.fd, -1));
  }
  settle(&body->file, TapPartKind::kFile);
  settle(&body->client, TapPartKind::kClient);
  if (!body->ended() || body->over) return;
  body->over = true;
  finished_.push_back(body);
}

void TapThread::ExpireIdle() {
  next_scan_ms_ = UINT64_MAX;
  std::vector<TapBody*> bodies;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [id, body] : bodies_) {
      // One that is not begun is still named by an order: not ours to end.
      if (!body->over && body->started_ms != 0) bodies.push_back(body.get());
    }
  }
  for (TapBody* body : bodies) {
    const uint64_t due = body->Expire(workspace_.now_ms);
    Settle(body);
    // Not more often than this, though the moment moves as bytes do.
    if (due != UINT64_MAX) {
      next_scan_ms_ =
          std::min(next_scan_ms_, std::max(due, workspace_.now_ms + kShortestScanMs));
    }
  }
}

void TapThread::Reap() {
  if (finished_.empty()) return;
  const auto over = [](const TapBody* body) { return body->over; };
  std::erase_if(ready_, over);
  std::erase_if(retrying_, over);
  std::lock_guard<std::mutex> lock(mutex_);
  for (const TapBody* body : finished_) bodies_.erase(body->id());
  size_ = bodies_.size();
  finished_.clear();
}

int TapThread::Timeout() const {
  if (!ready_.empty()) return 0;
  uint64_t due = next_scan_ms_;
  for (const TapBody* body : retrying_) due = std::min(due, body->retry_ms);
  if (due == UINT64_MAX) return -1;
  const uint64_t now = RelayLoop::NowMs();
  return due > now ? static_cast<int>(std::min(due - now, kLongestWaitMs)) : 0;
}

void TapThread::Run() {
  std::array<epoll_event, kEvents> events;
  while (!stopping_) {
    const int n = epoll_wait(epoll_, events.data(), kEvents, Timeout());
    workspace_.now_ms = RelayLoop::NowMs();
    for (int i = 0; i < n; i++) {
      auto* const part = static_cast<TapPart*>(events[i].data.ptr);
      if (part == nullptr) {
        TakeOrders();
      } else if (!part->body->over) {
        part->body->Mark(*part, events[i].events);
        Enqueue(part->body);
      }
    }
    std::erase_if(retrying_, [this](TapBody* body) {
      if (body->retry_ms > workspace_.now_ms) return false;
      body->retrying = false;
      if (!body->over) Enqueue(body);
      return true;
    });
    turn_.swap(ready_);
    for (TapBody* body : turn_) {
      body->ready = false;
      Serve(body);
    }
    turn_.clear();
    if (workspace_.now_ms >= next_scan_ms_) ExpireIdle();
    Reap();
  }
}

}  // namespace symsplice
