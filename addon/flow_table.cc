// SPDX-License-Identifier: MIT
#include "flow_table.h"

#include "module/kernel_module.h"
#include "packet/packet.h"

namespace symsplice {

std::shared_ptr<FlowTable> FlowTableOf(const Napi::Value& value) {
  if (const Packet* packet = Packet::From(value)) return packet->table();
  if (const KernelModule* module = KernelModule::From(value)) return module->table();
  return nullptr;
}

}  // namespace symsplice
