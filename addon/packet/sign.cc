// SPDX-License-Identifier: MIT
#include "packet/sign.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace symsplice {

// TCP_REPAIR on and off again ends in a probe.
void AskForSign(int fd) {
  int value = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &value, sizeof value) < 0) return;
  value = 0;
  setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &value, sizeof value);
  // Which took it away; and without it nobody else could bind the port.
  value = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value);
}

}  // namespace symsplice
