// SPDX-License-Identifier: MIT
#include "align.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "packet/keys.h"

namespace symsplice {
namespace {

constexpr int kTries = 4;
constexpr int kTimestampBytes = 12;
constexpr int kLargestMss = 32767;  // that TCP_MAXSEG takes

splice_key DestinationOf(const Address& destination) {
  splice_key key{};
  MapAddress(destination, key.remote, &key.remote_port);
  return key;
}

unsigned int LackingIn(const tcp_info& info) {
  return ((info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0 ? 0 : SPLICE_LEG_TIMESTAMPS) |
         ((info.tcpi_options & TCPI_OPT_SACK) != 0 ? 0 : SPLICE_LEG_SACK) |
         ((info.tcpi_options & TCPI_OPT_WSCALE) != 0 ? 0 : SPLICE_INTENT_SCALE);
}

bool ReadInfo(int fd, tcp_info* out) {
  *out = tcp_info{};
  socklen_t length = sizeof *out;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, out, &length) == 0;
}

// The server must not send what the client takes in no segment. Which the client announced cannot
// be asked; what the kernel sends it at most says it, plus the timestamps that come off that.
// Returns the options that the client's connection lacks.
unsigned int AlignOptions(int client, int upstream) {
  tcp_info info;
  if (!ReadInfo(client, &info)) return 0;
  const bool timestamps = (info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0;
  const int mss = static_cast<int>(info.tcpi_snd_mss) + (timestamps ? kTimestampBytes : 0);
  if (mss <= kLargestMss) setsockopt(upstream, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof mss);
  return LackingIn(info);
}

int BindPort(int fd, int family, uint16_t port) {
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  Address any;
  any.storage.ss_family = static_cast<sa_family_t>(family);
  if (family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&any.storage)->sin_port = htons(port);
    any.length = sizeof(sockaddr_in);
  } else {
    reinterpret_cast<sockaddr_in6*>(&any.storage)->sin6_port = htons(port);
    any.length = sizeof(sockaddr_in6);
  }
  return bind(fd, any.sockaddr_ptr(), any.length) < 0 ? -errno : 0;
}

// A port may be taken by somebody who does not share it: another program, or a socket of ours at the
// moment at which its peer is asked for a sign.
int BindNext(FlowTable* table, int client, int fd, const Address& destination, unsigned int lacks) {
  splice_key key = DestinationOf(destination);
  int error = 0;
  for (int i = 0; i < kTries; i++) {
    const uint16_t port = table->NextPort(key);
    if (port == 0) return 0;
    error = BindPort(fd, destination.family(), port);
    if (error == 0) {
      key.local_port = htons(port);
      table->Intend(client, fd, key, lacks);
      return port;
    }
    if (error != -EADDRINUSE) break;
  }
  return error;
}

}  // namespace

unsigned int OptionsLacking(int fd) {
  tcp_info info;
  return ReadInfo(fd, &info) ? LackingIn(info) : 0;
}

int Align(FlowTable* table, int client, int upstream, const Address& destination) {
  return BindNext(table, client, upstream, destination, AlignOptions(client, upstream));
}

int AlignAndConnect(FlowTable* table, int client, const Address& destination,
                    void (*prepare)(int fd)) {
  for (int i = 0; i <= kTries; i++) {
    const int fd = socket(destination.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    prepare(fd);
    // After the last try the kernel chooses; no table will carry that flow.
    const int port = i < kTries ? Align(table, client, fd, destination) : 0;
    if (connect(fd, destination.sockaddr_ptr(), destination.length) == 0 || errno == EINPROGRESS) {
      return fd;
    }
    const int error = errno;
    close(fd);
    if (port <= 0 || (error != EADDRNOTAVAIL && error != EADDRINUSE)) return -error;
    if (i == kTries - 1) table->RestPorts(DestinationOf(destination));
  }
  return -EADDRNOTAVAIL;
}

}  // namespace symsplice
