// SPDX-License-Identifier: MIT
#include "relay.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "arguments.h"
#include "error.h"
#include "handed_out.h"
#include "socket.h"

namespace symsplice {
namespace {

double NumberOr(const Napi::Object& object, const char* key, double fallback) {
  const Napi::Value value = object.Get(key);
  return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : fallback;
}

uint64_t CountOrNever(double value) {
  return std::isfinite(value) ? static_cast<uint64_t>(value) : UINT64_MAX;
}

}  // namespace

void Relay::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Relay", DefineClass(env, "Relay",
                                   {
                                       InstanceMethod<&Relay::Add>("add"),
                                       InstanceMethod<&Relay::Counters>("counters"),
                                       InstanceMethod<&Relay::Detail>("detail"),
                                       InstanceMethod<&Relay::End>("end"),
                                       InstanceMethod<&Relay::Stop>("stop"),
                                   }));
}

// new Relay({ threads, pipeSize, spliceAfter, kernel?, kernelAfterBytes?, kernelAfterMs? },
//           onReports)
Relay::Relay(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Relay>(info) {
  Napi::Env env = info.Env();
  if (info.Length() < 2 || !info[0].IsObject() || !info[1].IsFunction()) {
    ThrowType(env, "Relay(settings: object, onReports: function)");
    return;
  }
  const auto settings = info[0].As<Napi::Object>();
  const auto count = static_cast<size_t>(std::max(1.0, NumberOr(settings, "threads", 1)));
  settings_.pipe_size = static_cast<size_t>(NumberOr(settings, "pipeSize", 128 * 1024));
  settings_.splice_after = CountOrNever(NumberOr(settings, "spliceAfter", 64 * 1024));
  if (!ReadTransit(env, settings)) return;
  // Without a word from JavaScript the process goes: what needs no socket goes on.
  reports_ = std::make_unique<ReportQueue>(env, info[1].As<Napi::Function>(),
                                           [this] { StopThreads(true); });
  if (settings_.transit.table != nullptr) {
    settings_.transit.owner = settings_.transit.table->Join(reports_.get());
  }
  for (size_t i = 0; i < count; i++) {
    threads_.push_back(std::make_unique<RelayThread>(settings_, reports_.get()));
    if (const int error = threads_.back()->Start(); error != 0) {
      StopThreads(false);
      ThrowErrno(env, error, "relay thread");
      return;
    }
  }
  inline_ = std::make_unique<RelayInline>(
      env, settings_, reports_.get(),
      [this](std::unique_ptr<Flow> flow) { LeastLoaded()->Add(std::move(flow)); });
  if (const int error = inline_->error(); error != 0) {
    StopThreads(false);
    ThrowErrno(env, error, "epoll_create1");
    return;
  }
  Ref();  // running: not to be collected before stop()
}

// False with an exception pending.
bool Relay::ReadTransit(Napi::Env env, const Napi::Object& settings) {
  const Napi::Value given = settings.Get("kernel");
  if (given.IsUndefined()) return true;
  settings_.transit.table = FlowTableOf(given);
  if (settings_.transit.table == nullptr) {
    ThrowType(env, "Relay: kernel is no open Packet or KernelModule");
    return false;
  }
  settings_.transit.after_bytes = CountOrNever(NumberOr(settings, "kernelAfterBytes", 64 * 1024));
  settings_.transit.after_ms = CountOrNever(NumberOr(settings, "kernelAfterMs", 100));
  settings_.transit.patient = settings.Get("kernelPatient").ToBoolean();
  return true;
}

// Chosen when a flow moves on, not when it begins: only then do the threads' sizes say who has
// how much to do, and a burst of flows is spread.
RelayThread* Relay::LeastLoaded() {
  return std::min_element(threads_.begin(), threads_.end(),
                          [](const auto& a, const auto& b) { return a->size() < b->size(); })
      ->get();
}

// The thread that carries the flow; null when none does (any more).
RelayThread* Relay::ThreadWith(uint64_t id) {
  const auto found = std::find_if(threads_.begin(), threads_.end(),
                                  [id](const auto& thread) { return thread->Has(id); });
  return found == threads_.end() ? nullptr : found->get();
}

// add(client, upstream, idleMs, reply, clientHead, upstreamHead, bounded, maxBytes, prepared) -> id
// bounded: 0 both directions for good; 1 only up, 2 only down, to maxBytes, descriptors lent.
Napi::Value Relay::Add(const Napi::CallbackInfo& info) {
  if (threads_.empty()) return ThrowErrno(info.Env(), ESHUTDOWN, "relay");
  const uint64_t id = next_++;
  const int bounded = info[6].As<Napi::Number>().Int32Value();
  int client = info[0].As<Napi::Number>().Int32Value();
  int upstream = info[1].As<Napi::Number>().Int32Value();
  if (bounded != 0) {
    // The caller keeps its descriptors, and may have several flows over them.
    client = DuplicateSocket(client);
    if (client < 0) return ThrowErrno(info.Env(), -client, "fcntl");
    upstream = DuplicateSocket(upstream);
    if (upstream < 0) {
      close(client);
      return ThrowErrno(info.Env(), -upstream, "fcntl");
    }
  }
  auto flow = std::make_unique<Flow>(id, client, upstream);
  for (const int fd : {client, upstream}) HandedOut::Of(info.Env()).Received(fd);
  flow->idle_ms = static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value());
  if (bounded != 0) {
    flow->bounded = true;
    (bounded == 1 ? flow->down_open : flow->up_open) = false;
    if (bounded == 1 && !BytesOf(info[3]).empty()) {
      // The other direction carries the reply and nothing else.
      flow->down_open = true;
      flow->down.Limit(0);
    }
    (bounded == 1 ? flow->up : flow->down)
        .Limit(static_cast<uint64_t>(info[7].As<Napi::Number>().Int64Value()));
  }
  flow->down.Prefix(BytesOf(info[3]), false);
  flow->up.Prefix(BytesOf(info[4]), true);
  flow->down.Prefix(BytesOf(info[5]), true);
  flow->read_before = !info[8].ToBoolean().Value();
  if (flow->read_before) {
    for (const int fd : {flow->client, flow->upstream}) {
      SetNoDelay(fd);
      // splice(2) asks the descriptor, not its own flag, whether it may wait for the socket.
      SetNonBlocking(fd);
    }
  }
  reports_->Hold();
  const TransitPolicy& policy = settings_.transit;
  if (policy.table != nullptr && bounded == 0) {
    flow->transit = policy.table->Begin(policy, flow->client);
  }
  if (flow->transit != nullptr && policy.at_once()) {
    LeastLoaded()->Add(std::move(flow));
  } else {
    inline_->Add(std::move(flow));
  }
  return Napi::Number::New(info.Env(), static_cast<double>(id));
}

