// SPDX-License-Identifier: MIT
// What JavaScript asks of the reactor: one short function a call, documented in src/native.ts.
// A slot that is gone is no error here: its event may have been on the way to JavaScript already.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "align.h"
#include "error.h"
#include "handed_out.h"
#include "reactor.h"
#include "socket.h"

namespace symsplice {
namespace {

void Prepare(int fd) {
  SetNoDelay(fd);
  SetKeepAlive(fd);
}

}  // namespace

// Of the slot that an argument names, -1 when it is gone.
int Reactor::DescriptorOf(const Napi::Value& slot) const {
  const uint32_t index = slot.As<Napi::Number>().Uint32Value();
  return index < slots_.size() ? slots_[index].fd : -1;
}

Reactor::Slot* Reactor::At(const Napi::CallbackInfo& info, Kind kind) {
  const uint32_t index = info[0].As<Napi::Number>().Uint32Value();
  if (index >= slots_.size()) return nullptr;
  Slot* slot = &slots_[index];
  if (slot->kind == Kind::kFree || (kind != Kind::kFree && slot->kind != kind)) return nullptr;
  return slot;
}

// listen(fd, quota): level-triggered, so that what a turn leaves is reported again.
Napi::Value Reactor::Listen(const Napi::CallbackInfo& info) {
  if (info[1].IsObject()) {
    quota_reference_ = Napi::Persistent(info[1].As<Napi::Object>());
    quota_ = Quota::Unwrap(info[1].As<Napi::Object>());
  }
  const int fd = info[0].As<Napi::Number>().Int32Value();
  // Accepted sockets inherit both.
  SetNoDelay(fd);
  SetKeepAlive(fd);
  const int slot = Register(fd, Kind::kListener, EPOLLIN);
  if (slot < 0) return ThrowErrno(info.Env(), -slot, "epoll_ctl");
  return Napi::Number::New(info.Env(), slot);
}

// adopt(fd): a connection that somebody else accepted.
Napi::Value Reactor::Adopt(const Napi::CallbackInfo& info) {
  const int slot = Register(info[0].As<Napi::Number>().Int32Value(), Kind::kConnection,
                            kConnectionInterest);
  if (slot < 0) return ThrowErrno(info.Env(), -slot, "epoll_ctl");
  return Napi::Number::New(info.Env(), slot);
}

// alignWith(flows)
Napi::Value Reactor::AlignWith(const Napi::CallbackInfo& info) {
  table_ = FlowTableOf(info[0]);
  if (table_.expired()) return ThrowType(info.Env(), "alignWith(flows: Packet | KernelModule)");
  return info.Env().Undefined();
}

// connect(host, port, client?) -> slot, or a negative errno when it failed at once.
Napi::Value Reactor::Connect(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Address address;
  const auto port = static_cast<uint16_t>(info[1].As<Napi::Number>().Uint32Value());
  if (!ParseAddress(info[0].As<Napi::String>().Utf8Value(), port, &address)) {
    return Napi::Number::New(env, -EINVAL);
  }
  const int client = info[2].IsNumber() ? DescriptorOf(info[2]) : -1;
  if (const auto table = client >= 0 ? table_.lock() : nullptr; table != nullptr) {
    const int fd = AlignAndConnect(table.get(), client, address, Prepare);
    return Napi::Number::New(env, fd < 0 ? fd : Register(fd, Kind::kConnecting, EPOLLOUT | EPOLLET));
  }
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Napi::Number::New(env, -errno);
  Prepare(fd);
  if (connect(fd, address.sockaddr_ptr(), address.length) < 0 && errno != EINPROGRESS) {
    const int error = errno;
    close(fd);
    return Napi::Number::New(env, -error);
  }
  return Napi::Number::New(env, Register(fd, Kind::kConnecting, EPOLLOUT | EPOLLET));
}

// send(slot, bytes, more?) -> bytes taken by the kernel, or a negative errno.
Napi::Value Reactor::Send(const Napi::CallbackInfo& info) {
  Slot* slot = At(info, Kind::kFree);
  if (slot == nullptr) return Napi::Number::New(info.Env(), -EBADF);
  iovec parts[2];
  msghdr message{};
  message.msg_iov = parts;
  const size_t last = info.Length() > 2 && !info[2].IsUndefined() ? 2 : 1;
  for (size_t i = 0; i < last; i++) {
    auto bytes = info[i + 1].As<Napi::Uint8Array>();
    parts[message.msg_iovlen++] = iovec{bytes.Data(), bytes.ByteLength()};
  }
  const ssize_t sent = sendmsg(slot->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return Napi::Number::New(info.Env(), sent < 0 ? -errno : static_cast<int>(sent));
}

// awaitWritable(slot): after a short send. Where the interest is there already, the kernel raises
// an edge for the buffer that this send has found full.
Napi::Value Reactor::AwaitWritable(const Napi::CallbackInfo& info) {
  if (Slot* slot = At(info, Kind::kConnection)) {
    slot->awaiting = true;
    if ((slot->interest & EPOLLOUT) == 0) {
      SetInterest(static_cast<int>(slot - slots_.data()), slot->interest | EPOLLOUT);
    }
  }
  return info.Env().Undefined();
}

// descriptor(slot) -> the number, which stays the reactor's; -1 when the slot is gone.
Napi::Value Reactor::Descriptor(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), DescriptorOf(info[0]));
}

