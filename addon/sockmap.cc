// SPDX-License-Identifier: MIT
#include "sockmap.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include "arguments.h"
#include "bpf_loader.h"
#include "error.h"
#include "handed_out.h"

namespace symsplice {
namespace {

constexpr char kProgram[] = "relay_verdict";
constexpr char kPeers[] = "peers";

BpfResult FindMaps(const BpfObject& object, SockmapMaps* maps) {
  if (BpfResult failure = object.ExpectMap(kPeers, 8, 8, &maps->peers)) return failure;
  if (BpfResult failure = object.ExpectMap("copied", 8, 8, &maps->copied)) return failure;
  return object.ExpectMap("halves", 8, sizeof(splice_sockmap_half), &maps->halves);
}

}  // namespace

void Sockmap::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Sockmap", DefineClass(env, "Sockmap",
                                     {
                                         InstanceMethod<&Sockmap::Refuse>("refuse"),
                                         InstanceMethod<&Sockmap::Add>("add"),
                                         InstanceMethod<&Sockmap::Counters>("counters"),
                                         InstanceMethod<&Sockmap::End>("end"),
                                         InstanceMethod<&Sockmap::Stop>("stop"),
                                     }));
}

// new Sockmap(object: loaded BpfObject, { limit? }, onReports); attaches the verdict program.
Sockmap::Sockmap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Sockmap>(info) {
  Napi::Env env = info.Env();
  BpfLoader* loader = info.Length() < 3 ? nullptr : BpfLoader::From(info[0]);
  if (loader == nullptr || loader->object() == nullptr || !loader->object()->loaded() ||
      !info[1].IsObject() || !info[2].IsFunction()) {
    ThrowType(env, "Sockmap(object: loaded BpfObject, settings: object, onReports: function)");
    return;
  }
  object_ = loader->object();
  SockmapMaps maps;
  const Napi::Value limit = info[1].As<Napi::Object>().Get("limit");
  if (limit.IsNumber() && std::isfinite(limit.As<Napi::Number>().DoubleValue())) {
    maps.limit = static_cast<uint64_t>(std::max(0.0, limit.As<Napi::Number>().DoubleValue()));
  }
  BpfResult failure = FindMaps(*object_, &maps);
  // Before the first socket: one that is inserted earlier stays without the program.
  if (!failure) failure = object_->AttachToSockmap(kProgram, kPeers);
  if (failure) {
    ThrowBpfFailure(env, *failure);
    return;
  }
  reports_ =
      std::make_unique<ReportQueue>(env, info[2].As<Napi::Function>(), [this] { StopThread(); });
  thread_ = std::make_unique<SockmapThread>(maps, reports_.get());
  if (const int error = thread_->Start(); error != 0) {
    StopThread();
    ThrowErrno(env, error, "sockmap thread");
    return;
  }
  Ref();  // running: not to be collected before stop()
}

// refuse(client, upstream) -> why these two cannot be carried, '' when they can
Napi::Value Sockmap::Refuse(const Napi::CallbackInfo& info) {
  const char* reason = RefuseSockmap(info[0].As<Napi::Number>().Int32Value(),
                                     info[1].As<Napi::Number>().Int32Value());
  return Napi::String::New(info.Env(), reason != nullptr ? reason : "");
}

// add(client, upstream, idleMs, reply, clientHead, upstreamHead) -> id, or a negative errno: then
// nothing was read or written and the descriptors are the caller's as before
Napi::Value Sockmap::Add(const Napi::CallbackInfo& info) {
  if (thread_ == nullptr) return Napi::Number::New(info.Env(), -ESHUTDOWN);
  const int client = info[0].As<Napi::Number>().Int32Value();
  const int upstream = info[1].As<Napi::Number>().Int32Value();
  if (RefuseSockmap(client, upstream) != nullptr) return Napi::Number::New(info.Env(), -EOPNOTSUPP);
  auto flow = std::make_unique<SockmapFlow>(next_, client, upstream, thread_->maps());
  flow->idle_ms = static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value());
  flow->down.half.Prefix(BytesOf(info[3]), false);
  flow->up.half.Prefix(BytesOf(info[4]), true);
  flow->down.half.Prefix(BytesOf(info[5]), true);
  if (const int error = thread_->Add(std::move(flow)); error != 0) {
    return Napi::Number::New(info.Env(), -error);
  }
  for (const int fd : {client, upstream}) HandedOut::Of(info.Env()).Received(fd);
  reports_->Hold();
  return Napi::Number::New(info.Env(), static_cast<double>(next_++));
}

// counters(id, out: Float64Array of 6) -> false when the flow is gone
Napi::Value Sockmap::Counters(const Napi::CallbackInfo& info) {
  const auto id = FlowIdOf(info[0]);
  auto out = info[1].As<Napi::Float64Array>();
  const bool found =
      thread_ != nullptr && out.ElementLength() >= 6 && thread_->Counters(id, out.Data());
  return Napi::Boolean::New(info.Env(), found);
}

Napi::Value Sockmap::End(const Napi::CallbackInfo& info) {
  if (thread_ != nullptr) {
    thread_->End(FlowIdOf(info[0]));
  }
  return info.Env().Undefined();
}

Napi::Value Sockmap::Stop(const Napi::CallbackInfo& info) {
  if (reports_ != nullptr) {
    StopThread();
    Unref();
  }
  return info.Env().Undefined();
}

void Sockmap::StopThread() {
  thread_.reset();
  reports_.reset();
  object_.reset();
}

void InitSockmap(Napi::Env env, Napi::Object exports) { Sockmap::Init(env, exports); }

}  // namespace symsplice
