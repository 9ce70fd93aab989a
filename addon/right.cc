// SPDX-License-Identifier: MIT
#include "right.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace symsplice {
namespace {

// In the abstract namespace, which belongs to the network namespace, as filters and routes do; the
// kernel gives it back when the process dies, however it dies.
constexpr std::string_view kRight("\0symsplice.packet", 17);

std::atomic<bool> here{false};

socklen_t RightName(sockaddr_un* out) {
  *out = sockaddr_un{};
  out->sun_family = AF_UNIX;
  std::memcpy(out->sun_path, kRight.data(), kRight.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + kRight.size());
}

}  // namespace

int Right::Take(const char** syscall) {
  sockaddr_un name;
  const socklen_t length = RightName(&name);
  *syscall = "socket";
  socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return errno;
  *syscall = "bind";
  if (bind(socket_, reinterpret_cast<sockaddr*>(&name), length) < 0) {
    const int error = errno;
    close(socket_);
    socket_ = -1;
    return error;
  }
  // A connection only tells whose it is: see ForgetAskers().
  listen(socket_, SOMAXCONN);
  here = true;
  return 0;
}

void Right::GiveBack() {
  if (socket_ < 0) return;
  here = false;
  close(socket_);
  socket_ = -1;
}

bool Right::IsHere() { return here; }

void Right::ForgetAskers() const {
  for (int fd; (fd = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) close(fd);
}

std::string Right::Holder() {
  sockaddr_un name;
  const socklen_t length = RightName(&name);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  ucred credentials{};
  socklen_t size = sizeof credentials;
  const bool known =
      fd >= 0 && connect(fd, reinterpret_cast<sockaddr*>(&name), length) == 0 &&
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 && credentials.pid > 0;
  if (fd >= 0) close(fd);
  return known ? "process " + std::to_string(credentials.pid) : "another process";
}

}  // namespace symsplice
