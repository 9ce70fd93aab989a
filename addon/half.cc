// SPDX-License-Identifier: MIT
#include "half.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace symsplice {
namespace {

constexpr uint64_t kTurn = 2 * 1024 * 1024;  // bytes of one direction before others get their turn
constexpr ssize_t kThin = 4096;              // a splice of less was not worth the pipe

}  // namespace

Half::~Half() {
  if (pipe_.valid()) PipePool::Discard(pipe_);
}

void Half::Prefix(std::span<const uint8_t> bytes, bool counted) {
  held_.insert(held_.end(), bytes.begin(), bytes.end());
  if (!counted) {
    uncounted_ += bytes.size();
  } else {
    left_ -= std::min<uint64_t>(left_, left_ == UINT64_MAX ? 0 : bytes.size());
  }
}

Half::Result Half::Move(Workspace* workspace) {
  for (uint64_t turn = 0; turn < kTurn;) {
    // Write first: there is never more than one read's worth between the two sockets, and
    // splice(2) is only ever given an empty pipe, so that its EAGAIN means "socket empty".
    Flow written = WriteHeld();
    if (written == Flow::kGo) written = WritePipe(workspace->pipes);
    if (written == Flow::kBlocked) return Result::kBlocked;
    if (written == Flow::kFailed) return Result::kToFailed;
    // Nothing is pending here: only now an end may be passed on (HAProxy #2505).
    if (ended_) return Result::kEnded;
    if (left_ == 0) return Result::kLimited;
    if (!readable) return Result::kBlocked;
    if (workspace->small_only && grown(workspace->splice_after)) return Result::kYield;

    const ssize_t n = grown(workspace->splice_after) ? ReadBySplice(workspace) : ReadByCopy(workspace);
    if (n > 0) {
      read_ += static_cast<uint64_t>(n);
      turn += static_cast<uint64_t>(n);
      if (left_ != UINT64_MAX) left_ -= static_cast<uint64_t>(n);
    } else if (n == 0) {
      ended_ = true;
    } else if (n == -EAGAIN) {
      readable = false;
    } else if (n != -EINTR) {
      error_ = static_cast<int>(-n);
      return Result::kFromFailed;
    }
  }
  return Result::kYield;
}

ssize_t Half::ReadByCopy(Workspace* workspace) {
  std::vector<uint8_t>& buffer = workspace->buffer;
  const size_t want = static_cast<size_t>(std::min<uint64_t>(buffer.size(), left_));
  const ssize_t n = recv(from_, buffer.data(), want, MSG_DONTWAIT);
  if (n <= 0) return n < 0 ? -errno : 0;
  bulky_ = static_cast<size_t>(n) == buffer.size();
  // A short read emptied the socket; what comes later raises a new edge. This saves the read
  // that would only say EAGAIN. It does not hold at FIN or at the urgent mark.
  if (static_cast<size_t>(n) < want && !attentive) readable = false;
  // Straight from the thread's buffer; what does not fit now is kept by the half.
  size_t sent = 0;
  if (writable) {
    const ssize_t s = send(to_, buffer.data(), static_cast<size_t>(n), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (s >= 0) {
      sent = static_cast<size_t>(s);
      Count(sent);
    } else if (errno == EAGAIN) {
      writable = false;
    }
    // Any other error comes again, and is reported, when the rest is written.
  }
  held_.assign(buffer.begin() + static_cast<ptrdiff_t>(sent), buffer.begin() + n);
  held_done_ = 0;
  return n;
}

ssize_t Half::ReadBySplice(Workspace* workspace) {
  if (!pipe_.valid()) pipe_ = workspace->pipes->Take();
  if (!pipe_.valid()) return ReadByCopy(workspace);  // out of pipes: a copy is always right
  const size_t want = static_cast<size_t>(std::min<uint64_t>(pipe_.capacity, left_));
  // SPLICE_F_NONBLOCK is needed for the pipe even though the sockets do not block.
  const ssize_t n = ::splice(from_, nullptr, pipe_.write_end, nullptr, want,
                             SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (n > 0) {
    in_pipe_ = static_cast<size_t>(n);
    bulky_ = n >= kThin;
    return n;
  }
  const int error = errno;
  workspace->pipes->Give(pipe_);
  pipe_ = Pipe{};
  // At the urgent mark splice(2) finds neither bytes nor an end, and says so as "empty", or, once
  // the FIN is there, as "end of stream". Only recv(2) steps over the urgent byte and knows.
  if (n == 0 || (error == EAGAIN && attentive)) return ReadByCopy(workspace);
  return -error;
}

Half::Flow Half::WriteHeld() {
  while (held_done_ < held_.size()) {
    if (!writable) return Flow::kBlocked;
    const ssize_t n = send(to_, held_.data() + held_done_, held_.size() - held_done_,
                           MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      return WriteFailed(errno);
    }
    held_done_ += static_cast<size_t>(n);
    Count(static_cast<size_t>(n));
  }
  if (held_.capacity() != 0) {
    // An idle flow keeps no memory.
    std::vector<uint8_t>().swap(held_);
    held_done_ = 0;
  }
  return Flow::kGo;
}

Half::Flow Half::WritePipe(PipePool* pipes) {
  while (in_pipe_ > 0) {
    if (!writable) return Flow::kBlocked;
    // The exact length: more, with SPLICE_F_MORE implied, would delay the last segment.
    const ssize_t n = ::splice(pipe_.read_end, nullptr, to_, nullptr, in_pipe_,
                               SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0) {
      if (errno == EINTR) continue;
      return WriteFailed(errno);
    }
    in_pipe_ -= static_cast<size_t>(n);
    Count(static_cast<size_t>(n));
  }
  // Kept while the direction runs; given back by ReadBySplice when the socket is empty.
  if (pipe_.valid() && !bulky_) {
    pipes->Give(pipe_);
    pipe_ = Pipe{};
  }
  return Flow::kGo;
}

Half::Flow Half::WriteFailed(int error) {
  if (error == EAGAIN) {
    writable = false;
    return Flow::kBlocked;
  }
  error_ = error;
  return Flow::kFailed;
}

void Half::Count(size_t bytes) {
  const size_t foreign = std::min(bytes, uncounted_);
  uncounted_ -= foreign;
  moved_.fetch_add(bytes - foreign, std::memory_order_relaxed);
}

}  // namespace symsplice
