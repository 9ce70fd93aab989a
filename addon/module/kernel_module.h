// SPDX-License-Identifier: MIT
// The JavaScript face of the kernel module: arguments in, values or typed errors out; no policy.
// src/native.ts documents it. One object an engine, all over the process' table.
#pragma once

#include <napi.h>

#include <memory>

#include "module/table.h"
#include "report_queue.h"

namespace symsplice {

class KernelModule : public Napi::ObjectWrap<KernelModule> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit KernelModule(const Napi::CallbackInfo& info);

  // The object behind a JavaScript value; nullptr for anything but a KernelModule.
  static KernelModule* From(const Napi::Value& value);
  // Null once closed.
  const std::shared_ptr<ModuleTable>& table() const { return table_; }

 private:
  Napi::Value InitSplice(const Napi::CallbackInfo& info);
  Napi::Value Cancel(const Napi::CallbackInfo& info);
  Napi::Value Adopt(const Napi::CallbackInfo& info);
  Napi::Value Counters(const Napi::CallbackInfo& info);
  Napi::Value Detail(const Napi::CallbackInfo& info);
  Napi::Value End(const Napi::CallbackInfo& info);
  Napi::Value Stats(const Napi::CallbackInfo& info);
  Napi::Value Usage(const Napi::CallbackInfo& info);
  Napi::Value Abi(const Napi::CallbackInfo& info);
  Napi::Value SourcePort(const Napi::CallbackInfo& info);
  Napi::Value Intend(const Napi::CallbackInfo& info);
  Napi::Value Socket(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  uint32_t Shut(bool keep);

  std::unique_ptr<ReportQueue> reports_;
  std::shared_ptr<ModuleTable> table_;
  uint32_t owner_ = 0;
  uint64_t next_ = 1;
};

void InitKernelModule(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
