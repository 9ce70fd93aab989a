// SPDX-License-Identifier: MIT
#include "relay_thread.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "thread.h"

namespace symsplice {

int RelayThread::Start() {
  if (const int error = loop_.Open(); error != 0) return error;
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_ < 0) return errno;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  if (epoll_ctl(loop_.epoll(), EPOLL_CTL_ADD, wake_, &event) < 0) return errno;
  return StartThread("splice-relay", [this] { Run(); }, &thread_);
}

RelayThread::~RelayThread() {
  if (thread_.joinable()) {
    stopping_ = true;
    signalled_ = false;
    Signal();
    thread_.join();
  }
  if (wake_ >= 0) close(wake_);
}

// One write for any number of orders until the thread has woken up.
void RelayThread::Signal() {
  if (signalled_.exchange(true)) return;
  const uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
}

// The flow is in the loop's map before its order is queued, so that the map owns it whatever
// happens: a thread that stops before it has taken the order closes the flow with the others.
void RelayThread::Add(std::unique_ptr<Flow> flow) {
  Flow* const known = loop_.Insert(std::move(flow));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    admitting_.push_back(known);
  }
  Signal();
}

void RelayThread::End(uint64_t id) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ending_.push_back(id);
  }
  Signal();
}

void RelayThread::TakeOrders() {
  uint64_t drained;
  (void)!read(wake_, &drained, sizeof drained);
  signalled_ = false;  // before the orders are taken: one that comes after this signals anew
  std::vector<Flow*> admitting;
  std::vector<uint64_t> ending;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    admitting.swap(admitting_);
    ending.swap(ending_);
  }
  for (Flow* flow : admitting) loop_.Admit(flow);
  for (const uint64_t id : ending) loop_.End(id);
}

void RelayThread::Run() {
  while (!stopping_) {
    loop_.Turn(loop_.Timeout(), [this] { TakeOrders(); });
  }
}

}  // namespace symsplice
