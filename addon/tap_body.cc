// SPDX-License-Identifier: MIT
#include "tap_body.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "socket.h"

namespace symsplice {
namespace {

constexpr uint64_t kTurn = 2 * 1024 * 1024;  // bytes of a body before others get their turn
constexpr ssize_t kThin = 4096;              // a splice of less was not worth the pipe

TapPart MakePart(TapBody* body, int fd, uint64_t idle_ms) {
  TapPart part;
  part.body = body;
  part.fd = fd;
  part.open = fd >= 0;
  part.reported = fd < 0;
  part.idle_ms = idle_ms;
  return part;
}

void GiveEmpty(PipePool* pipes, Pipe* pipe) {
  if (pipe->valid()) pipes->Give(std::exchange(*pipe, Pipe{}));
}

}  // namespace

TapBody::TapBody(TapOrder order)
    : source(MakePart(this, order.source, order.source_idle_ms)),
      file(MakePart(this, order.file, 0)),
      client(MakePart(this, order.client, order.client_idle_ms)),
      id_(order.id),
      relays_(order.source >= 0),
      offset_(order.offset),
      length_(order.length),
      without_client_(order.without_client),
      growth_(std::move(order.growth)),
      prefix_(std::move(order.prefix)),
      head_(std::move(order.head)) {
  // Of a body that is only sent the file is no part: nobody waits for its end.
  if (!relays_) {
    file.open = false;
    file.reported = true;
  }
}

TapBody::~TapBody() {
  for (const TapPart* part : {&source, &file, &client}) {
    if (part->fd >= 0) close(part->fd);
  }
  for (const Pipe& pipe : {intake_, client_pipe_}) {
    if (pipe.valid()) PipePool::Discard(pipe);
  }
}

void TapBody::Leave(const GrowthWatcher* watcher) {
  if (awaiting_) growth_->Forget(watcher, id_);
}

void TapBody::Begin(TapWorkspace* workspace) {
  started_ms = source.active_ms = client.active_ms = workspace->now_ms;
  if (head_.empty()) return;
  // The head goes straight behind the prefix, where that fits.
  if (client.open && !prefix_sent()) SendPrefix();
  HandOn(head_);
  std::vector<uint8_t>().swap(head_);
}

void TapBody::Mark(const TapPart& part, uint32_t events) {
  constexpr uint32_t kBroken = EPOLLERR | EPOLLHUP;
  if (&part == &source) {
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | kBroken)) != 0) readable_ = true;
    if ((events & (EPOLLRDHUP | EPOLLPRI | kBroken)) != 0) attentive_ = true;
    if ((events & EPOLLERR) != 0) broken_ = true;
    return;
  }
  if ((events & (EPOLLOUT | kBroken)) != 0) writable_ = true;
  // Also while there is nothing to write, so that nobody goes on for a client that is gone.
  if ((events & kBroken) != 0 && client.open) {
    const int error = SocketError(client.fd);
    ClientLost(TapEnd::kReset, error != 0 ? error : EPIPE);
  }
}

bool TapBody::Work(TapWorkspace* workspace) {
  const uint64_t now = workspace->now_ms;
  // The clocks run only while something is due.
  if (!WantsSource()) source.active_ms = now;
  if (!HasForClient()) client.active_ms = now;
  for (uint64_t turn = 0; turn < kTurn;) {
    const uint64_t sent_before = sent() + prefix_done_;
    const uint64_t taken_before = taken();
    Deliver(workspace);
    Receive(workspace);
    Conclude();
    if (taken() != taken_before) source.active_ms = now;
    if (sent() + prefix_done_ != sent_before) client.active_ms = now;
    const uint64_t moved = sent() + prefix_done_ - sent_before + taken() - taken_before;
    if (moved == 0 || ended()) return false;
    turn += moved;
  }
  return true;
}

void TapBody::Conclude() {
  if (source.open && !file.open && !client.open) End(&source, TapEnd::kUnwanted);
  if (file.open && !source.open) {
    const bool passed_on = source.end == TapEnd::kComplete || source.end == TapEnd::kAborted ||
                           source.end == TapEnd::kUnwanted;
    End(&file, passed_on ? source.end : TapEnd::kShort);
  }
  ConcludeClient();
}

void TapBody::Abort() {
  for (TapPart* part : {&source, &file, &client}) End(part, TapEnd::kAborted);
}

void TapBody::Fail(int error) {
  for (TapPart* part : {&source, &file, &client}) End(part, TapEnd::kError, error);
}

