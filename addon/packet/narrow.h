// SPDX-License-Identifier: MIT
// Stage splice: what the relay's socket promises one peer while that peer's direction waits for its
// cut. It can be cut where what was promised fits the other peer's window (S4), so the promise is made
// small. On the relay loop's thread; decides nothing about the flow.
//
//   as bytes come:          a smaller and smaller window, for a moment. That finds the cut of a
//                           transfer that both peers keep up with.
//   as long as bytes wait:  the programs promise no more than the other peer has (SPLICE_LEG_NARROW).
//                           It does not keep up, and misses nothing while it reads what waits here.
//   nothing waits, no cut:  it is not for want of room. All is as it was, and tried again later.
#pragma once

#include <cstdint>
#include <utility>

#include "packet/table.h"

namespace symsplice {

class Narrowing {
 public:
  struct Direction {
    PacketTable& table;
    uint32_t slot;
    int side;  // whose stream it is
    int from;  // the socket that its bytes come to
    int to;    // the socket that they go to
  };

  // `comes`: bytes have come since the last time.
  void Step(const Direction& way, bool comes, uint64_t now_ms);
  // It may be cut soon: look often.
  bool busy() const { return began_ms_ != 0; }
  // Once, when the direction has been cut since: its peer may wait for a word about the window from a
  // socket that has none any more. Both peers must be asked for a sign, which tells each of the other.
  bool TakeUnheard() { return std::exchange(narrow_, false); }
  // The pump has it for good, or for a while.
  void Undo(const Direction& way);

 private:
  void Clamp(int fd, int window);

  uint64_t began_ms_ = 0;  // this attempt; 0: none
  uint64_t next_ms_ = 0;   // not before
  uint64_t pause_ms_ = 1000;
  int clamp_ = 0;  // TCP_WINDOW_CLAMP as set; 0: never
  bool narrow_ = false;
};

}  // namespace symsplice
