// SPDX-License-Identifier: MIT
// Stage splice for the backend of the same name: takes two connected descriptors from JavaScript
// and carries them, first on this thread, then on the relay thread with the fewest flows. No
// policy; src/native.ts documents it.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "relay_inline.h"
#include "relay_thread.h"
#include "report_queue.h"

namespace symsplice {

class Relay : public Napi::ObjectWrap<Relay> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit Relay(const Napi::CallbackInfo& info);

 private:
  Napi::Value Add(const Napi::CallbackInfo& info);
  Napi::Value Counters(const Napi::CallbackInfo& info);
  Napi::Value Detail(const Napi::CallbackInfo& info);
  Napi::Value End(const Napi::CallbackInfo& info);
  Napi::Value Stop(const Napi::CallbackInfo& info);

  RelayThread* LeastLoaded();
  RelayThread* ThreadWith(uint64_t id);
  bool ReadTransit(Napi::Env env, const Napi::Object& settings);
  // How many flows go on in the kernel.
  uint32_t StopThreads(bool keep);

  RelaySettings settings_{};
  // Threads and inline loop push into the queue, and the inline loop hands flows to the threads:
  // StopThreads() ends them in the opposite order.
  std::unique_ptr<ReportQueue> reports_;
  std::vector<std::unique_ptr<RelayThread>> threads_;
  std::unique_ptr<RelayInline> inline_;
  uint64_t next_ = 1;
};

void InitRelay(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
