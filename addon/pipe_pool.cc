// SPDX-License-Identifier: MIT
#include "pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

namespace symsplice {
namespace {

// Above the limit of fs.pipe-user-pages-soft the kernel hands out pipes of one or two pages.
// Those are slower than copying.
constexpr size_t kSmallestUseful = 64 * 1024;

}  // namespace

PipePool::~PipePool() {
  for (const Pipe& pipe : empty_) Discard(pipe);
}

Pipe PipePool::Take() {
  if (!empty_.empty()) {
    const Pipe pipe = empty_.back();
    empty_.pop_back();
    return pipe;
  }
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) return Pipe{};
  // EPERM above pipe-max-size or pipe-user-pages-soft leaves the size as it was.
  (void)fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(size_));
  const int granted = fcntl(ends[1], F_GETPIPE_SZ);
  const Pipe pipe{ends[0], ends[1], granted < 0 ? 0 : static_cast<size_t>(granted)};
  if (pipe.capacity < kSmallestUseful) {
    Discard(pipe);
    return Pipe{};
  }
  return pipe;
}

void PipePool::Give(Pipe pipe) {
  if (empty_.size() < keep_) {
    empty_.push_back(pipe);
  } else {
    Discard(pipe);
  }
}

void PipePool::Discard(Pipe pipe) {
  close(pipe.read_end);
  close(pipe.write_end);
}

}  // namespace symsplice