// local(slot) -> our own address, encoded; empty when there is none.
Napi::Value Reactor::Local(const Napi::CallbackInfo& info) {
  Address local;
  local.length = sizeof local.storage;
  uint8_t encoded[kMaxEncodedAddress];
  const bool known = getsockname(DescriptorOf(info[0]), local.sockaddr_ptr(), &local.length) == 0;
  return Napi::Buffer<uint8_t>::Copy(info.Env(), encoded,
                                     known ? EncodeAddress(local, encoded) : 0);
}

// quiet(slot) -> whether neither bytes nor FIN nor an error wait. poll(2), unlike a read, leaves
// the error where it is.
Napi::Value Reactor::Quiet(const Napi::CallbackInfo& info) {
  pollfd asked{DescriptorOf(info[0]), POLLIN | POLLRDHUP, 0};
  const bool quiet = asked.fd >= 0 && poll(&asked, 1, 0) == 0;
  return Napi::Boolean::New(info.Env(), quiet);
}

// hold(slot): costs nothing yet; see Withhold().
Napi::Value Reactor::Hold(const Napi::CallbackInfo& info) {
  if (Slot* slot = At(info, Kind::kConnection)) slot->held = true;
  return info.Env().Undefined();
}

// release(slot): reads again; what arrived meanwhile comes with the next turn, because changing
// the interest makes epoll look at the socket anew. Nothing to do where nothing has come.
Napi::Value Reactor::Release(const Napi::CallbackInfo& info) {
  if (Slot* slot = At(info, Kind::kConnection)) {
    const uint32_t wanted = kConnectionInterest | (slot->awaiting ? uint32_t{EPOLLOUT} : 0);
    const bool reading = (slot->interest & kConnectionInterest) == kConnectionInterest;
    slot->held = false;
    if (slot->missed || !reading) SetInterest(static_cast<int>(slot - slots_.data()), wanted);
    slot->missed = false;
  }
  return info.Env().Undefined();
}

// pause(listener), resume(listener): connections wait in the kernel's backlog meanwhile.
Napi::Value Reactor::Pause(const Napi::CallbackInfo& info) {
  if (Slot* slot = At(info, Kind::kListener)) epoll_ctl(epoll_, EPOLL_CTL_DEL, slot->fd, nullptr);
  return info.Env().Undefined();
}

Napi::Value Reactor::Resume(const Napi::CallbackInfo& info) {
  if (Slot* slot = At(info, Kind::kListener)) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<uint32_t>(slot - slots_.data());
    epoll_ctl(epoll_, EPOLL_CTL_ADD, slot->fd, &event);
  }
  return info.Env().Undefined();
}

// take(slot) -> the descriptor, which belongs to the caller from now on; see handed_out.h.
Napi::Value Reactor::Take(const Napi::CallbackInfo& info) {
  Slot* slot = At(info, Kind::kFree);
  if (slot == nullptr) return Napi::Number::New(info.Env(), -1);
  const int fd = slot->fd;
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  Free(static_cast<int>(slot - slots_.data()));
  HandedOut::Of(info.Env()).Give(fd);
  return Napi::Number::New(info.Env(), fd);
}

// linger(slot) -> true when the peer is done
Napi::Value Reactor::Linger(const Napi::CallbackInfo& info) {
  Slot* slot = At(info, Kind::kConnection);
  if (slot == nullptr) return Napi::Boolean::New(info.Env(), true);
  const int index = static_cast<int>(slot - slots_.data());
  shutdown(slot->fd, SHUT_WR);
  slot->kind = Kind::kLingering;
  // A slot that was held may not hear of bytes.
  if (slot->interest != kConnectionInterest) SetInterest(index, kConnectionInterest);
  return Napi::Boolean::New(info.Env(), Drained(index));
}

// close(slot, reset): reset sends RST instead of FIN.
Napi::Value Reactor::Close(const Napi::CallbackInfo& info) {
  Slot* slot = At(info, Kind::kFree);
  if (slot == nullptr) return info.Env().Undefined();
  if (info[1].ToBoolean().Value()) SetReset(slot->fd);
  // Not left to close(2): a child process between fork and exec has a duplicate, which would keep
  // the socket in the epoll set, and its next event would reach the slot's next connection.
  epoll_ctl(epoll_, EPOLL_CTL_DEL, slot->fd, nullptr);
  close(slot->fd);
  Free(static_cast<int>(slot - slots_.data()));
  return info.Env().Undefined();
}

}  // namespace symsplice
