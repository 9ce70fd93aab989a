// SPDX-License-Identifier: MIT
#include "sockmap_half.h"

#include <bpf/bpf.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace symsplice {
namespace {

constexpr int kEstablished = 1;    // TCP_ESTABLISHED, which <linux/tcp.h> does not name
constexpr int kProgressTries = 64;
constexpr uint64_t kMostSendBuffer = 512u << 20;

bool ReadInfo(int fd, tcp_info* out) {
  socklen_t length = sizeof *out;
  *out = tcp_info{};
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, out, &length) == 0;
}

int ErrnoOf(int result) { return result == 0 ? 0 : errno; }

const char* RefuseOne(int fd) {
  int protocol = 0;
  socklen_t length = sizeof protocol;
  if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) != 0) return "no socket";
  if (protocol == 262) return "MPTCP sockets and sockmaps do not mix";  // IPPROTO_MPTCP
  if (protocol != IPPROTO_TCP) return "not TCP";
  char ulp[16];
  length = sizeof ulp;
  if (getsockopt(fd, IPPROTO_TCP, TCP_ULP, ulp, &length) == 0 && length > 0) {
    return "another protocol (kernel TLS or the like) sits on the socket";
  }
  tcp_info info;
  if (!ReadInfo(fd, &info)) return "TCP_INFO cannot be read";
  if (info.tcpi_state != kEstablished) return "not in state ESTABLISHED, one side has said FIN";
  return nullptr;
}

}  // namespace

const char* RefuseSockmap(int client, int upstream) {
  const char* reason = RefuseOne(client);
  return reason != nullptr ? reason : RefuseOne(upstream);
}

void SockmapHalf::Prefix(std::span<const uint8_t> bytes, bool counted) {
  copy_->Prefix(bytes, counted);
  prefixed_ += bytes.size();
  if (!counted) reply_ += bytes.size();
}

int SockmapHalf::Prepare() {
  socklen_t length = sizeof cookie_;
  if (getsockopt(from_, SOL_SOCKET, SO_COOKIE, &cookie_, &length) != 0) return errno;
  if (const int error = StableProgress(&base_); error != 0) return error;
  // What is written first counts as passed: so the verdict redirects nothing before it is.
  splice_sockmap_half half{};
  half.passed = prefixed_;
  half.base = base_;
  half.limit = maps_.limit;
  copying_ = prefixed_ > 0;
  const uint64_t nothing = 0;
  int error = ErrnoOf(bpf_map_update_elem(maps_.copied, &cookie_, &nothing, BPF_ANY));
  if (error == 0) error = ErrnoOf(bpf_map_update_elem(maps_.halves, &cookie_, &half, BPF_ANY));
  if (error != 0) Remove();
  return error;
}

int SockmapHalf::Insert() {
  const uint64_t target = static_cast<uint64_t>(to_);
  const int error = ErrnoOf(bpf_map_update_elem(maps_.peers, &cookie_, &target, BPF_ANY));
  if (error == 0) WidenTarget();
  return error;
}

void SockmapHalf::Remove() {
  // The half last: a verdict that runs meanwhile passes, and counts what it does.
  bpf_map_delete_elem(maps_.peers, &cookie_);
  bpf_map_delete_elem(maps_.copied, &cookie_);
  bpf_map_delete_elem(maps_.halves, &cookie_);
}

