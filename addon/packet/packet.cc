// SPDX-License-Identifier: MIT
#include "packet/packet.h"

#include <cerrno>
#include <string>
#include <utility>

#include "arguments.h"
#include "bpf_loader.h"
#include "error.h"
#include "flow_calls.h"

namespace symsplice {
namespace {

// Marks our objects, so that a foreign one passed by mistake is refused instead of misread.
constexpr napi_type_tag kTypeTag = {0x2f6a1d0c9be84753, 0xa4c37e15d2f0986b};

bool ReadSettings(const Napi::Object& object, PacketSettings* out) {
  const auto number = [&](const char* key, double least, double most, auto* to) {
    const Napi::Value value = object.Get(key);
    const double given = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
    if (!(given >= least && given <= most)) return false;
    *to = static_cast<std::remove_pointer_t<decltype(to)>>(given);
    return true;
  };
  const Napi::Value pins = object.Get("pinDirectory");
  if (pins.IsString()) out->pin_parent = pins.As<Napi::String>().Utf8Value();
  return number("flows", 1, 1u << 30, &out->flows) &&
         number("portLow", 1, 65535, &out->port_low) &&
         number("portHigh", out->port_low, 65535, &out->port_high) &&
         number("timeWaitMs", 0, 1e9, &out->time_wait_ms);
}

// packetUninstall(pinDirectory?) -> { filters, flows }
Napi::Value Uninstall(const Napi::CallbackInfo& info) {
  PacketTable::Removed removed{};
  const std::string pins =
      info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : std::string();
  if (const BpfResult failure = PacketTable::Uninstall(pins, &removed)) {
    return ThrowBpfFailure(info.Env(), *failure);
  }
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("filters", removed.filters);
  out.Set("flows", removed.flows);
  return out;
}

}  // namespace

void Packet::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Packet", DefineClass(env, "Packet",
                                    {
                                        InstanceMethod<&Packet::Attach>("attach"),
                                        InstanceMethod<&Packet::Detach>("detach"),
                                        InstanceMethod<&Packet::Interfaces>("interfaces"),
                                        InstanceMethod<&Packet::Adopt>("adopt"),
                                        InstanceMethod<&Packet::Counters>("counters"),
                                        InstanceMethod<&Packet::Detail>("detail"),
                                        InstanceMethod<&Packet::End>("end"),
                                        InstanceMethod<&Packet::Exits>("exits"),
                                        InstanceMethod<&Packet::Edges>("edges"),
                                        InstanceMethod<&Packet::Usage>("usage"),
                                        InstanceMethod<&Packet::SourcePort>("sourcePort"),
                                        InstanceMethod<&Packet::Intend>("intend"),
                                        InstanceMethod<&Packet::Socket>("socket"),
                                        InstanceMethod<&Packet::Close>("close"),
                                    }));
  exports.Set("packetUninstall", Napi::Function::New<Uninstall>(env, "packetUninstall"));
}

// new Packet(object: bytes, { flows, portLow, portHigh, timeWaitMs, pinDirectory? }, onReports)
Packet::Packet(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Packet>(info) {
  Napi::Env env = info.Env();
  PacketSettings settings;
  if (info.Length() < 3 || !info[0].IsTypedArray() || !info[1].IsObject() ||
      !info[2].IsFunction() || !ReadSettings(info[1].As<Napi::Object>(), &settings)) {
    ThrowType(env, "Packet(object: Uint8Array, settings: PacketSettings, onReports: function)");
    return;
  }
  if (const BpfResult failure = PacketTable::Open(BytesOf(info[0]), settings, &table_)) {
    ThrowBpfFailure(env, *failure);
    return;
  }
  // Without a word from JavaScript the process goes: what packets carry goes on.
  reports_ = std::make_unique<ReportQueue>(env, info[2].As<Napi::Function>(),
                                           [this] { Shut(true); });
  owner_ = table_->Join(reports_.get());
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  Ref();  // open: not to be collected before close()
}

Packet* Packet::From(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTypeTag)) return nullptr;
  return Unwrap(value.As<Napi::Object>());
}

// attach(ifindex, ethernet)
Napi::Value Packet::Attach(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, table_.get())) return env.Undefined();
  const int error = table_->plane().Attach(info[0].As<Napi::Number>().Int32Value(),
                                           info[1].ToBoolean().Value());
  return error != 0 ? ThrowErrno(env, error, "tc") : env.Undefined();
}

