// SPDX-License-Identifier: MIT
#include "reactor.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "error.h"
#include "socket.h"
#include "splice/abi.h"

namespace symsplice {
namespace {

constexpr size_t kReadSize = 4096;    // a handshake fits many times
constexpr int kAcceptsPerTurn = 64;   // then others get their turn; epoll reports the rest again
constexpr int kEventsPerTurn = 256;
constexpr int kDrainsPerTurn = 16;
constexpr uint32_t kConnectionInterest = EPOLLIN | EPOLLRDHUP | EPOLLET;

// Errors by which accept(2) tells of a connection that was lost before it was accepted. Any other
// is the listener's, or the process', and comes again with the next call.
bool ConcernsOneConnection(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:  // a firewall's rule
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ETIMEDOUT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Reactor::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Reactor", DefineClass(env, "Reactor",
                                     {
                                         InstanceMethod<&Reactor::Listen>("listen"),
                                         InstanceMethod<&Reactor::Adopt>("adopt"),
                                         InstanceMethod<&Reactor::Connect>("connect"),
                                         InstanceMethod<&Reactor::Send>("send"),
                                         InstanceMethod<&Reactor::Hold>("hold"),
                                         InstanceMethod<&Reactor::Release>("release"),
                                         InstanceMethod<&Reactor::Pause>("pause"),
                                         InstanceMethod<&Reactor::Resume>("resume"),
                                         InstanceMethod<&Reactor::Take>("take"),
                                         InstanceMethod<&Reactor::Linger>("linger"),
                                         InstanceMethod<&Reactor::Close>("close"),
                                         InstanceMethod<&Reactor::Stop>("stop"),
                                     }));
}

// new Reactor(records, bytes, onBatch)
Reactor::Reactor(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Reactor>(info) {
  Napi::Env env = info.Env();
  if (info.Length() < 3 || !info[0].IsTypedArray() || !info[1].IsTypedArray() ||
      !info[2].IsFunction()) {
    ThrowType(env, "Reactor(records: Int32Array, bytes: Uint8Array, onBatch: function)");
    return;
  }
  auto records = info[0].As<Napi::Int32Array>();
  auto bytes = info[1].As<Napi::Uint8Array>();
  if (records.ElementLength() < SPLICE_REACTOR_WORDS || bytes.ElementLength() < 2 * kReadSize) {
    ThrowType(env, "Reactor: the shared arrays are too small");
    return;
  }
  records_ = records.Data();
  capacity_ = records.ElementLength() / SPLICE_REACTOR_WORDS;
  bytes_ = bytes.Data();
  bytes_size_ = bytes.ElementLength();
  records_reference_ = Napi::Persistent(info[0].As<Napi::TypedArray>());
  bytes_reference_ = Napi::Persistent(info[1].As<Napi::TypedArray>());
  on_batch_ = Napi::Persistent(info[2].As<Napi::Function>());
  context_ = std::make_unique<Napi::AsyncContext>(env, "symsplice:reactor");

  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) {
    ThrowErrno(env, errno, "epoll_create1");
    return;
  }
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  watch_ = new Watch{};
  watch_->reactor = this;
  watch_->poll.data = watch_;
  uv_poll_init(loop, &watch_->poll, epoll_);
  uv_poll_start(&watch_->poll, UV_READABLE, OnReadable);
  napi_add_async_cleanup_hook(env, OnEnvironmentExit, watch_, &watch_->hook);
  Ref();  // running: not to be collected before stop()
}

Reactor::~Reactor() { CloseAll(); }

// The environment (a worker, or the process) is going: nothing of JavaScript may be called.
void Reactor::OnEnvironmentExit(napi_async_cleanup_hook_handle, void* data) {
  auto* watch = static_cast<Watch*>(data);
  if (watch->reactor != nullptr) watch->reactor->CloseAll();
}

// Ends the watch and closes every descriptor that is still ours. Idempotent.
void Reactor::CloseAll() {
  for (Slot& slot : slots_) {
    if (slot.fd >= 0) close(slot.fd);
    slot = Slot{};
  }
  if (watch_ == nullptr) return;
  watch_->reactor = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&watch_->poll), [](uv_handle_t* handle) {
    auto* watch = static_cast<Watch*>(handle->data);
    napi_remove_async_cleanup_hook(watch->hook);
    delete watch;
  });
  watch_ = nullptr;
  close(epoll_);
  epoll_ = -1;
}

Napi::Value Reactor::Stop(const Napi::CallbackInfo& info) {
  if (watch_ != nullptr) {
    CloseAll();
    Unref();
  }
  return info.Env().Undefined();
}

int Reactor::Register(int fd, Kind kind, uint32_t events) {
  int index;
  if (free_.empty()) {
    index = static_cast<int>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  epoll_event event{};
  event.events = events;
  event.data.u32 = static_cast<uint32_t>(index);
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) < 0) {
    const int error = errno;
    free_.push_back(index);
    close(fd);
    return -error;
  }
  slots_[index] = Slot{fd, kind, false};
  return index;
}

