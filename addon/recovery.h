// SPDX-License-Identifier: MIT
// Stage splice: whether a flow should stay with the pump for now, because its losses are repaired
// sooner on each leg than end to end. docs/recovery.md has the measurements. On the relay loop's
// thread; asks the sockets, changes nothing.
//
// A loss is repaired one round trip after it: of its leg in the pump, of the whole way once the flow is
// spliced. So it matters where the way is long and the leg that loses is much shorter. Nobody knows a
// flow's losses before it has run: one on a long way goes over when it has run long enough without.
#pragma once

#include <cstdint>

namespace symsplice {

class Recovery {
 public:
  // True: not now, ask again in kAgainMs. `bytes`: moved so far, both directions.
  bool IsBetterSplit(int client, int upstream, uint64_t bytes, uint64_t now_ms);

  static constexpr uint64_t kAgainMs = 500;

 private:
  // Since the latest loss that was seen, or the first look.
  uint64_t losses_ = 0;
  uint64_t clean_bytes_ = 0;
  uint64_t clean_ms_ = 0;
};

}  // namespace symsplice