Napi::Value Relay::Counters(const Napi::CallbackInfo& info) {
  const auto id = FlowIdOf(info[0]);
  auto out = info[1].As<Napi::Float64Array>();
  FlowWords words;
  // The table last: a flow is there before it leaves its thread.
  const bool found =
      !threads_.empty() && out.ElementLength() >= 4 &&
      (inline_->Counters(id, &words) ||
       std::any_of(threads_.begin(), threads_.end(),
                   [&](const auto& thread) { return thread->Counters(id, &words); }) ||
       (settings_.transit.table != nullptr &&
        settings_.transit.table->Counters(settings_.transit.owner, id, &words)));
  if (found) std::copy_n(words.begin(), std::min(words.size(), out.ElementLength()), out.Data());
  return Napi::Boolean::New(info.Env(), found);
}

Napi::Value Relay::Detail(const Napi::CallbackInfo& info) {
  const auto id = FlowIdOf(info[0]);
  auto out = info[1].As<Napi::Float64Array>();
  DetailWords words;
  const TransitPolicy& policy = settings_.transit;
  const bool found =
      policy.table != nullptr && !threads_.empty() && out.ElementLength() >= words.size() &&
      (std::any_of(threads_.begin(), threads_.end(),
                   [&](const auto& thread) { return thread->Detail(id, &words); }) ||
       policy.table->Detail(policy.owner, id, &words));
  if (found) std::copy(words.begin(), words.end(), out.Data());
  return Napi::Boolean::New(info.Env(), found);
}

Napi::Value Relay::End(const Napi::CallbackInfo& info) {
  const auto id = FlowIdOf(info[0]);
  if (!threads_.empty() && !inline_->End(id)) {
    if (RelayThread* thread = ThreadWith(id)) {
      thread->End(id);
    } else if (settings_.transit.table != nullptr) {
      settings_.transit.table->End(settings_.transit.owner, id);
    }
  }
  return info.Env().Undefined();
}

Napi::Value Relay::Stop(const Napi::CallbackInfo& info) {
  uint32_t kept = 0;
  if (reports_ != nullptr) {
    kept = StopThreads(info[0].ToBoolean().Value());
    Unref();
  }
  return Napi::Number::New(info.Env(), kept);
}

uint32_t Relay::StopThreads(bool keep) {
  inline_.reset();
  threads_.clear();
  // The janitor pushes, too.
  uint32_t kept = 0;
  if (settings_.transit.table != nullptr) {
    kept = settings_.transit.table->Leave(settings_.transit.owner, keep);
    settings_.transit.table.reset();
  }
  reports_.reset();
  return kept;
}

void InitRelay(Napi::Env env, Napi::Object exports) { Relay::Init(env, exports); }

}  // namespace symsplice
