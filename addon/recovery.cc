// SPDX-License-Identifier: MIT
#include "recovery.h"

// Not <netinet/tcp.h>, whose tcp_info is shorter; the two cannot be had together.
#include <linux/tcp.h>
#include <sys/socket.h>

#ifndef SOL_TCP
#define SOL_TCP 6
#endif

namespace symsplice {
namespace {

// Ways so short are repaired and climbed in no time, on legs or as a whole.
constexpr uint64_t kShortUs = 10'000;
// By then slow start is over, which is twice as fast on half the way; and of a leg that loses one segment
// in a hundred or a thousand, one was seen.
constexpr uint64_t kCleanBytes = 4 * 1024 * 1024;
// What says little cannot lose much.
constexpr uint64_t kCleanMs = 10'000;

struct Leg {
  uint64_t round_trip_us = 0;
  uint64_t losses = 0;
};

// Of our own segments, by what was sent again; of the peer's, by what came before its turn.
Leg LookAt(int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (getsockopt(fd, SOL_TCP, TCP_INFO, &info, &length) < 0) return {};
  const bool has_least = info.tcpi_min_rtt != 0 && info.tcpi_min_rtt != UINT32_MAX;
  return {has_least ? info.tcpi_min_rtt : info.tcpi_rtt,
          uint64_t{info.tcpi_total_retrans} + info.tcpi_rcv_ooopack};
}

// Less than a quarter is not worth a socket.
bool IsShorter(const Leg& leg, uint64_t whole_us) { return leg.round_trip_us * 5 <= whole_us * 4; }

}  // namespace

bool Recovery::IsBetterSplit(int client, int upstream, uint64_t bytes, uint64_t now_ms) {
  const Leg legs[] = {LookAt(client), LookAt(upstream)};
  const uint64_t whole_us = legs[0].round_trip_us + legs[1].round_trip_us;
  if (whole_us < kShortUs) return false;
  uint64_t losses = 0;
  for (const Leg& leg : legs) {
    if (IsShorter(leg, whole_us)) losses += leg.losses;
  }
  if (clean_ms_ == 0 || losses != losses_) {
    losses_ = losses;
    clean_bytes_ = clean_ms_ == 0 && losses == 0 ? 0 : bytes;
    clean_ms_ = now_ms;
  }
  return bytes - clean_bytes_ < kCleanBytes && now_ms - clean_ms_ < kCleanMs;
}

}  // namespace symsplice
