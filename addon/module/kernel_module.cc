// SPDX-License-Identifier: MIT
#include "module/kernel_module.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "error.h"
#include "flow_calls.h"
#include "module/client.h"

namespace symsplice {
namespace {

// Marks our objects, so that a foreign one passed by mistake is refused instead of misread.
constexpr napi_type_tag kTypeTag = {0x6d13c95e0b7f42a8, 0x91e2fd460c58ab37};
// No flow has this number: they begin at 1.
constexpr uint64_t kNoFlow = UINT64_MAX;

bool ReadSettings(const Napi::Object& object, ModuleSettings* out) {
  const auto port = [&](const char* key, double least, uint16_t* to) {
    const Napi::Value value = object.Get(key);
    const double given = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
    if (!(given >= least && given <= 65535)) return false;
    *to = static_cast<uint16_t>(given);
    return true;
  };
  out->at_once = object.Get("atOnce").ToBoolean().Value();
  if (const Napi::Value room = object.Get("eventBytes"); room.IsNumber()) {
    out->event_bytes = room.As<Napi::Number>().Int32Value();
  }
  if (const Napi::Value pins = object.Get("pinDirectory"); pins.IsString()) {
    out->pin_parent = pins.As<Napi::String>().Utf8Value();
  }
  return port("portLow", 1, &out->port_low) && port("portHigh", out->port_low, &out->port_high);
}

// moduleStatus() -> { error, permitted, abi, flows }
Napi::Value Status(const Napi::CallbackInfo& info) {
  ModuleClient client;
  ModuleStats stats;
  ModuleFlow none;
  int error = client.Open();
  if (error == 0) error = client.GetStats(&stats);
  int permitted = error == 0 ? client.GetFlow(kNoFlow, &none) : 0;
  if (permitted == ENOENT) permitted = 0;
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("error", -error);
  out.Set("permitted", -permitted);
  out.Set("abi", stats.abi);
  out.Set("flows", stats.flows);
  return out;
}

// moduleAbort() -> flows that were there
Napi::Value AbortAll(const Napi::CallbackInfo& info) {
  Right right;
  const char* syscall = "";
  ModuleClient client;
  std::vector<ModuleFlow> flows;
  int error = right.Take(&syscall);
  if (error == EADDRINUSE) error = EBUSY;
  if (error == 0) {
    syscall = "netlink";
    error = client.Open();
  }
  if (error == 0) error = client.Dump(&flows);
  if (error == 0) error = client.AbortAll();
  if (error != 0) return ThrowErrno(info.Env(), error, syscall);
  const auto live = std::count_if(flows.begin(), flows.end(), [](const ModuleFlow& flow) {
    return flow.slot.phase == SPLICE_PHASE_TRANSIT || flow.slot.phase == SPLICE_PHASE_RELEASED;
  });
  return Napi::Number::New(info.Env(), static_cast<double>(live));
}

}  // namespace

void KernelModule::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("KernelModule", DefineClass(env, "KernelModule",
                                          {
                                              InstanceMethod<&KernelModule::InitSplice>("init"),
                                              InstanceMethod<&KernelModule::Cancel>("cancel"),
                                              InstanceMethod<&KernelModule::Adopt>("adopt"),
                                              InstanceMethod<&KernelModule::Counters>("counters"),
                                              InstanceMethod<&KernelModule::Detail>("detail"),
                                              InstanceMethod<&KernelModule::End>("end"),
                                              InstanceMethod<&KernelModule::Stats>("stats"),
                                              InstanceMethod<&KernelModule::Usage>("usage"),
                                              InstanceMethod<&KernelModule::Abi>("abi"),
                                              InstanceMethod<&KernelModule::SourcePort>("sourcePort"),
                                              InstanceMethod<&KernelModule::Intend>("intend"),
                                              InstanceMethod<&KernelModule::Socket>("socket"),
                                              InstanceMethod<&KernelModule::Close>("close"),
                                          }));
  exports.Set("moduleStatus", Napi::Function::New<Status>(env, "moduleStatus"));
  exports.Set("moduleAbort", Napi::Function::New<AbortAll>(env, "moduleAbort"));
}

