// SPDX-License-Identifier: MIT
#include "packet/narrow.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "packet/sign.h"

namespace symsplice {
namespace {

constexpr struct {
  uint64_t from_ms;
  int window;
} kWindows[] = {{0, 64 * 1024}, {4, 32 * 1024}, {8, 16 * 1024}, {16, 8 * 1024}, {32, 4 * 1024}};
constexpr uint64_t kMomentMs = 200;
constexpr uint64_t kLongestPauseMs = 64'000;
constexpr int kWide = 1 << 30;

bool IsMore(int fd, unsigned long request) {
  int bytes = 0;
  return ioctl(fd, request, &bytes) == 0 && bytes > 0;
}

// Unread or unsent. What the pump has in its hands shows as unsent: it writes before it reads.
bool Waits(int from, int to) { return IsMore(from, SIOCINQ) || IsMore(to, SIOCOUTQNSD); }

}  // namespace

void Narrowing::Clamp(int fd, int window) {
  if (clamp_ == window) return;
  clamp_ = window;
  setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &window, sizeof window);
}

void Narrowing::Undo(const Direction& way) {
  began_ms_ = 0;
  if (clamp_ != 0) Clamp(way.from, kWide);
  if (!narrow_) return;
  narrow_ = false;
  way.table.Narrow(way.slot, way.side, false);
  // The peer may wait for a word, and nothing that is read here would make the socket give one.
  AskForSign(way.from);
}

// Behind a cut all stays as it is: what the peer may send is the other one's to say.
void Narrowing::Step(const Direction& way, bool comes, uint64_t now_ms) {
  if (way.table.slot(way.slot).leg[way.side].way != SPLICE_WAY_SLOW || now_ms < next_ms_) return;
  const bool waits = Waits(way.from, way.to);
  if (began_ms_ == 0) {
    if (!comes && !waits) return;
    began_ms_ = now_ms;
  }
  const uint64_t age = now_ms - began_ms_;
  if (age < kMomentMs && next_ms_ == 0) {
    if (!comes) return;
    int window = 0;
    for (const auto& each : kWindows) {
      if (age >= each.from_ms) window = each.window;
    }
    Clamp(way.from, window);
  } else if (waits) {
    if (!std::exchange(narrow_, true)) way.table.Narrow(way.slot, way.side, true);
  } else {
    Undo(way);
    next_ms_ = now_ms + pause_ms_;
    pause_ms_ = std::min(2 * pause_ms_, kLongestPauseMs);
  }
}

}  // namespace symsplice
