// SPDX-License-Identifier: MIT
#include "module/watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "module/client.h"
#include "module/table.h"
#include "thread.h"

namespace symsplice {
namespace {

constexpr int kTickMs = 1000;

}  // namespace

int ModuleWatch::Start(int events) {
  events_ = events;
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_ < 0) return errno;
  return StartThread("splice-module", [this] { Run(); }, &thread_);
}

ModuleWatch::~ModuleWatch() {
  if (thread_.joinable()) {
    stopping_ = true;
    const uint64_t one = 1;
    (void)!write(wake_, &one, sizeof one);
    thread_.join();
  }
  if (events_ >= 0) close(events_);
  if (wake_ >= 0) close(wake_);
}

bool ModuleWatch::Read() {
  return ReadModuleEvents(events_, [this](const ModuleEvent& event) { table_->OnEvent(event); });
}

// What the module said last lies here since before it was unloaded.
void ModuleWatch::Search() {
  Read();
  table_->Gone();
  table_->Return(events_);
}

void ModuleWatch::Run() {
  uint64_t next_tick = ModuleTable::NowMs() + kTickMs;
  while (!stopping_) {
    const uint64_t now = ModuleTable::NowMs();
    pollfd waiting[] = {{events_, POLLIN, 0}, {wake_, POLLIN, 0}};
    poll(waiting, 2, next_tick > now ? static_cast<int>(next_tick - now) : 0);
    if (Read()) table_->Reconcile();
    if (ModuleTable::NowMs() >= next_tick) {
      if (!table_->Tick()) Search();
      next_tick = ModuleTable::NowMs() + kTickMs;
    }
  }
}

}  // namespace symsplice
