// SPDX-License-Identifier: MIT
// Arguments of calls from JavaScript, as native code wants them. Only on the JavaScript thread.
#pragma once

#include <napi.h>

#include <cstdint>
#include <span>

namespace symsplice {

// The bytes of a Uint8Array, valid until JavaScript runs again; none for anything else.
inline std::span<const uint8_t> BytesOf(const Napi::Value& value) {
  if (!value.IsTypedArray()) return {};
  auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

inline uint64_t FlowIdOf(const Napi::Value& value) {
  return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value());
}

}  // namespace symsplice
