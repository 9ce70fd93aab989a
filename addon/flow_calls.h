// SPDX-License-Identifier: MIT
// What JavaScript asks of a flow table, whichever it is: the calls that Packet and KernelModule share.
// `table` is null once the object is closed. Documented in src/native.ts.
#pragma once

#include <napi.h>

#include "flow_table.h"

namespace symsplice {

// counters(id, out: Float64Array of 6), detail(id, out: Float64Array of 14) -> false when it is gone
Napi::Value CallCounters(const Napi::CallbackInfo& info, FlowTable* table, uint32_t owner);
Napi::Value CallDetail(const Napi::CallbackInfo& info, FlowTable* table, uint32_t owner);
// end(id)
Napi::Value CallEnd(const Napi::CallbackInfo& info, FlowTable* table, uint32_t owner);
// sourcePort(host, port) -> port, 0 when none is free
Napi::Value CallSourcePort(const Napi::CallbackInfo& info, FlowTable* table);
// intend(client, upstream, host, port) -> port, 0 when there is none
Napi::Value CallIntend(const Napi::CallbackInfo& info, FlowTable* table);
// socket(client, host, port) -> descriptor, or a negative errno
Napi::Value CallSocket(const Napi::CallbackInfo& info, FlowTable* table);

// False, with an exception pending, when there is no table.
bool IsOpen(Napi::Env env, const FlowTable* table);

// { id, client, server, clientLocal, serverLocal, ageMs }
Napi::Object AdoptedFlow(Napi::Env env, uint64_t id, const splice_key& client,
                         const splice_key& server, uint64_t age_ms);

Napi::Array NumbersOf(Napi::Env env, const auto& values) {
  Napi::Array out = Napi::Array::New(env, values.size());
  uint32_t i = 0;
  for (const auto value : values) {
    out.Set(i++, Napi::Number::New(env, static_cast<double>(value)));
  }
  return out;
}

}  // namespace symsplice
