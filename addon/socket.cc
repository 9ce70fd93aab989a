// SPDX-License-Identifier: MIT
#include "socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "address.h"
#include "error.h"
#include "handed_out.h"

namespace symsplice {

void SetNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void SetNonBlocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) == 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int DuplicateSocket(int fd) {
  const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return duplicate < 0 ? -errno : duplicate;
}

void SetKeepAlive(int fd) {
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

void SetReset(int fd) {
  const linger option{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, sizeof option);
}

void SetFin(int fd) {
  const linger option{0, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, sizeof option);
}

int SocketError(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return errno;
  return error;
}

namespace {

Napi::Value EncodedAddress(Napi::Env env, const Address& address) {
  uint8_t encoded[kMaxEncodedAddress];
  const size_t length = EncodeAddress(address, encoded);
  if (length == 0) return env.Null();
  return Napi::Buffer<uint8_t>::Copy(env, encoded, length);
}

// listen(host, port, backlog, reusePort) -> descriptor. "::" takes IPv4 too (dual stack).
Napi::Value Listen(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Address address;
  const auto port = static_cast<uint16_t>(info[1].As<Napi::Number>().Uint32Value());
  if (!ParseAddress(info[0].As<Napi::String>().Utf8Value(), port, &address)) {
    return ThrowErrno(env, EINVAL, "listen");
  }
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return ThrowErrno(env, errno, "socket");
  const int on = 1;
  const int off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (info[3].ToBoolean().Value()) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address.family() == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  const char* failed = nullptr;
  if (bind(fd, address.sockaddr_ptr(), address.length) < 0) {
    failed = "bind";
  } else if (listen(fd, info[2].As<Napi::Number>().Int32Value()) < 0) {
    failed = "listen";
  }
  if (failed != nullptr) {
    const int error = errno;
    close(fd);
    return ThrowErrno(env, error, failed);
  }
  return Napi::Number::New(env, fd);
}

// sharePort(fd): others of this user may bind the same address with SO_REUSEPORT from now on.
Napi::Value SharePort(const Napi::CallbackInfo& info) {
  const int on = 1;
  if (setsockopt(info[0].As<Napi::Number>().Int32Value(), SOL_SOCKET, SO_REUSEPORT, &on,
                 sizeof on) < 0) {
    return ThrowErrno(info.Env(), errno, "setsockopt");
  }
  return info.Env().Undefined();
}

// duplicate(fd) -> a second descriptor of the same socket, non-blocking and close-on-exec.
Napi::Value Duplicate(const Napi::CallbackInfo& info) {
  const int fd = DuplicateSocket(info[0].As<Napi::Number>().Int32Value());
  if (fd < 0) return ThrowErrno(info.Env(), -fd, "fcntl");
  SetNonBlocking(fd);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value Close(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>().Int32Value();
  HandedOut::Of(info.Env()).Received(fd);
  if (close(fd) < 0) return ThrowErrno(info.Env(), errno, "close");
  return info.Env().Undefined();
}

// describe(fd) -> { stream, listening, connected, tcpState, error, local, peer } or throws EBADF,
// ENOTSOCK. The addresses are in the reactor's encoding, null when there is none.
Napi::Value Describe(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const int fd = info[0].As<Napi::Number>().Int32Value();
  int type = 0;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0) {
    return ThrowErrno(env, errno, "getsockopt");
  }
  int listening = 0;
  length = sizeof listening;
  getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
  tcp_info tcp{};
  length = sizeof tcp;
  const bool is_tcp = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &tcp, &length) == 0;
  Address local;
  local.length = sizeof local.storage;
  getsockname(fd, local.sockaddr_ptr(), &local.length);
  Address peer;
  peer.length = sizeof peer.storage;
  const bool connected = getpeername(fd, peer.sockaddr_ptr(), &peer.length) == 0;
  Napi::Object result = Napi::Object::New(env);
  result.Set("stream", type == SOCK_STREAM);
  result.Set("listening", listening != 0);
  result.Set("connected", connected);
  result.Set("tcpState", is_tcp ? Napi::Number::New(env, tcp.tcpi_state) : env.Null());
  result.Set("local", EncodedAddress(env, local));
  result.Set("peer", connected ? EncodedAddress(env, peer) : env.Null());
  return result;
}

// connectedStream(fd) -> "" or the errno's name. Two system calls, for every splice().
Napi::Value ConnectedStream(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>().Int32Value();
  int type = 0;
  socklen_t length = sizeof type;
  int error = 0;
  Address peer;
  peer.length = sizeof peer.storage;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0) {
    error = errno;
  } else if (type != SOCK_STREAM) {
    error = EPROTOTYPE;
  } else if (getpeername(fd, peer.sockaddr_ptr(), &peer.length) < 0) {
    error = errno;
  }
  return Napi::String::New(info.Env(), error == 0 ? "" : ErrnoName(error));
}

// reset(fd): closes with RST.
Napi::Value Reset(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>().Int32Value();
  HandedOut::Of(info.Env()).Received(fd);
  SetReset(fd);
  close(fd);
  return info.Env().Undefined();
}

// resetOnClose(fd): leaves the descriptor open; the last close(2) sends RST.
Napi::Value ResetOnClose(const Napi::CallbackInfo& info) {
  SetReset(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

Napi::Value NoDelay(const Napi::CallbackInfo& info) {
  SetNoDelay(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

// notify(path, message): one datagram to a unix socket, as sd_notify(3) does; a path that begins
// with "@" is in the abstract namespace.
Napi::Value Notify(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  const std::string message = info[1].As<Napi::String>().Utf8Value();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return ThrowErrno(env, EINVAL, "notify");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                             (path[0] == '@' ? 0 : 1));
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ThrowErrno(env, errno, "socket");
  const ssize_t sent = sendto(fd, message.data(), message.size(), MSG_NOSIGNAL,
                              reinterpret_cast<sockaddr*>(&address), length);
  const int error = errno;
  close(fd);
  if (sent < 0) return ThrowErrno(env, error, "sendto");
  return env.Undefined();
}

}  // namespace

void InitSocket(Napi::Env env, Napi::Object exports) {
  exports.Set("listen", Napi::Function::New<Listen>(env, "listen"));
  exports.Set("sharePort", Napi::Function::New<SharePort>(env, "sharePort"));
  exports.Set("duplicate", Napi::Function::New<Duplicate>(env, "duplicate"));
  exports.Set("close", Napi::Function::New<Close>(env, "close"));
  exports.Set("reset", Napi::Function::New<Reset>(env, "reset"));
  exports.Set("resetOnClose", Napi::Function::New<ResetOnClose>(env, "resetOnClose"));
  exports.Set("describe", Napi::Function::New<Describe>(env, "describe"));
  exports.Set("connectedStream",
              Napi::Function::New<ConnectedStream>(env, "connectedStream"));
  exports.Set("noDelay", Napi::Function::New<NoDelay>(env, "noDelay"));
  exports.Set("notify", Napi::Function::New<Notify>(env, "notify"));
}

}  // namespace symsplice