// Looked at again when it may be due, but not more often than eight times in the idle time: as
// bytes keep moving, the moment moves too.
uint64_t TapBody::Expire(uint64_t now_ms) {
  uint64_t due = UINT64_MAX;
  const auto is_due = [&](TapPart* part, bool waits) {
    if (!part->open || part->idle_ms == 0) return false;
    if (!waits) part->active_ms = now_ms;
    const uint64_t end = part->active_ms + part->idle_ms;
    if (end <= now_ms) return true;
    due = std::min(due, std::max(end, now_ms + part->idle_ms / 8));
    return false;
  };
  if (is_due(&source, WantsSource())) End(&source, TapEnd::kIdle);
  if (is_due(&client, HasForClient())) ClientLost(TapEnd::kIdle, 0);
  Conclude();
  return due;
}

void TapBody::End(TapPart* part, TapEnd end, int error) {
  if (!part->open) return;
  part->open = false;
  part->end = end;
  part->error = error;
}

ReportWords TapBody::Report(TapPartKind kind, uint64_t now_ms) const {
  const TapPart& part = kind == TapPartKind::kSource ? source
                        : kind == TapPartKind::kFile ? file
                                                     : client;
  const uint64_t bytes = kind == TapPartKind::kSource ? taken()
                         : kind == TapPartKind::kFile ? written()
                                                      : sent();
  return {static_cast<double>(id_),
          static_cast<double>(kind),
          static_cast<double>(part.end),
          static_cast<double>(part.error),
          static_cast<double>(bytes),
          static_cast<double>(now_ms - std::min(now_ms, started_ms)),
          0,
          0};
}

bool TapBody::WantsSource() const {
  // Without a file what was taken waits in the intake: the client's pace is the source's.
  if (!source.open || intake_left() > 0 || taken() == length_) return false;
  return file.open || client.open;
}

void TapBody::Receive(TapWorkspace* workspace) {
  if (!source.open) return;
  if (taken() == length_) {
    End(&source, TapEnd::kComplete);
    return;
  }
  if (!WantsSource()) {
    // A reset does not wait until a client that is slow has taken what was sent before it.
    if (broken_) End(&source, TapEnd::kReset, SocketError(source.fd));
    return;
  }
  if (!readable_) return;
  ssize_t n;
  do {
    n = bulky_ ? TakeBySplice(workspace) : TakeByCopy(workspace);
  } while (n == -EINTR);
  if (n == 0) {
    SourceEnded();
  } else if (n == -EAGAIN) {
    readable_ = false;
  } else if (n < 0) {
    End(&source, TapEnd::kReset, static_cast<int>(-n));
  } else if (taken() == length_) {
    End(&source, TapEnd::kComplete);
  }
}

void TapBody::SourceEnded() {
  // A FIN and a reset right behind it: reading tells only of the first.
  if (broken_) {
    if (const int error = SocketError(source.fd); error != 0) {
      End(&source, TapEnd::kReset, error);
      return;
    }
  }
  End(&source, length_ == UINT64_MAX ? TapEnd::kComplete : TapEnd::kShort);
}

ssize_t TapBody::TakeByCopy(TapWorkspace* workspace) {
  std::vector<uint8_t>& buffer = workspace->buffer;
  const auto want = static_cast<size_t>(std::min<uint64_t>(buffer.size(), length_ - taken()));
  const ssize_t n = recv(source.fd, buffer.data(), want, MSG_DONTWAIT);
  if (n <= 0) return n < 0 ? -errno : 0;
  const auto bytes = static_cast<size_t>(n);
  bulky_ = bytes == buffer.size();
  // A short read emptied the socket, unless a FIN or the urgent mark cut it short.
  if (bytes < want && !attentive_) readable_ = false;
  HandOn({buffer.data(), bytes});
  return n;
}

