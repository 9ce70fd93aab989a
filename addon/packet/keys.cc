// SPDX-License-Identifier: MIT
#include "packet/keys.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

namespace symsplice {
namespace {

Address Unmap(const unsigned char bytes[16], unsigned short port) {
  Address address;
  in6_addr mapped;
  std::memcpy(mapped.s6_addr, bytes, 16);
  if (IN6_IS_ADDR_V4MAPPED(&mapped)) {
    auto* in4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    in4->sin_family = AF_INET;
    in4->sin_port = port;
    std::memcpy(&in4->sin_addr, bytes + 12, 4);
    address.length = sizeof *in4;
  } else {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = port;
    in6->sin6_addr = mapped;
    address.length = sizeof *in6;
  }
  return address;
}

}  // namespace

int MapAddress(const Address& address, unsigned char out[16], unsigned short* port) {
  if (address.family() == AF_INET) {
    const auto* in4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    std::memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    std::memcpy(out + 12, &in4->sin_addr, 4);
    *port = in4->sin_port;
    return 4;
  }
  if (address.family() == AF_INET6) {
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    std::memcpy(out, in6->sin6_addr.s6_addr, 16);
    *port = in6->sin6_port;
    return IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) ? 4 : 6;
  }
  return 0;
}

bool LegOf(int fd, Leg* out) {
  Address remote;
  remote.length = sizeof remote.storage;
  Address local;
  local.length = sizeof local.storage;
  if (getpeername(fd, remote.sockaddr_ptr(), &remote.length) < 0) return false;
  if (getsockname(fd, local.sockaddr_ptr(), &local.length) < 0) return false;
  out->key = splice_key{};
  out->family = MapAddress(remote, out->key.remote, &out->key.remote_port);
  return out->family != 0 &&
         MapAddress(local, out->key.local, &out->key.local_port) == out->family;
}

Address RemoteOf(const splice_key& key) { return Unmap(key.remote, key.remote_port); }
Address LocalOf(const splice_key& key) { return Unmap(key.local, key.local_port); }

}  // namespace symsplice
