// SPDX-License-Identifier: MIT
#include "address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <cstdlib>
#include <cstring>

namespace symsplice {

bool ParseAddress(const std::string& host, uint16_t port, Address* out) {
  *out = Address{};
  auto* in4 = reinterpret_cast<sockaddr_in*>(&out->storage);
  if (inet_pton(AF_INET, host.c_str(), &in4->sin_addr) == 1) {
    in4->sin_family = AF_INET;
    in4->sin_port = htons(port);
    out->length = sizeof(sockaddr_in);
    return true;
  }
  auto* in6 = reinterpret_cast<sockaddr_in6*>(&out->storage);
  const size_t percent = host.find('%');
  if (inet_pton(AF_INET6, host.substr(0, percent).c_str(), &in6->sin6_addr) != 1) return false;
  in6->sin6_family = AF_INET6;
  in6->sin6_port = htons(port);
  if (percent != std::string::npos) {
    const std::string scope = host.substr(percent + 1);
    in6->sin6_scope_id = if_nametoindex(scope.c_str());
    if (in6->sin6_scope_id == 0) return false;
  }
  out->length = sizeof(sockaddr_in6);
  return true;
}

size_t EncodeAddress(const Address& address, uint8_t out[kMaxEncodedAddress]) {
  if (address.family() == AF_INET) {
    const auto* in4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    out[0] = 4;
    std::memcpy(out + 1, &in4->sin_port, 2);
    std::memcpy(out + 3, &in4->sin_addr, 4);
    return 7;
  }
  if (address.family() == AF_INET6) {
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    std::memcpy(out + 1, &in6->sin6_port, 2);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
      out[0] = 4;
      std::memcpy(out + 3, in6->sin6_addr.s6_addr + 12, 4);
      return 7;
    }
    out[0] = 6;
    std::memcpy(out + 3, &in6->sin6_addr, 16);
    return 19;
  }
  return 0;
}

}  // namespace symsplice
