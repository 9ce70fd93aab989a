// SPDX-License-Identifier: MIT
// The reactor's life and its turns; what JavaScript asks of it is in reactor_calls.cc.
#include "reactor.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "error.h"
#include "handed_out.h"
#include "socket.h"
#include "splice/abi.h"

namespace symsplice {
namespace {

constexpr int kAcceptsPerTurn = 64;   // then others get their turn; epoll reports the rest again
constexpr int kEventsPerTurn = 256;
constexpr int kDrainsPerTurn = 16;
constexpr size_t kWasteSize = 4096;
constexpr uint32_t kBroken = EPOLLERR | EPOLLHUP;  // epoll reports these unasked

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
                                         InstanceMethod<&Reactor::AlignWith>("alignWith"),
                                         InstanceMethod<&Reactor::Send>("send"),
                                         InstanceMethod<&Reactor::AwaitWritable>("awaitWritable"),
                                         InstanceMethod<&Reactor::Descriptor>("descriptor"),
                                         InstanceMethod<&Reactor::Local>("local"),
                                         InstanceMethod<&Reactor::Quiet>("quiet"),
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

// new Reactor(records, bytes, onBatch, readSize?)
Reactor::Reactor(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Reactor>(info) {
  Napi::Env env = info.Env();
  if (info.Length() < 3 || !info[0].IsTypedArray() || !info[1].IsTypedArray() ||
      !info[2].IsFunction()) {
    ThrowType(env, "Reactor(records: Int32Array, bytes: Uint8Array, onBatch: function)");
    return;
  }
  auto records = info[0].As<Napi::Int32Array>();
  auto bytes = info[1].As<Napi::Uint8Array>();
  if (info[3].IsNumber()) read_size_ = info[3].As<Napi::Number>().Uint32Value();
  if (records.ElementLength() < SPLICE_REACTOR_WORDS || read_size_ < kMaxEncodedAddress ||
      bytes.ElementLength() < 2 * read_size_) {
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
  slots_[index] = Slot{};
  slots_[index].fd = fd;
  slots_[index].kind = kind;
  slots_[index].interest = events;
  return index;
}

// Also when nothing changes: epoll looks at the socket anew and reports all that is there.
void Reactor::SetInterest(int index, uint32_t events) {
  slots_[index].interest = events;
  epoll_event event{};
  event.events = events;
  event.data.u32 = static_cast<uint32_t>(index);
  epoll_ctl(epoll_, EPOLL_CTL_MOD, slots_[index].fd, &event);
}

void Reactor::Free(int index) {
  slots_[index] = Slot{};
  (in_turn_ ? freed_in_turn_ : free_).push_back(index);
}

// Throws away what was received; true at FIN, or when broken. A bounded amount a turn: what a flood
// leaves is looked at again in the next, until the deadline of the control plane. Left alone it
// would close the window, and a peer that sends all before it reads would never read our reply.
bool Reactor::Drained(int index) {
  uint8_t waste[kWasteSize];
  for (int i = 0; i < kDrainsPerTurn; i++) {
    const ssize_t n = recv(slots_[index].fd, waste, sizeof waste, MSG_DONTWAIT);
    if (n > 0) continue;
    return n == 0 || errno != EAGAIN;
  }
  SetInterest(index, kConnectionInterest);
  return false;
}

void Reactor::DrainLingering(int index) {
  EnsureRoom();
  if (watch_ == nullptr || slots_[index].kind != Kind::kLingering) return;
  if (Drained(index)) Emit(SPLICE_REACTOR_END, index, 0, 0);
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
      case Kind::kConnection: MoveOn(index, events[i].events); break;
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

void Reactor::MoveOn(int index, uint32_t events) {
  if ((events & EPOLLOUT) != 0) TellWritable(index);
  if ((events & ~EPOLLOUT) != 0) ReadFrom(index, events);
}

// The interest in writability stays until it is reported to nobody: who has filled the kernel's
// buffer once will soon do so again, and bodies that the kernel itself moves wake us only once.
void Reactor::TellWritable(int index) {
  EnsureRoom();
  if (watch_ == nullptr || slots_[index].kind != Kind::kConnection) return;
  Slot& slot = slots_[index];
  if (slot.awaiting) {
    slot.awaiting = false;
    Emit(SPLICE_REACTOR_WRITABLE, index, 0, 0);
  } else {
    SetInterest(index, slot.interest & ~EPOLLOUT);
  }
}

// Only a broken connection still matters to a held slot; bytes and FIN wait. The first that come
// end the interest, so that what the kernel moves elsewhere does not wake us with each segment.
void Reactor::Withhold(int index, uint32_t events, bool nothing_read) {
  Slot& slot = slots_[index];
  if ((events & kBroken) != 0) {
    Emit(SPLICE_REACTOR_FAILED, index, SocketError(slot.fd), 0);
    return;
  }
  slot.missed = true;
  if (nothing_read) SetInterest(index, EPOLLET | (slot.interest & EPOLLOUT));
}

void Reactor::ReadFrom(int index, uint32_t events) {
  for (bool first = true;; first = false) {
    EnsureRoom();
    if (watch_ == nullptr || slots_[index].kind != Kind::kConnection) return;
    Slot& slot = slots_[index];
    if (slot.held) return Withhold(index, events, first);
    const ssize_t n = recv(slot.fd, bytes_ + bytes_used_, read_size_, MSG_DONTWAIT);
    if (n > 0) {
      Emit(SPLICE_REACTOR_DATA, index, 0, static_cast<size_t>(n));
      // A full read may have left bytes, an announced FIN is still to be read. Deliver first:
      // the bytes may complete the request, and then the rest is not ours to read.
      if (static_cast<size_t>(n) < read_size_ && (events & EPOLLRDHUP) == 0) return;
      Deliver();
      continue;
    }
    if (n == 0 && !slot.ended) {
      slot.ended = true;
      Emit(SPLICE_REACTOR_END, index, 0, 0);
      // Behind a FIN a read shows a reset no more, only the event does, and it comes but once.
      if ((events & kBroken) != 0) continue;
    } else if (n == 0 && (events & kBroken) != 0) {
      Emit(SPLICE_REACTOR_FAILED, index, SocketError(slot.fd), 0);
    } else if (n < 0 && errno != EAGAIN) {
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
  if (count_ == capacity_ || bytes_size_ - bytes_used_ < read_size_) Deliver();
}

void Reactor::Deliver() {
  if (count_ == 0) return;
  const auto count = static_cast<double>(count_);
  count_ = 0;
  bytes_used_ = 0;
  if (CallFromEvent(Env(), on_batch_, {Napi::Number::New(Env(), count)}, *context_)) {
    HandedOut::Of(Env()).Returned();
  }
}

void InitReactor(Napi::Env env, Napi::Object exports) { Reactor::Init(env, exports); }

}  // namespace symsplice