SockmapHalf::Result SockmapHalf::Work(Workspace* workspace) {
  for (;;) {
    if (copying_) {
      const Half::Result result = copy_->Move(workspace);
      Account();
      if (result == Half::Result::kYield) return Result::kYield;
      if (result == Half::Result::kFromFailed || result == Half::Result::kToFailed) {
        error_ = copy_->error();
        return result == Half::Result::kFromFailed ? Result::kFromFailed : Result::kToFailed;
      }
      if (copy_->pending()) return Result::kIdle;  // the target is full
      copying_ = false;
      if (result == Half::Result::kEnded) {
        const Result end = End();
        if (end == Result::kDraining) {
          copied_before_ += copy_->moved();
          copy_ = std::make_unique<Half>(from_, to_);
        }
        return end;
      }
      Publish();
    }
    if (!signalled_) return Result::kIdle;
    // Looks without taking, and makes the kernel run the verdict on what came before insertion.
    char byte;
    const ssize_t n = recv(from_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        signalled_ = false;
        return Result::kIdle;
      }
      error_ = errno;
      return Result::kFromFailed;
    }
    if (!Drained()) return Result::kDraining;
    if (n == 0) return End();
    copying_ = true;
    copy_->readable = true;
    copy_->attentive = true;  // read until EAGAIN: a short read of a sockmap socket means nothing
  }
}

bool SockmapHalf::Read(splice_sockmap_half* out) const {
  return bpf_map_lookup_elem(maps_.halves, &cookie_, out) == 0;
}

uint64_t SockmapHalf::redirected() const {
  splice_sockmap_half half;
  return Read(&half) ? half.redirected : 0;
}

// Acknowledged bytes are read first: one that is acknowledged between the two readings is then missing from the sum,
// and never counted twice, so that the answer may be late but never early.
uint64_t SockmapHalf::Progress() const {
  tcp_info info;
  int queued = 0;
  if (!ReadInfo(to_, &info) || ioctl(to_, SIOCOUTQ, &queued) != 0) return 0;
  return info.tcpi_bytes_acked + static_cast<uint64_t>(queued);
}

// The exact value, for the base that everything is measured from. Nobody writes to the target
// now, so it is exact as soon as no acknowledgement came between two readings.
int SockmapHalf::StableProgress(uint64_t* out) const {
  uint64_t last = 0;
  for (int i = 0; i < kProgressTries; i++) {
    tcp_info before, after;
    int queued = 0;
    if (!ReadInfo(to_, &before) || ioctl(to_, SIOCOUTQ, &queued) != 0 || !ReadInfo(to_, &after)) {
      return errno;
    }
    last = after.tcpi_bytes_acked + static_cast<uint64_t>(queued);
    if (before.tcpi_bytes_acked == after.tcpi_bytes_acked) {
      *out = last;
      return 0;
    }
  }
  return EAGAIN;
}

bool SockmapHalf::Drained() const { return Progress() >= base_ + redirected() + written(); }

SockmapHalf::Look SockmapHalf::LookAt() const {
  splice_sockmap_half half{};
  Read(&half);
  return {half.redirected + half.passed + copied_.load(std::memory_order_relaxed), half.lost > 0};
}

// What recv() == 0 means: the end, or passed bytes that the kernel's worker still holds.
SockmapHalf::Result SockmapHalf::End() const {
  splice_sockmap_half half;
  if (!Read(&half)) return Result::kEnded;
  if (half.lost > 0) return Result::kLost;
  return half.passed <= written() ? Result::kEnded : Result::kDraining;
}

void SockmapHalf::Account() {
  copied_.store(copied_before_ + copy_->moved(), std::memory_order_relaxed);
}

void SockmapHalf::Publish() {
  const uint64_t bytes = written();
  bpf_map_update_elem(maps_.copied, &cookie_, &bytes, BPF_EXIST);
}

// The kernel doubles what it is told, for its own overhead; a quarter is enough for that here.
// Needs CAP_NET_ADMIN, which whoever loaded the program has; without it, only slower.
void SockmapHalf::WidenTarget() {
  int present = 0;
  socklen_t length = sizeof present;
  const uint64_t wanted = std::min<uint64_t>(maps_.limit / 2 + maps_.limit / 8, kMostSendBuffer);
  const int half = static_cast<int>(wanted);
  if (getsockopt(to_, SOL_SOCKET, SO_SNDBUF, &present, &length) != 0 || present >= 2 * half) return;
  setsockopt(to_, SOL_SOCKET, SO_SNDBUFFORCE, &half, sizeof half);
}

}  // namespace symsplice