// new KernelModule({ portLow, portHigh, atOnce, pinDirectory, eventBytes? }, onReports)
KernelModule::KernelModule(const Napi::CallbackInfo& info) : Napi::ObjectWrap<KernelModule>(info) {
  Napi::Env env = info.Env();
  ModuleSettings settings;
  if (info.Length() < 2 || !info[0].IsObject() || !info[1].IsFunction() ||
      !ReadSettings(info[0].As<Napi::Object>(), &settings)) {
    ThrowType(env, "KernelModule(settings: ModuleSettings, onReports: function)");
    return;
  }
  const ModuleTable::Failure failure = ModuleTable::Open(settings, &table_);
  if (failure.error != 0) {
    ThrowErrno(env, failure.error, failure.syscall);
    if (!failure.holder.empty()) {
      Napi::Error exception = env.GetAndClearPendingException();
      exception.Set("holder", failure.holder);
      exception.ThrowAsJavaScriptException();
    }
    return;
  }
  // Without a word from JavaScript the process goes: what the module carries goes on.
  reports_ = std::make_unique<ReportQueue>(env, info[1].As<Napi::Function>(),
                                           [this] { Shut(true); });
  owner_ = table_->Join(reports_.get());
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  Ref();  // open: not to be collected before close()
}

KernelModule* KernelModule::From(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTypeTag)) return nullptr;
  return Unwrap(value.As<Napi::Object>());
}

// init(listener) -> 0, or a negative errno
Napi::Value KernelModule::InitSplice(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, table_.get())) return env.Undefined();
  return Napi::Number::New(env, -table_->Init(info[0].As<Napi::Number>().Int32Value()));
}

// cancel(client)
Napi::Value KernelModule::Cancel(const Napi::CallbackInfo& info) {
  if (table_ != nullptr) table_->Cancel(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

// adopt() -> flows
Napi::Value KernelModule::Adopt(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, table_.get())) return env.Undefined();
  Napi::Array flows = Napi::Array::New(env);
  for (const ModuleTable::Adopted& adopted : table_->Adopt(owner_, &next_)) {
    reports_->Hold();
    flows.Set(flows.Length(), AdoptedFlow(env, adopted.id, adopted.client, adopted.server,
                                          adopted.age_ms));
  }
  return flows;
}

Napi::Value KernelModule::Counters(const Napi::CallbackInfo& info) {
  return CallCounters(info, table_.get(), owner_);
}

Napi::Value KernelModule::Detail(const Napi::CallbackInfo& info) {
  return CallDetail(info, table_.get(), owner_);
}

Napi::Value KernelModule::End(const Napi::CallbackInfo& info) {
  return CallEnd(info, table_.get(), owner_);
}

// stats() -> { counters, edges, more }
Napi::Value KernelModule::Stats(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, table_.get())) return env.Undefined();
  ModuleStats stats;
  if (const int error = table_->GetStats(&stats); error != 0) {
    return ThrowErrno(env, error, "netlink");
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("counters", NumbersOf(env, stats.counters));
  out.Set("edges", NumbersOf(env, stats.edges));
  out.Set("more", NumbersOf(env, stats.more));
  return out;
}

// usage() -> { transit, released, ended, ports, refused }
Napi::Value KernelModule::Usage(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, table_.get())) return env.Undefined();
  const ModuleTable::Usage usage = table_->GetUsage();
  Napi::Object out = Napi::Object::New(env);
  out.Set("transit", usage.transit);
  out.Set("released", usage.released);
  out.Set("ended", usage.ended);
  out.Set("ports", static_cast<double>(usage.ports));
  out.Set("refused", static_cast<double>(usage.refused));
  return out;
}

// abi() -> number
Napi::Value KernelModule::Abi(const Napi::CallbackInfo& info) {
  if (!IsOpen(info.Env(), table_.get())) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), table_->abi());
}

Napi::Value KernelModule::SourcePort(const Napi::CallbackInfo& info) {
  return CallSourcePort(info, table_.get());
}

Napi::Value KernelModule::Intend(const Napi::CallbackInfo& info) {
  return CallIntend(info, table_.get());
}

Napi::Value KernelModule::Socket(const Napi::CallbackInfo& info) {
  return CallSocket(info, table_.get());
}

// close(keep) -> how many of its flows go on; may be called again
Napi::Value KernelModule::Close(const Napi::CallbackInfo& info) {
  uint32_t kept = 0;
  if (table_ != nullptr) {
    kept = Shut(info[0].ToBoolean().Value());
    Unref();
  }
  return Napi::Number::New(info.Env(), kept);
}

uint32_t KernelModule::Shut(bool keep) {
  if (table_ == nullptr) return 0;
  const uint32_t kept = table_->Leave(owner_, keep);
  ModuleTable::Close(table_);
  table_.reset();
  reports_.reset();
  return kept;
}

void InitKernelModule(Napi::Env env, Napi::Object exports) { KernelModule::Init(env, exports); }

}  // namespace symsplice
