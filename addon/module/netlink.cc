// SPDX-License-Identifier: MIT
#include "module/netlink.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace symsplice {
namespace {

template <typename Value>
Value ValueOf(std::span<const uint8_t> bytes) {
  Value value = 0;
  if (bytes.size() == sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// What follows a part of `size` bytes, which is padded to four.
std::span<const uint8_t> Behind(std::span<const uint8_t> bytes, size_t size) {
  return bytes.subspan(std::min(bytes.size(), size_t{NLMSG_ALIGN(size)}));
}

}  // namespace

NetlinkRequest::NetlinkRequest(uint16_t type, uint16_t flags, uint8_t command, uint8_t version)
    : length_(NLMSG_HDRLEN + GENL_HDRLEN), has_end_((flags & (NLM_F_ACK | NLM_F_DUMP)) != 0) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  const genlmsghdr general{command, version, 0};
  std::memcpy(buffer_.data(), &header, sizeof header);
  std::memcpy(buffer_.data() + NLMSG_HDRLEN, &general, sizeof general);
}

void NetlinkRequest::Put(uint16_t attribute, const void* value, size_t size) {
  if (length_ + NLA_HDRLEN + NLA_ALIGN(size) > buffer_.size()) {
    whole_ = false;
    return;
  }
  const nlattr header{static_cast<uint16_t>(NLA_HDRLEN + size), attribute};
  std::memcpy(buffer_.data() + length_, &header, sizeof header);
  std::memcpy(buffer_.data() + length_ + NLA_HDRLEN, value, size);
  length_ += NLA_HDRLEN + NLA_ALIGN(size);
}

void NetlinkRequest::PutText(uint16_t attribute, std::string_view text) {
  std::array<char, 64> ended{};
  if (text.size() >= ended.size()) {
    whole_ = false;
    return;
  }
  std::copy(text.begin(), text.end(), ended.begin());
  Put(attribute, ended.data(), text.size() + 1);
}

std::span<const uint8_t> NetlinkRequest::bytes(uint32_t sequence) {
  if (!whole_) return {};
  nlmsghdr header;
  std::memcpy(&header, buffer_.data(), sizeof header);
  header.nlmsg_len = static_cast<uint32_t>(length_);
  header.nlmsg_seq = sequence;
  std::memcpy(buffer_.data(), &header, sizeof header);
  return {buffer_.data(), length_};
}

uint16_t NetlinkAttribute::U16() const { return ValueOf<uint16_t>(value); }
uint32_t NetlinkAttribute::U32() const { return ValueOf<uint32_t>(value); }
uint64_t NetlinkAttribute::U64() const { return ValueOf<uint64_t>(value); }

std::string_view NetlinkAttribute::Text() const {
  const auto end = std::find(value.begin(), value.end(), uint8_t{0});
  return {reinterpret_cast<const char*>(value.data()), static_cast<size_t>(end - value.begin())};
}

bool NetlinkAttributes::Next(NetlinkAttribute* out) {
  nlattr header;
  if (rest_.size() < sizeof header) return false;
  std::memcpy(&header, rest_.data(), sizeof header);
  if (header.nla_len < NLA_HDRLEN || header.nla_len > rest_.size()) return false;
  out->type = header.nla_type & NLA_TYPE_MASK;
  out->value = rest_.subspan(NLA_HDRLEN, header.nla_len - size_t{NLA_HDRLEN});
  rest_ = Behind(rest_, header.nla_len);
  return true;
}

bool NetlinkMessage::IsError() const { return type == NLMSG_ERROR; }
bool NetlinkMessage::IsDone() const { return type == NLMSG_DONE; }

int NetlinkMessage::Error() const {
  if (payload.size() < sizeof(int)) return EPROTO;
  return -ValueOf<int>(payload.first(sizeof(int)));
}

uint8_t NetlinkMessage::Command() const { return payload.size() < GENL_HDRLEN ? 0 : payload[0]; }

NetlinkAttributes NetlinkMessage::Attributes() const {
  return NetlinkAttributes(Behind(payload, GENL_HDRLEN));
}

bool NetlinkMessages::Next(NetlinkMessage* out) {
  nlmsghdr header;
  if (rest_.size() < sizeof header) return false;
  std::memcpy(&header, rest_.data(), sizeof header);
  if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > rest_.size()) return false;
  *out = {header.nlmsg_type, header.nlmsg_flags, header.nlmsg_seq,
          rest_.subspan(NLMSG_HDRLEN, header.nlmsg_len - size_t{NLMSG_HDRLEN})};
  rest_ = Behind(rest_, header.nlmsg_len);
  return true;
}

}  // namespace symsplice