// detach(ifindex)
Napi::Value Packet::Detach(const Napi::CallbackInfo& info) {
  if (!IsOpen(info.Env(), table_.get())) return info.Env().Undefined();
  table_->plane().Detach(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

// interfaces() -> number[]
Napi::Value Packet::Interfaces(const Napi::CallbackInfo& info) {
  if (!IsOpen(info.Env(), table_.get())) return info.Env().Undefined();
  return NumbersOf(info.Env(), table_->plane().interfaces());
}

// adopt(idleMs) -> { flows, foreign }
Napi::Value Packet::Adopt(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, table_.get())) return env.Undefined();
  const auto idle_ms = static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value());
  Napi::Array flows = Napi::Array::New(env);
  for (const PacketTable::Adopted& adopted : table_->Adopt(owner_, idle_ms, &next_)) {
    reports_->Hold();
    const splice_flow_slot& slot = table_->slot(adopted.slot);
    flows.Set(flows.Length(), AdoptedFlow(env, adopted.id, slot.leg[SPLICE_CLIENT].key,
                                          slot.leg[SPLICE_SERVER].key, adopted.age_ms));
  }
  Napi::Array foreign = Napi::Array::New(env);
  for (const PacketTable::Foreign& plane : table_->ForeignPlanes()) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("abi", plane.abi);
    entry.Set("tag", plane.tag);
    entry.Set("flows", plane.flows);
    foreign.Set(foreign.Length(), entry);
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("flows", flows);
  out.Set("foreign", foreign);
  return out;
}

Napi::Value Packet::Counters(const Napi::CallbackInfo& info) {
  return CallCounters(info, table_.get(), owner_);
}

Napi::Value Packet::Detail(const Napi::CallbackInfo& info) {
  return CallDetail(info, table_.get(), owner_);
}

Napi::Value Packet::End(const Napi::CallbackInfo& info) {
  return CallEnd(info, table_.get(), owner_);
}

// exits() -> number[]
Napi::Value Packet::Exits(const Napi::CallbackInfo& info) {
  if (!IsOpen(info.Env(), table_.get())) return info.Env().Undefined();
  return NumbersOf(info.Env(), table_->plane().Counters());
}

// edges() -> number[]
Napi::Value Packet::Edges(const Napi::CallbackInfo& info) {
  if (!IsOpen(info.Env(), table_.get())) return info.Env().Undefined();
  return NumbersOf(info.Env(), table_->plane().Edges());
}

// usage() -> PacketUsage
Napi::Value Packet::Usage(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, table_.get())) return env.Undefined();
  const PacketTable::Usage usage = table_->GetUsage();
  Napi::Object out = Napi::Object::New(env);
  out.Set("maxFlows", usage.max_flows);
  out.Set("transit", usage.transit);
  out.Set("released", usage.released);
  out.Set("ended", usage.ended);
  out.Set("ports", static_cast<double>(usage.ports));
  out.Set("refused", static_cast<double>(usage.refused));
  out.Set("tag", table_->plane().tag());
  return out;
}

Napi::Value Packet::SourcePort(const Napi::CallbackInfo& info) {
  return CallSourcePort(info, table_.get());
}

Napi::Value Packet::Intend(const Napi::CallbackInfo& info) {
  return CallIntend(info, table_.get());
}

Napi::Value Packet::Socket(const Napi::CallbackInfo& info) {
  return CallSocket(info, table_.get());
}

// close(keep) -> how many flows go on in the kernel; may be called again
Napi::Value Packet::Close(const Napi::CallbackInfo& info) {
  uint32_t kept = 0;
  if (table_ != nullptr) {
    kept = Shut(info[0].ToBoolean().Value());
    Unref();
  }
  return Napi::Number::New(info.Env(), kept);
}

uint32_t Packet::Shut(bool keep) {
  if (table_ == nullptr) return 0;
  table_->Leave(owner_, keep);
  const uint32_t kept = PacketTable::Close(std::move(table_), keep);
  table_.reset();
  reports_.reset();
  return kept;
}

void InitPacket(Napi::Env env, Napi::Object exports) { Packet::Init(env, exports); }

}  // namespace symsplice
