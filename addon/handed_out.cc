// SPDX-License-Identifier: MIT
#include "handed_out.h"

#include <sys/stat.h>
#include <unistd.h>

#include "socket.h"

namespace symsplice {

// Instance data is finalized after every cleanup hook that was added later: reactors and relays
// have closed theirs by then, and Node its sockets.
void HandedOut::Init(Napi::Env env) { env.SetInstanceData(new HandedOut); }

HandedOut::~HandedOut() {
  for (const Entry& entry : entries_) {
    struct stat now;
    if (fstat(entry.fd, &now) != 0 || now.st_ino != entry.socket || !S_ISSOCK(now.st_mode)) continue;
    // Not FIN: to the peer a stream that was cut must not look whole.
    SetReset(entry.fd);
    close(entry.fd);
  }
}

void HandedOut::Give(int fd) {
  struct stat now;
  if (fstat(fd, &now) == 0) entries_.push_back({fd, now.st_ino});
}

void HandedOut::Received(int fd) {
  std::erase_if(entries_, [fd](const Entry& entry) { return entry.fd == fd; });
}

}  // namespace symsplice
