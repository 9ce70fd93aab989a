// SPDX-License-Identifier: MIT
// Socket addresses: text from JavaScript to sockaddr, and sockaddr to the compact form in which
// the reactor reports them: one byte family (4 or 6), two bytes port, 4 or 16 bytes address,
// both in network order. An IPv4-mapped IPv6 address is reported as IPv4: it is one.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

namespace symsplice {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* sockaddr_ptr() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* sockaddr_ptr() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

constexpr size_t kMaxEncodedAddress = 19;

// False when `host` is not an IPv4 or IPv6 literal (with optional %scope).
bool ParseAddress(const std::string& host, uint16_t port, Address* out);

// Bytes written to `out` (7 or 19), 0 for a family that is neither IPv4 nor IPv6.
size_t EncodeAddress(const Address& address, uint8_t out[kMaxEncodedAddress]);

}  // namespace symsplice
