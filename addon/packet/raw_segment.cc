// SPDX-License-Identifier: MIT
#include "packet/raw_segment.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>

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

enum class Kind { kReset, kSecondReset, kProbe, kSecondProbe };

bool IsReset(Kind kind) { return kind == Kind::kReset || kind == Kind::kSecondReset; }

// The other peer's clock, which relayed segments carry on, may have run away from the local one. A
// peer that finds a timestamp old should answer all the same (RFC 7323 section 5.3), but Linux 6.18 was
// seen not to, where a segment has no data. Of two values half a circle apart just one is old;
// the other's segment is answered for its number, which is from before the window, and for the same
// reason its value is not noted.
constexpr uint32_t kHalfCircle = 1u << 31;

// As NOP NOP, so that the numbers are aligned (RFC 7323 appendix A).
struct [[gnu::packed]] Timestamps {
  uint8_t nops[2] = {TCPOPT_NOP, TCPOPT_NOP};
  uint8_t kind = TCPOPT_TIMESTAMP;
  uint8_t length = TCPOLEN_TIMESTAMP;
  uint32_t value;
  uint32_t echo = 0;  // which of the peer's was the latest, nobody has noted
};

struct Segment {
  tcphdr tcp{};
  Timestamps timestamps{};

  size_t size() const { return size_t{tcp.doff} * 4; }
};
static_assert(sizeof(Segment) == sizeof(tcphdr) + 12);

// The local socket's timestamp clock, as clock_of() in bpf/packet_socket.h has it.
uint32_t ClockOf(const splice_leg& leg) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const uint64_t ns =
      static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  return static_cast<uint32_t>(ns / ((leg.flags & SPLICE_LEG_MICROSECONDS) != 0 ? 1000 : 1000000)) +
         leg.clock_offset;
}

bool HasTimestamps(const splice_leg& leg) { return (leg.flags & SPLICE_LEG_TIMESTAMPS) != 0; }

uint32_t NumberOf(const splice_leg& leg, const splice_leg& other, Kind kind) {
  if (kind == Kind::kReset) return leg.ack;
  if (kind == Kind::kSecondReset) return splice_map_seq(other.end, other.seq_delta);
  return leg.ack - 1;
}

// The peer takes a RST only at the very sequence number that it expects (RFC 5961): the one that
// it acknowledged last; or the end of what was relayed to it, while its acknowledgement of that is
// delayed. To any other number within its window it should answer, but who was asked for a sign of life
// half a second ago, as by our probes, does not (Linux: tcp_invalid_ratelimit), and if it only reads it
// would never hear of the end. It asks for no timestamps of a RST, but drops anything else without
// (RFC 7323 section 3.2).
Segment SegmentTo(const splice_leg& leg, const splice_leg& other, Kind kind) {
  Segment segment;
  tcphdr& tcp = segment.tcp;
  tcp.source = leg.key.local_port;
  tcp.dest = leg.key.remote_port;
  tcp.seq = htonl(NumberOf(leg, other, kind));
  tcp.ack_seq = htonl(leg.end);
  tcp.doff = sizeof tcp / 4;
  tcp.rst = IsReset(kind);
  tcp.ack = 1;
  if (!IsReset(kind) && HasTimestamps(leg)) {
    tcp.doff = sizeof segment / 4;
    segment.timestamps.value =
        htonl(ClockOf(leg) + (kind == Kind::kSecondProbe ? kHalfCircle : 0));
  }
  return segment;
}

void SendIpv4(int fd, const splice_leg& leg, const Segment& segment, const Address& to) {
  struct {
    iphdr ip;
    Segment segment;
  } packet{.ip = {}, .segment = segment};
  const size_t size = segment.size();
  packet.ip.version = 4;
  packet.ip.ihl = sizeof packet.ip / 4;
  packet.ip.tot_len = htons(static_cast<uint16_t>(sizeof packet.ip + size));
  packet.ip.frag_off = htons(IP_DF);
  packet.ip.ttl = kHops;
  packet.ip.protocol = IPPROTO_TCP;
  std::memcpy(&packet.ip.saddr, leg.key.local + 12, 4);
  std::memcpy(&packet.ip.daddr, leg.key.remote + 12, 4);
  // The IP header's own checksum is the kernel's to fill.
  const uint32_t sum = Sum(&packet.ip.saddr, 8, static_cast<uint32_t>(IPPROTO_TCP + size));
  packet.segment.tcp.check = Fold(Sum(&packet.segment, size, sum));
  sendto(fd, &packet, sizeof packet.ip + size, MSG_DONTWAIT, to.sockaddr_ptr(), to.length);
}

void SendIpv6(int fd, const splice_leg& leg, const Segment& segment, Address to) {
  struct {
    ip6_hdr ip;
    Segment segment;
  } packet{.ip = {}, .segment = segment};
  const size_t size = segment.size();
  packet.ip.ip6_flow = htonl(6u << 28);
  packet.ip.ip6_plen = htons(static_cast<uint16_t>(size));
  packet.ip.ip6_nxt = IPPROTO_TCP;
  packet.ip.ip6_hlim = kHops;
  std::memcpy(&packet.ip.ip6_src, leg.key.local, 16);
  std::memcpy(&packet.ip.ip6_dst, leg.key.remote, 16);
  const uint32_t sum = Sum(&packet.ip.ip6_src, 32, static_cast<uint32_t>(IPPROTO_TCP + size));
  packet.segment.tcp.check = Fold(Sum(&packet.segment, size, sum));
  auto* in6 = reinterpret_cast<sockaddr_in6*>(&to.storage);
  in6->sin6_port = 0;  // a raw socket takes a protocol here, and none but its own
  if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) in6->sin6_scope_id = leg.ifindex;
  sendto(fd, &packet, sizeof packet.ip + size, MSG_DONTWAIT, to.sockaddr_ptr(), to.length);
}

int RawSocket(int family) {
  return socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
}

// To both peers, of each kind.
void SendBoth(const splice_flow_slot& flow, Kind first, Kind second) {
  const bool ipv4 = flow.family == 4;
  const int fd = RawSocket(ipv4 ? AF_INET : AF_INET6);
  if (fd < 0) return;
  const unsigned int mark = SPLICE_MARK_RELAY;
  setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
  for (int side = 0; side < 2; side++) {
    const splice_leg& leg = flow.leg[side];
    const splice_leg& other = flow.leg[side ^ 1];
    const Address to = RemoteOf(leg.key);
    for (const Kind kind : {first, second}) {
      if (kind == Kind::kSecondProbe && !HasTimestamps(leg)) continue;
      if (kind == Kind::kSecondReset && NumberOf(leg, other, kind) == leg.ack) continue;
      const Segment segment = SegmentTo(leg, other, kind);
      if (ipv4) {
        SendIpv4(fd, leg, segment, to);
      } else {
        SendIpv6(fd, leg, segment, to);
      }
    }
  }
  close(fd);
}

}  // namespace

int TryRawSocket() {
  const int fd = RawSocket(AF_INET);
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

void SendResets(const splice_flow_slot& flow) { SendBoth(flow, Kind::kReset, Kind::kSecondReset); }
void SendProbes(const splice_flow_slot& flow) { SendBoth(flow, Kind::kProbe, Kind::kSecondProbe); }

}  // namespace symsplice
