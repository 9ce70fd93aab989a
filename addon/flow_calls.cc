// SPDX-License-Identifier: MIT
#include "flow_calls.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "address.h"
#include "align.h"
#include "arguments.h"
#include "error.h"
#include "packet/keys.h"

namespace symsplice {
namespace {

bool ReadAddress(const Napi::CallbackInfo& info, size_t at, Address* out) {
  return info.Length() > at + 1 && info[at].IsString() && info[at + 1].IsNumber() &&
         ParseAddress(info[at].As<Napi::String>().Utf8Value(),
                      static_cast<uint16_t>(info[at + 1].As<Napi::Number>().Uint32Value()), out);
}

Napi::Value Encoded(Napi::Env env, const Address& address) {
  uint8_t encoded[kMaxEncodedAddress];
  return Napi::Buffer<uint8_t>::Copy(env, encoded, EncodeAddress(address, encoded));
}

}  // namespace

bool IsOpen(Napi::Env env, const FlowTable* table) {
  if (table == nullptr) ThrowErrno(env, EBADF, "flow table");
  return table != nullptr;
}

Napi::Value CallCounters(const Napi::CallbackInfo& info, FlowTable* table, uint32_t owner) {
  auto out = info[1].As<Napi::Float64Array>();
  FlowWords words;
  const bool found = table != nullptr && out.ElementLength() >= words.size() &&
                     table->Counters(owner, FlowIdOf(info[0]), &words);
  if (found) std::copy(words.begin(), words.end(), out.Data());
  return Napi::Boolean::New(info.Env(), found);
}

Napi::Value CallDetail(const Napi::CallbackInfo& info, FlowTable* table, uint32_t owner) {
  auto out = info[1].As<Napi::Float64Array>();
  DetailWords words;
  const bool found = table != nullptr && out.ElementLength() >= words.size() &&
                     table->Detail(owner, FlowIdOf(info[0]), &words);
  if (found) std::copy(words.begin(), words.end(), out.Data());
  return Napi::Boolean::New(info.Env(), found);
}

Napi::Value CallEnd(const Napi::CallbackInfo& info, FlowTable* table, uint32_t owner) {
  if (table != nullptr) table->End(owner, FlowIdOf(info[0]));
  return info.Env().Undefined();
}

Napi::Value CallSourcePort(const Napi::CallbackInfo& info, FlowTable* table) {
  Napi::Env env = info.Env();
  Address destination;
  if (!IsOpen(env, table)) return env.Undefined();
  if (!ReadAddress(info, 0, &destination)) return ThrowErrno(env, EINVAL, "sourcePort");
  splice_key key{};
  MapAddress(destination, key.remote, &key.remote_port);
  return Napi::Number::New(env, table->NextPort(key));
}

Napi::Value CallIntend(const Napi::CallbackInfo& info, FlowTable* table) {
  Napi::Env env = info.Env();
  Address destination;
  if (!IsOpen(env, table)) return env.Undefined();
  if (!ReadAddress(info, 2, &destination)) return ThrowErrno(env, EINVAL, "intend");
  const int port = Align(table, info[0].As<Napi::Number>().Int32Value(),
                         info[1].As<Napi::Number>().Int32Value(), destination);
  return Napi::Number::New(env, std::max(port, 0));
}

Napi::Value CallSocket(const Napi::CallbackInfo& info, FlowTable* table) {
  Napi::Env env = info.Env();
  Address destination;
  if (!IsOpen(env, table)) return env.Undefined();
  if (!ReadAddress(info, 1, &destination)) return Napi::Number::New(env, -EINVAL);
  const int fd = socket(destination.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Napi::Number::New(env, -errno);
  const int port = Align(table, info[0].As<Napi::Number>().Int32Value(), fd, destination);
  if (port <= 0) {
    close(fd);
    return Napi::Number::New(env, port < 0 ? port : -EADDRINUSE);
  }
  return Napi::Number::New(env, fd);
}

Napi::Object AdoptedFlow(Napi::Env env, uint64_t id, const splice_key& client,
                         const splice_key& server, uint64_t age_ms) {
  Napi::Object flow = Napi::Object::New(env);
  flow.Set("id", Napi::Number::New(env, static_cast<double>(id)));
  flow.Set("client", Encoded(env, RemoteOf(client)));
  flow.Set("server", Encoded(env, RemoteOf(server)));
  flow.Set("clientLocal", Encoded(env, LocalOf(client)));
  flow.Set("serverLocal", Encoded(env, LocalOf(server)));
  flow.Set("ageMs", Napi::Number::New(env, static_cast<double>(age_ms)));
  return flow;
}

}  // namespace symsplice
