// SPDX-License-Identifier: MIT
#include "packet/janitor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "packet/table.h"
#include "splice/packet.h"
#include "thread.h"

namespace symsplice {
namespace {

// The table looks at an eighth of its flows each time.
constexpr int kSweepMs = 125;

}  // namespace

int Janitor::Start(int events_fd) {
  const auto on_event = [](void* table, void* data, size_t size) {
    if (size >= sizeof(splice_packet_event)) {
      static_cast<PacketTable*>(table)->OnEvent(*static_cast<splice_packet_event*>(data));
    }
    return 0;
  };
  events_ = ring_buffer__new(events_fd, on_event, table_, nullptr);
  if (events_ == nullptr) return errno;
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_ < 0) return errno;
  return StartThread("splice-janitor", [this] { Run(); }, &thread_);
}

Janitor::~Janitor() {
  if (thread_.joinable()) {
    stopping_ = true;
    Wake();
    thread_.join();
  }
  ring_buffer__free(events_);
  if (wake_ >= 0) close(wake_);
}

void Janitor::Wake() {
  const uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
}

void Janitor::Run() {
  uint64_t next_sweep = PacketTable::NowMs() + kSweepMs;
  while (!stopping_) {
    const int closing = table_->CloseRetired();
    const uint64_t now = PacketTable::NowMs();
    int wait = next_sweep > now ? static_cast<int>(next_sweep - now) : 0;
    if (closing >= 0) wait = std::min(wait, closing);
    pollfd waiting[] = {{ring_buffer__epoll_fd(events_), POLLIN, 0}, {wake_, POLLIN, 0}};
    poll(waiting, 2, wait);
    if (waiting[1].revents != 0) {
      uint64_t drained;
      (void)!read(wake_, &drained, sizeof drained);
    }
    ring_buffer__consume(events_);
    if (PacketTable::NowMs() >= next_sweep) {
      table_->Sweep();
      next_sweep = PacketTable::NowMs() + kSweepMs;
    }
  }
}

}  // namespace symsplice
