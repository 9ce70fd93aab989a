// SPDX-License-Identifier: MIT
// Stage relay: the client's side of a body; see tap_body.h.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tap_body.h"

namespace symsplice {
namespace {

constexpr uint64_t kShare = 2 * 1024 * 1024;  // sent before the source has its turn again
constexpr uint64_t kRetryMs = 1;              // until a slow disk is looked at again

}  // namespace

uint64_t TapBody::in_file() const {
  if (relays_) return written();
  if (growth_ == nullptr) return length_;
  const uint64_t filled = growth_->filled();
  return filled <= offset_ ? 0 : std::min(length_, filled - offset_);
}

bool TapBody::HasForClient() const {
  if (!client.open) return false;
  return !prefix_sent() || in_client_pipe_ > 0 || sent() < in_file() || intake_left() > 0;
}

void TapBody::Deliver(TapWorkspace* workspace) {
  retry_ms = 0;
  for (uint64_t share = 0; client.open && share < kShare;) {
    const ssize_t n = DeliverSome(workspace);
    if (n > 0) {
      share += static_cast<uint64_t>(n);
    } else if (n == 0) {
      return;
    } else if (n == FileReader::kDiskIsSlow) {
      retry_ms = workspace->now_ms + kRetryMs;
      return;
    } else if (n == -EAGAIN) {
      writable_ = false;
      return;
    } else if (n != -EINTR) {
      ClientLost(TapEnd::kReset, static_cast<int>(-n));
    }
  }
}

ssize_t TapBody::DeliverSome(TapWorkspace* workspace) {
  if (!writable_) return 0;
  if (!prefix_sent()) return SendPrefix();
  if (in_client_pipe_ > 0) {
    const ssize_t n = SendPipe(client_pipe_, &in_client_pipe_);
    if (in_client_pipe_ == 0) workspace->wide_pipes->Give(std::exchange(client_pipe_, Pipe{}));
    return n;
  }
  if (sent() < in_file()) return SendFile(workspace);
  // While there is a file the intake is the file's.
  if (intake_left() > 0 && !file.open) {
    if (in_intake_ == 0) return SendHeld();
    const ssize_t n = SendPipe(intake_, &in_intake_);
    if (n > 0) intake_at_ += static_cast<uint64_t>(n);
    if (in_intake_ == 0) intake_pool_->Give(std::exchange(intake_, Pipe{}));
    return n;
  }
  AwaitGrowth(workspace);
  return sent() < in_file() ? SendFile(workspace) : 0;
}

// The prefix waits for nobody, and the kernel only for bytes that are there: together they may
// fill one segment.
ssize_t TapBody::SendPrefix() {
  const bool more = in_file() > 0 || intake_left() > 0 || !head_.empty();
  const ssize_t n = SendBytes(std::span(prefix_).subspan(prefix_done_), more);
  if (n > 0) prefix_done_ += static_cast<size_t>(n);
  return n;
}

ssize_t TapBody::SendHeld() {
  const ssize_t n = SendBytes(std::span(held_).subspan(held_done_), false);
  if (n > 0) {
    held_done_ += static_cast<size_t>(n);
    intake_at_ += static_cast<uint64_t>(n);
    sent_.fetch_add(static_cast<uint64_t>(n), std::memory_order_relaxed);
  }
  if (held_done_ == held_.size()) {
    std::vector<uint8_t>().swap(held_);
    held_done_ = 0;
  }
  return n;
}

ssize_t TapBody::SendBytes(std::span<const uint8_t> bytes, bool more) {
  const ssize_t n = send(client.fd, bytes.data(), bytes.size(),
                         MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0));
  return n < 0 ? -errno : n;
}

ssize_t TapBody::SendPipe(const Pipe& pipe, size_t* left) {
  // The exact length: more, with SPLICE_F_MORE implied, would delay the last segment.
  const ssize_t n =
      ::splice(pipe.read_end, nullptr, client.fd, nullptr, *left, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (n < 0) return -errno;
  *left -= static_cast<size_t>(n);
  sent_.fetch_add(static_cast<uint64_t>(n), std::memory_order_relaxed);
  return n;
}

ssize_t TapBody::SendFile(TapWorkspace* workspace) {
  const ssize_t n = reader_.Send(client.fd, file.fd, offset_ + sent(), in_file() - sent(),
                                 workspace->now_ms);
  if (n > 0) {
    sent_.fetch_add(static_cast<uint64_t>(n), std::memory_order_relaxed);
  } else if (n == 0) {
    // Cut off behind our back. What we wrote ourselves can only have been taken by a mistake.
    ClientLost(relays_ ? TapEnd::kError : TapEnd::kShort, relays_ ? EIO : 0);
  } else if (n == -EIO || n == -EBADF || n == -EINVAL || n == -EISDIR || n == -ENOMEM) {
    // Nothing that a connection could answer.
    ClientLost(TapEnd::kError, static_cast<int>(-n));
    return 0;
  }
  return n;
}

void TapBody::AwaitGrowth(TapWorkspace* workspace) {
  if (relays_ || growth_ == nullptr || awaiting_ || sent() == length_) return;
  awaiting_ = growth_->Await(offset_ + sent(), workspace->watcher, id_);
}

// The client takes no more. Whether the fill goes on without it was the caller's choice.
void TapBody::ClientLost(TapEnd end, int error) {
  End(&client, end, error);
  DropTee();
  if (!relays_ || (without_client_ && file.open)) return;
  End(&source, TapEnd::kUnwanted);
  End(&file, TapEnd::kUnwanted);
}

void TapBody::ConcludeClient() {
  if (!client.open || !prefix_sent()) return;
  if (relays_) {
    if (source.open || sent() != taken()) return;
    End(&client, source.end == TapEnd::kComplete ? TapEnd::kComplete : TapEnd::kShort);
    return;
  }
  if (sent() == length_) {
    End(&client, TapEnd::kComplete);
    return;
  }
  if (growth_ == nullptr) return;
  const Growth::State state = growth_->state();
  if (state == Growth::State::kGrowing || sent() != in_file()) return;
  const bool whole = state == Growth::State::kComplete && length_ == UINT64_MAX;
  End(&client, whole ? TapEnd::kComplete : TapEnd::kShort);
}

}  // namespace symsplice
