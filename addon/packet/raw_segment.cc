// SPDX-License-Identifier: MIT
#include "packet/raw_segment.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "packet/keys.h"

namespace symsplice {
namespace {

constexpr uint8_t kHops = 64;

uint32_t Sum(const void* bytes, size_t length, uint32_t sum) {
  const auto* at = static_cast<const uint8_t*>(bytes);
  for (size_t i = 0; i + 1 < length; i += 2) sum += static_cast<uint32_t>(at[i] << 8 | at[i + 1]);
  return sum;
}

uint16_t Fold(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

enum class Kind { kReset, kProbe };

// The peer takes a RST only at the very sequence number that it expects (RFC 5961): the one that
// it acknowledged last.
tcphdr HeaderTo(const splice_leg& leg, Kind kind) {
  tcphdr tcp{};
  tcp.source = leg.key.local_port;
  tcp.dest = leg.key.remote_port;
  tcp.seq = htonl(kind == Kind::kReset ? leg.ack : leg.ack - 1);
  tcp.ack_seq = htonl(leg.end);
  tcp.doff = sizeof tcp / 4;
  tcp.rst = kind == Kind::kReset;
  tcp.ack = 1;
  return tcp;
}

void SendIpv4(int fd, const splice_leg& leg, Kind kind, const Address& to) {
  struct {
    iphdr ip;
    tcphdr tcp;
  } packet{};
  packet.tcp = HeaderTo(leg, kind);
  packet.ip.version = 4;
  packet.ip.ihl = sizeof packet.ip / 4;
  packet.ip.tot_len = htons(sizeof packet);
  packet.ip.frag_off = htons(IP_DF);
  packet.ip.ttl = kHops;
  packet.ip.protocol = IPPROTO_TCP;
  std::memcpy(&packet.ip.saddr, leg.key.local + 12, 4);
  std::memcpy(&packet.ip.daddr, leg.key.remote + 12, 4);
  // The IP header's own checksum is the kernel's to fill.
  uint32_t sum = Sum(&packet.ip.saddr, 8, IPPROTO_TCP + sizeof packet.tcp);
  packet.tcp.check = Fold(Sum(&packet.tcp, sizeof packet.tcp, sum));
  sendto(fd, &packet, sizeof packet, MSG_DONTWAIT, to.sockaddr_ptr(), to.length);
}

void SendIpv6(int fd, const splice_leg& leg, Kind kind, Address to) {
  struct {
    ip6_hdr ip;
    tcphdr tcp;
  } packet{};
  packet.tcp = HeaderTo(leg, kind);
  packet.ip.ip6_flow = htonl(6u << 28);
  packet.ip.ip6_plen = htons(sizeof packet.tcp);
  packet.ip.ip6_nxt = IPPROTO_TCP;
  packet.ip.ip6_hlim = kHops;
  std::memcpy(&packet.ip.ip6_src, leg.key.local, 16);
  std::memcpy(&packet.ip.ip6_dst, leg.key.remote, 16);
  uint32_t sum = Sum(&packet.ip.ip6_src, 32, IPPROTO_TCP + sizeof packet.tcp);
  packet.tcp.check = Fold(Sum(&packet.tcp, sizeof packet.tcp, sum));
  auto* in6 = reinterpret_cast<sockaddr_in6*>(&to.storage);
  in6->sin6_port = 0;  // a raw socket takes a protocol here, and none but its own
  if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) in6->sin6_scope_id = leg.ifindex;
  sendto(fd, &packet, sizeof packet, MSG_DONTWAIT, to.sockaddr_ptr(), to.length);
}

void SendBoth(const splice_flow_slot& flow, Kind kind) {
  const bool ipv4 = flow.family == 4;
  const int fd =
      socket(ipv4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
  if (fd < 0) return;
  const unsigned int mark = SPLICE_MARK_RELAY;
  setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
  for (const splice_leg& leg : flow.leg) {
    const Address to = RemoteOf(leg.key);
    if (ipv4) {
      SendIpv4(fd, leg, kind, to);
    } else {
      SendIpv6(fd, leg, kind, to);
    }
  }
  close(fd);
}

}  // namespace

void SendResets(const splice_flow_slot& flow) { SendBoth(flow, Kind::kReset); }
void SendProbes(const splice_flow_slot& flow) { SendBoth(flow, Kind::kProbe); }

}  // namespace symsplice
