// SPDX-License-Identifier: MIT
// Netlink messages as bytes: requests are written, answers read, with every length checked. Pure
// functions of memory, any thread; what the messages mean is in messages.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace symsplice {

// One generic netlink request: header, command, attributes.
class NetlinkRequest {
 public:
  // `type` is a family's number, `flags` NLM_F_* beside NLM_F_REQUEST.
  NetlinkRequest(uint16_t type, uint16_t flags, uint8_t command, uint8_t version);

  // More than fits is left out, and says so in bytes(): it is empty then.
  void PutU32(uint16_t attribute, uint32_t value) { Put(attribute, &value, sizeof value); }
  void PutU64(uint16_t attribute, uint64_t value) { Put(attribute, &value, sizeof value); }
  // With the zero byte that ends it.
  void PutText(uint16_t attribute, std::string_view text);

  // Its answer ends with a message of its own: an acknowledgement, or the end of a dump.
  bool has_end() const { return has_end_; }
  // As it is to be sent, under this number.
  std::span<const uint8_t> bytes(uint32_t sequence);

 private:
  void Put(uint16_t attribute, const void* value, size_t size);

  std::array<uint8_t, 256> buffer_{};
  size_t length_;
  bool has_end_;
  bool whole_ = true;
};

struct NetlinkAttribute {
  uint16_t type = 0;
  std::span<const uint8_t> value;

  // 0 when the value has another size.
  uint16_t U16() const;
  uint32_t U32() const;
  uint64_t U64() const;
  // Without the zero byte that ends it.
  std::string_view Text() const;
};

// Attribute by attribute; one that claims to be longer than what there is ends it.
class NetlinkAttributes {
 public:
  explicit NetlinkAttributes(std::span<const uint8_t> bytes) : rest_(bytes) {}
  bool Next(NetlinkAttribute* out);

 private:
  std::span<const uint8_t> rest_;
};

struct NetlinkMessage {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint32_t sequence = 0;
  std::span<const uint8_t> payload;

  bool IsError() const;  // also an acknowledgement, whose Error() is 0
  bool IsDone() const;
  // A positive errno; EPROTO for an error without a number.
  int Error() const;
  // Of generic netlink; 0 when the header is cut short.
  uint8_t Command() const;
  NetlinkAttributes Attributes() const;
};

// Message by message of what one recv(2) gave.
class NetlinkMessages {
 public:
  explicit NetlinkMessages(std::span<const uint8_t> bytes) : rest_(bytes) {}
  bool Next(NetlinkMessage* out);

 private:
  std::span<const uint8_t> rest_;
};

}  // namespace symsplice
