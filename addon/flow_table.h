// SPDX-License-Identifier: MIT
// What carries flows that have no socket in this process any more, as the rest of the addon sees it:
// packets (packet/table.h) or the kernel module (module/table.h). One a process, shared by all
// engines and workers.
//
// Any thread.
#pragma once

#include <napi.h>

#include <array>
#include <cstdint>
#include <memory>

#include "report_queue.h"
#include "splice/packet.h"

namespace symsplice {

class Transit;
struct TransitPolicy;

// Answers of our own, beside enum splice_packet_answer; src/native.ts names them, too.
enum TableAnswer : int {
  kForeignPort = 100,
  kFamilies = 101,
  kNotSeen = 102,
  kControlFailed = 103,
  kModuleFailed = 104,
  kOtherNamespace = 105,
  kModuleGone = 106,
};

// How far a flow has come on its way from the pump to the table, for JavaScript.
enum class PacketStatus : int { kYoung = 0, kTransit = 1, kReleased = 2, kRefused = 3 };

// What JavaScript asks about a flow: see Relay.counters and Packet.detail in src/native.ts.
using FlowWords = std::array<double, 6>;
using DetailWords = std::array<double, 14>;

// Whoever has a flow: which queue hears of its end, under which number.
struct Ownership {
  uint32_t owner = 0;
  uint64_t id = 0;
  uint64_t started_ms = 0;
  uint64_t idle_ms = 0;  // 0: never
};

class FlowTable {
 public:
  virtual ~FlowTable() = default;

  // Owners. `queue` may be used until Leave().
  virtual uint32_t Join(ReportQueue* queue) = 0;
  // Flows in the kernel lose their owner (`keep`), or end by RST, without a report. How many go on.
  virtual uint32_t Leave(uint32_t owner, bool keep) = 0;

  // Flows of an owner that have no socket here; false when it has none of that number.
  virtual bool Counters(uint32_t owner, uint64_t id, FlowWords* out) = 0;
  virtual bool Detail(uint32_t owner, uint64_t id, DetailWords* out) = 0;
  virtual bool End(uint32_t owner, uint64_t id) = 0;

  // Stage handshake, for align.h. Ports in host byte order, 0: none is free.
  virtual uint16_t NextPort(const splice_key& destination) = 0;
  virtual void RestPorts(const splice_key& destination) = 0;
  // `upstream`, bound to what `key` says, is about to connect, and must offer nothing of `lacks`.
  virtual void Intend(int client, int upstream, const splice_key& key, uint32_t lacks) = 0;

  // Stage splice: a flow that the pump has at first, if not `at_once`.
  virtual std::unique_ptr<Transit> Begin(const TransitPolicy& policy, int client) = 0;
};

// The open table behind a JavaScript object that has one (Packet, KernelModule); else null.
std::shared_ptr<FlowTable> FlowTableOf(const Napi::Value& value);

}  // namespace symsplice
