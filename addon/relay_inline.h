// SPDX-License-Identifier: MIT
// Stage relay for flows that are young and small: a relay loop on the JavaScript thread, watched
// by libuv. Most connections end here within milliseconds, and never pay for waking up another
// thread twice. What grows bulky, or old, moves on to a relay thread, so that no flow that
// matters for throughput or lasts waits for JavaScript.
#pragma once

#include <napi.h>
#include <uv.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "relay_loop.h"

namespace symsplice {

class RelayInline {
 public:
  using Grown = std::function<void(std::unique_ptr<Flow>)>;

  // `grown` takes the flows that move on.
  RelayInline(Napi::Env env, const RelaySettings& settings, ReportQueue* reports, Grown grown);
  ~RelayInline();
  RelayInline(const RelayInline&) = delete;
  RelayInline& operator=(const RelayInline&) = delete;

  // 0, or the errno with which it could not be made.
  int error() const { return error_; }

  void Add(std::unique_ptr<Flow> flow);
  // False when the flow is not here.
  bool End(uint64_t id);
  bool Counters(uint64_t id, FlowWords* out) { return loop_.Counters(id, out); }

 private:
  // What libuv refers to; it outlives this object until both handles are closed.
  struct Watch {
    uv_poll_t poll;
    uv_timer_t timer;
    int open_handles;
    RelayInline* owner;  // null once deleted
  };

  void Turn();
  void Sweep();
  void MoveOn(uint64_t before_ms);
  void KeepTime();
  void Settle();

  RelayLoop loop_;
  ReportQueue* reports_;
  Grown grown_;
  uint64_t young_ms_;  // older flows move on
  Watch* watch_ = nullptr;
  bool sweeping_ = false;
  int error_ = 0;
};

}  // namespace symsplice
