// SPDX-License-Identifier: MIT
// Stage splice of the sockmap backend: takes two connected descriptors from JavaScript, and a
// loaded bpf/sockmap.bpf.c, and gives them to the watcher thread. No policy.
#pragma once

#include <napi.h>

#include <memory>

#include "bpf_object.h"
#include "report_queue.h"
#include "sockmap_thread.h"

namespace symsplice {

class Sockmap : public Napi::ObjectWrap<Sockmap> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit Sockmap(const Napi::CallbackInfo& info);

 private:
  Napi::Value Refuse(const Napi::CallbackInfo& info);
  Napi::Value Add(const Napi::CallbackInfo& info);
  Napi::Value Counters(const Napi::CallbackInfo& info);
  Napi::Value End(const Napi::CallbackInfo& info);
  Napi::Value Stop(const Napi::CallbackInfo& info);

  void StopThread();

  std::shared_ptr<BpfObject> object_;  // keeps the maps while the thread uses them
  std::unique_ptr<ReportQueue> reports_;
  std::unique_ptr<SockmapThread> thread_;
  uint64_t next_ = 1;
};

void InitSockmap(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