void Reactor::Free(int index) {
  slots_[index] = Slot{};
  (in_turn_ ? freed_in_turn_ : free_).push_back(index);
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

// connect(host, port) -> slot, or a negative errno when it failed at once.
Napi::Value Reactor::Connect(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Address address;
  const auto port = static_cast<uint16_t>(info[1].As<Napi::Number>().Uint32Value());
  if (!ParseAddress(info[0].As<Napi::String>().Utf8Value(), port, &address)) {
    return Napi::Number::New(env, -EINVAL);
  }
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Napi::Number::New(env, -errno);
  SetNoDelay(fd);
  SetKeepAlive(fd);
  if (connect(fd, address.sockaddr_ptr(), address.length) < 0 && errno != EINPROGRESS) {
    const int error = errno;
    close(fd);
    return Napi::Number::New(env, -error);
  }
  return Napi::Number::New(env, Register(fd, Kind::kConnecting, EPOLLOUT | EPOLLET));
}

// send(slot, bytes) -> bytes taken by the kernel, or a negative errno.
Napi::Value Reactor::Send(const Napi::CallbackInfo& info) {
  Slot* slot = At(info, Kind::kFree);
  if (slot == nullptr) return Napi::Number::New(info.Env(), -EBADF);
  auto bytes = info[1].As<Napi::Uint8Array>();
  const ssize_t sent =
      send(slot->fd, bytes.Data(), bytes.ByteLength(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return Napi::Number::New(info.Env(), sent < 0 ? -errno : static_cast<int>(sent));
}

Napi::Value Reactor::Hold(const Napi::CallbackInfo& info) {
  if (Slot* slot = At(info, Kind::kConnection)) slot->held = true;
  return info.Env().Undefined();
}

// release(slot): reads again; what arrived meanwhile comes with the next turn, because changing
// the interest makes epoll look at the socket anew.
Napi::Value Reactor::Release(const Napi::CallbackInfo& info) {
  if (Slot* slot = At(info, Kind::kConnection)) {
    slot->held = false;
    epoll_event event{};
    event.events = kConnectionInterest;
    event.data.u32 = static_cast<uint32_t>(slot - slots_.data());
    epoll_ctl(epoll_, EPOLL_CTL_MOD, slot->fd, &event);
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

// take(slot) -> the descriptor, which belongs to the caller from now on.
Napi::Value Reactor::Take(const Napi::CallbackInfo& info) {
  Slot* slot = At(info, Kind::kFree);
  if (slot == nullptr) return Napi::Number::New(info.Env(), -1);
  const int fd = slot->fd;
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  Free(static_cast<int>(slot - slots_.data()));
  return Napi::Number::New(info.Env(), fd);
}

// linger(slot) -> true when the peer is done
Napi::Value Reactor::Linger(const Napi::CallbackInfo& info) {
  Slot* slot = At(info, Kind::kConnection);
  if (slot == nullptr) return Napi::Boolean::New(info.Env(), true);
  shutdown(slot->fd, SHUT_WR);
  slot->kind = Kind::kLingering;
  return Napi::Boolean::New(info.Env(), Drained(slot->fd));
}

// Throws away what was received, a bounded amount a call; true at FIN, or when broken. What a
// flood leaves unread raises no new edge, and the deadline of the control plane ends it.
bool Reactor::Drained(int fd) {
  uint8_t waste[kReadSize];
  for (int i = 0; i < kDrainsPerTurn; i++) {
    const ssize_t n = recv(fd, waste, sizeof waste, MSG_DONTWAIT);
    if (n > 0) continue;
    return n == 0 || errno != EAGAIN;
  }
  return false;
}

void Reactor::DrainLingering(int index) {
  EnsureRoom();
  if (watch_ == nullptr || slots_[index].kind != Kind::kLingering) return;
  if (Drained(slots_[index].fd)) Emit(SPLICE_REACTOR_END, index, 0, 0);
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

void Reactor::OnReadable(uv_poll_t* poll, int, int) {
  auto* watch = static_cast<Watch*>(poll->data);
  if (watch->reactor != nullptr) watch->reactor->Turn();
}

// One wake-up: collect, then call JavaScript. Events are edge-triggered (listeners are not), so
// each is taken to its end here; JavaScript may close any slot while a full batch is delivered.
void Reactor::Turn() {
  Napi::HandleScope scope(Env());
  std::array<epoll_event, kEventsPerTurn> events;
  const int ready = epoll_wait(epoll_, events.data(), kEventsPerTurn, 0);
  in_turn_ = true;
  for (int i = 0; i < ready && watch_ != nullptr; i++) {
    const int index = static_cast<int>(events[i].data.u32);
    switch (slots_[index].kind) {
      case Kind::kListener: AcceptFrom(index); break;
      case Kind::kConnection: ReadFrom(index, events[i].events); break;
      case Kind::kConnecting: FinishConnect(index); break;
      case Kind::kLingering: DrainLingering(index); break;
      case Kind::kFree: break;  // closed by JavaScript earlier in this turn
    }
  }
  if (watch_ != nullptr) Deliver();
  in_turn_ = false;
  free_.insert(free_.end(), freed_in_turn_.begin(), freed_in_turn_.end());
  freed_in_turn_.clear();
}

void Reactor::AcceptFrom(int listener) {
  for (int i = 0; i < kAcceptsPerTurn; i++) {
    EnsureRoom();
    // JavaScript may have closed the listener, or everything, in the batch just delivered.
    if (watch_ == nullptr || slots_[listener].kind != Kind::kListener) return;
    // Before the accept, not after: whoever finds no room stays in the backlog.
    if (quota_ != nullptr && !quota_->TakeSeat()) {
      Emit(SPLICE_REACTOR_FULL, listener, 0, 0);
      return;
    }
    Address peer;
    peer.length = sizeof peer.storage;
    const int fd = accept4(slots_[listener].fd, peer.sockaddr_ptr(), &peer.length,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      const int error = errno;
      if (quota_ != nullptr) quota_->LeaveSeat();
      if (error == EAGAIN) return;
      if (ConcernsOneConnection(error)) continue;
      Emit(SPLICE_REACTOR_ACCEPT_FAILED, listener, error, 0);
      return;
    }
    const int slot = Register(fd, Kind::kConnection, kConnectionInterest);
    if (slot < 0) {
      if (quota_ != nullptr) quota_->LeaveSeat();
      Emit(SPLICE_REACTOR_ACCEPT_FAILED, listener, -slot, 0);
      continue;
    }
    Emit(SPLICE_REACTOR_ACCEPTED, slot, listener, EncodeAddress(peer, bytes_ + bytes_used_));
  }
}

void Reactor::ReadFrom(int index, uint32_t events) {
  while (true) {
    EnsureRoom();
    if (watch_ == nullptr || slots_[index].kind != Kind::kConnection) return;
    if (slots_[index].held) {
      // Only a broken connection still matters; bytes and FIN wait for the relay.
      if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        Emit(SPLICE_REACTOR_FAILED, index, SocketError(slots_[index].fd), 0);
      }
      return;
    }
    const ssize_t n = recv(slots_[index].fd, bytes_ + bytes_used_, kReadSize, MSG_DONTWAIT);
    if (n > 0) {
      Emit(SPLICE_REACTOR_DATA, index, 0, static_cast<size_t>(n));
      // A full read may have left bytes, an announced FIN is still to be read. Deliver first:
      // the bytes may complete the request, and then the rest is not ours to read.
      if (static_cast<size_t>(n) < kReadSize && (events & EPOLLRDHUP) == 0) return;
      Deliver();
      continue;
    }
    if (n == 0) {
      Emit(SPLICE_REACTOR_END, index, 0, 0);
    } else if (errno != EAGAIN) {
      Emit(SPLICE_REACTOR_FAILED, index, errno, 0);
    }
    return;
  }
}

void Reactor::FinishConnect(int index) {
  EnsureRoom();
  if (watch_ == nullptr || slots_[index].kind != Kind::kConnecting) return;
  Slot& slot = slots_[index];
  const int error = SocketError(slot.fd);
  if (error != 0) {
    Emit(SPLICE_REACTOR_CONNECTED, index, error, 0);
    return;
  }
  Address local;
  local.length = sizeof local.storage;
  getsockname(slot.fd, local.sockaddr_ptr(), &local.length);
  // From here it is held: what the server says first waits in the kernel for the relay.
  slot.kind = Kind::kConnection;
  slot.held = true;
  Emit(SPLICE_REACTOR_CONNECTED, index, 0, EncodeAddress(local, bytes_ + bytes_used_));
}

void Reactor::Emit(int event, int slot, int value, size_t length) {
  int32_t* record = records_ + count_ * SPLICE_REACTOR_WORDS;
  record[0] = event;
  record[1] = slot;
  record[2] = value;
  record[3] = static_cast<int32_t>(bytes_used_);
  record[4] = static_cast<int32_t>(length);
  bytes_used_ += length;
  count_++;
}

// Room for one more record with a full read.
void Reactor::EnsureRoom() {
  if (count_ == capacity_ || bytes_size_ - bytes_used_ < kReadSize) Deliver();
}

void Reactor::Deliver() {
  if (count_ == 0) return;
  const auto count = static_cast<double>(count_);
  count_ = 0;
  bytes_used_ = 0;
  CallFromEvent(Env(), on_batch_, {Napi::Number::New(Env(), count)}, *context_);
}

void InitReactor(Napi::Env env, Napi::Object exports) { Reactor::Init(env, exports); }

}  // namespace symsplice
