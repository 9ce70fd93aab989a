// SPDX-License-Identifier: MIT
// Addresses as the contract names them: sixteen bytes, IPv4 mapped into IPv6, network byte order.
// Pure functions, any thread.
#pragma once

#include <cstdint>

#include "address.h"
#include "splice/packet.h"

namespace symsplice {

// What a connection's keys are made of. Both addresses of a key have one family.
struct Leg {
  splice_key key;
  int family;  // 4 or 6, as on the wire
};

// Writes the address and port (network byte order); returns 4 or 6, 0 for any other family.
int MapAddress(const Address& address, unsigned char out[16], unsigned short* port);

// The connection of a socket; false when it is no connected TCP/IP socket.
bool LegOf(int fd, Leg* out);

// No direction needs its local socket any more to carry new bytes.
inline bool BothRelayed(const splice_flow_slot& flow) {
  return flow.leg[SPLICE_CLIENT].way == SPLICE_WAY_FAST &&
         flow.leg[SPLICE_SERVER].way == SPLICE_WAY_FAST;
}

// The way back, for people and for raw sockets. IPv4 comes out as IPv4.
Address RemoteOf(const splice_key& key);
Address LocalOf(const splice_key& key);

}  // namespace symsplice