ssize_t TapBody::TakeBySplice(TapWorkspace* workspace) {
  intake_pool_ = file.open ? workspace->wide_pipes : workspace->pipes;
  intake_ = intake_pool_->Take();
  if (!intake_.valid()) return TakeByCopy(workspace);  // out of pipes: a copy is always right
  const auto want = static_cast<size_t>(std::min<uint64_t>(intake_.capacity, length_ - taken()));
  const ssize_t n = ::splice(source.fd, nullptr, intake_.write_end, nullptr, want,
                             SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (n <= 0) {
    const int error = errno;
    GiveEmpty(intake_pool_, &intake_);
    // At the urgent mark splice(2) finds neither bytes nor an end; only recv(2) steps over it.
    if (n == 0 || (error == EAGAIN && attentive_)) return TakeByCopy(workspace);
    return -error;
  }
  bulky_ = n >= kThin;
  intake_at_ = taken();
  in_intake_ = static_cast<size_t>(n);
  taken_.fetch_add(in_intake_, std::memory_order_relaxed);
  if (file.open) {
    Tee(workspace);
    // The client first: a disk may let us wait.
    if (in_client_pipe_ > 0) Deliver(workspace);
    WritePipe();
    if (file.open) DropTee();
  }
  return n;
}

// Bytes in memory go to the client at once where it is their turn, and to the file. What remains
// is for a client without a file.
void TapBody::HandOn(std::span<const uint8_t> bytes) {
  const uint64_t at = taken();
  taken_.store(at + bytes.size(), std::memory_order_relaxed);
  if (client.open && writable_ && prefix_sent() && client_at() == at) {
    const ssize_t n = SendBytes(bytes, false);
    if (n > 0) sent_.fetch_add(static_cast<uint64_t>(n), std::memory_order_relaxed);
    // EAGAIN and every other error come again when the rest is sent.
  }
  if (file.open) WriteBytes(bytes);
  if (file.open || !client.open) return;
  intake_at_ = std::max({at, written(), client_at()});
  held_.assign(bytes.begin() + static_cast<ptrdiff_t>(intake_at_ - at), bytes.end());
  held_done_ = 0;
}

// For a client that has had all that came before. One that gets less than all of it is then
// behind, and catches up from the file.
void TapBody::Tee(TapWorkspace* workspace) {
  if (!client.open || !writable_ || !prefix_sent() || sent() != intake_at_) return;
  client_pipe_ = workspace->wide_pipes->Take();
  if (!client_pipe_.valid()) return;
  const ssize_t n =
      tee(intake_.read_end, client_pipe_.write_end, in_intake_, SPLICE_F_NONBLOCK);
  if (n > 0) {
    in_client_pipe_ = static_cast<size_t>(n);
  } else {
    GiveEmpty(workspace->wide_pipes, &client_pipe_);
  }
}

// What a client did not take at once it will get from the file: a slow client holds no pipe.
void TapBody::DropTee() {
  in_client_pipe_ = 0;
  if (client_pipe_.valid()) PipePool::Discard(std::exchange(client_pipe_, Pipe{}));
}

void TapBody::WritePipe() {
  while (in_intake_ > 0 && file.open) {
    auto at = static_cast<off64_t>(offset_ + written());
    const ssize_t n =
        ::splice(intake_.read_end, nullptr, file.fd, &at, in_intake_, SPLICE_F_MOVE);
    if (n > 0) {
      in_intake_ -= static_cast<size_t>(n);
      intake_at_ += static_cast<uint64_t>(n);
      Wrote(static_cast<size_t>(n));
    } else if (n == 0 || errno != EINTR) {
      FileFailed(n == 0 ? EIO : errno);
    }
  }
  if (in_intake_ == 0) GiveEmpty(intake_pool_, &intake_);
}

void TapBody::WriteBytes(std::span<const uint8_t> bytes) {
  while (!bytes.empty() && file.open) {
    const ssize_t n = pwrite(file.fd, bytes.data(), bytes.size(),
                             static_cast<off_t>(offset_ + written()));
    if (n > 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
      Wrote(static_cast<size_t>(n));
    } else if (n == 0 || errno != EINTR) {
      FileFailed(n == 0 ? EIO : errno);
    }
  }
}

void TapBody::Wrote(size_t bytes) {
  const uint64_t written = written_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (growth_ != nullptr) growth_->Advance(offset_ + written);
}

// The tap ends. What the file did take stays good for a client that is behind; what was teed goes
// out of the intake, so that the client does not get it twice.
void TapBody::FileFailed(int error) {
  End(&file, TapEnd::kError, error);
  SkipIntake(client.open ? client_at() : UINT64_MAX);
}

void TapBody::SkipIntake(uint64_t to) {
  std::array<uint8_t, 16 * 1024> nowhere;
  while (in_intake_ > 0 && intake_at_ < to) {
    const size_t want =
        static_cast<size_t>(std::min<uint64_t>({nowhere.size(), in_intake_, to - intake_at_}));
    const ssize_t n = read(intake_.read_end, nowhere.data(), want);
    if (n <= 0) continue;  // EINTR: the bytes are there
    in_intake_ -= static_cast<size_t>(n);
    intake_at_ += static_cast<uint64_t>(n);
  }
}

}  // namespace symsplice
