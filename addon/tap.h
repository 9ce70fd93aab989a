// SPDX-License-Identifier: MIT
// Stage splice for bodies of messages: takes lent descriptors from JavaScript and gives them to
// the tap threads. No policy; src/native.ts documents it.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "report_queue.h"
#include "tap_thread.h"

namespace symsplice {

class Tap : public Napi::ObjectWrap<Tap> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit Tap(const Napi::CallbackInfo& info);

 private:
  using Threads = std::vector<std::unique_ptr<TapThread>>;

  Napi::Value Relay(const Napi::CallbackInfo& info);
  Napi::Value Send(const Napi::CallbackInfo& info);
  Napi::Value Counters(const Napi::CallbackInfo& info);
  Napi::Value Abort(const Napi::CallbackInfo& info);
  Napi::Value Stop(const Napi::CallbackInfo& info);

  class Lent;

  Napi::Value Start(const Napi::CallbackInfo& info, Threads* threads, TapOrder order, Lent* lent);
  int StartThreads(Threads* threads, size_t count, const TapSettings& settings);
  void StopThreads();

  std::unique_ptr<ReportQueue> reports_;
  Threads fillers_;  // bodies that go into a file: these may wait for a disk
  Threads senders_;  // all others
  uint64_t next_ = 1;
};

void InitTap(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
