// SPDX-License-Identifier: MIT
// The JavaScript face of the packet backend's data plane: arguments in, values or typed errors
// out; no policy. src/native.ts documents it. One object an engine, all over the process' table.
#pragma once

#include <napi.h>

#include <memory>

#include "packet/table.h"
#include "report_queue.h"

namespace symsplice {

class Packet : public Napi::ObjectWrap<Packet> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit Packet(const Napi::CallbackInfo& info);

  // The object behind a JavaScript value; nullptr for anything but a Packet.
  static Packet* From(const Napi::Value& value);
  // Null once closed.
  const std::shared_ptr<PacketTable>& table() const { return table_; }

 private:
  Napi::Value Attach(const Napi::CallbackInfo& info);
  Napi::Value Detach(const Napi::CallbackInfo& info);
  Napi::Value Interfaces(const Napi::CallbackInfo& info);
  Napi::Value Adopt(const Napi::CallbackInfo& info);
  Napi::Value Counters(const Napi::CallbackInfo& info);
  Napi::Value Detail(const Napi::CallbackInfo& info);
  Napi::Value End(const Napi::CallbackInfo& info);
  Napi::Value Exits(const Napi::CallbackInfo& info);
  Napi::Value Edges(const Napi::CallbackInfo& info);
  Napi::Value Usage(const Napi::CallbackInfo& info);
  Napi::Value SourcePort(const Napi::CallbackInfo& info);
  Napi::Value Intend(const Napi::CallbackInfo& info);
  Napi::Value Socket(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  uint32_t Shut(bool keep);

  std::unique_ptr<ReportQueue> reports_;
  std::shared_ptr<PacketTable> table_;
  uint32_t owner_ = 0;
  uint64_t next_ = 1;
};

void InitPacket(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
