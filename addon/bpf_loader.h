// SPDX-License-Identifier: MIT
// The JavaScript face of BpfObject: arguments in, values or typed errors out; no policy.
// src/engine/bpf-object.ts documents it and finds the object files.
#pragma once

#include <napi.h>

#include <memory>

#include "bpf_object.h"

namespace symsplice {

class BpfLoader : public Napi::ObjectWrap<BpfLoader> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit BpfLoader(const Napi::CallbackInfo& info);

  // The object behind a JavaScript value; nullptr for anything but an open BpfObject.
  static BpfLoader* From(const Napi::Value& value);
  // Shared: whoever uses maps in a thread keeps them alive after close().
  std::shared_ptr<BpfObject> object() const { return object_; }

 private:
  Napi::Value Load(const Napi::CallbackInfo& info);
  Napi::Value Attach(const Napi::CallbackInfo& info);
  Napi::Value Unpin(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value Programs(const Napi::CallbackInfo& info);
  Napi::Value Maps(const Napi::CallbackInfo& info);
  Napi::Value Lookup(const Napi::CallbackInfo& info);
  Napi::Value Update(const Napi::CallbackInfo& info);
  Napi::Value Delete(const Napi::CallbackInfo& info);
  Napi::Value Keys(const Napi::CallbackInfo& info);
  Napi::Value Counters(const Napi::CallbackInfo& info);
  Napi::Value TestRun(const Napi::CallbackInfo& info);

  // The map that argument 0 names, or nullptr with an exception pending.
  bpf_map* MapArgument(const Napi::CallbackInfo& info);

  std::shared_ptr<BpfObject> object_;
};

// Throws `failure` as an Error with code ERR_SPLICE_*, errno, syscall, program and log.
Napi::Value ThrowBpfFailure(Napi::Env env, const BpfFailure& failure);

void InitBpfLoader(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
