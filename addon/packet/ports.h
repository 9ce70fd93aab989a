// SPDX-License-Identifier: MIT
// Stage handshake: which source port an upstream connection gets.
//
// A flow that packets carry has no socket any more, so that the kernel would give its port out
// again, into the middle of the flow. The range lies where the kernel gives none out by itself.
// Ports are counted per destination: the same port serves many destinations at a time.
//
// A port comes again after all others of its destination, so what the kernel still holds (a live
// socket, TIME-WAIT) is mostly past; where it is not, connect(2) says EADDRNOTAVAIL and the next
// one is tried. Held are only flows in the kernel, which it knows nothing of.
//
// Not thread-safe: the table's lock guards it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>

#include "splice/packet.h"

namespace symsplice {

class SourcePorts {
 public:
  SourcePorts(uint16_t low, uint16_t high);

  // The next free port (host byte order) towards where `destination` leads, 0 when there is none.
  uint16_t Next(const splice_key& destination, uint64_t now_ms);
  // The kernel had one port after the other in use: it chooses for a while, that is cheaper.
  void Rest(const splice_key& destination, uint64_t now_ms);

  // A flow's server leg has its port, by the addresses of its key, until Free().
  void Hold(const splice_key& server);
  void Free(const splice_key& server);

  // How many of the ports towards the same destination are held: 0 to 1.
  double Load(const splice_key& server) const;
  bool Contains(uint16_t port) const { return port >= low_ && port <= high_; }
  size_t held() const { return held_; }

 private:
  struct Where {
    unsigned char bytes[18];  // address and port
    bool operator==(const Where&) const = default;
  };
  struct Hash {
    uint64_t seed;  // a client chooses where to: it must not choose the bucket, too
    size_t operator()(const Where& where) const;
  };
  struct Destination {
    uint32_t next = 0;      // offset into the range
    uint32_t count = 0;     // of held ports
    uint64_t rest_until_ms = 0;
    std::map<uint32_t, uint64_t> held;  // words of 64 ports that are not empty
  };

  static Where WhereOf(const splice_key& key);
  Destination* Find(const splice_key& destination);
  void Forget();

  const uint16_t low_;
  const uint16_t high_;
  const uint32_t size_;
  size_t held_ = 0;
  uint64_t start_;
  std::unordered_map<Where, Destination, Hash> destinations_;
};

}  // namespace symsplice
