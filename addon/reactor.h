// SPDX-License-Identifier: MIT
// Stages accept and handshake: the control plane's sockets, without Node's streams.
//
// One epoll set, watched by libuv on the JavaScript thread that made it. A wake-up accepts,
// reads and finishes connects in native code, and JavaScript is called once for all of it: the
// records lie in an Int32Array and the bytes in a Uint8Array that both sides share. What is
// decided comes back by plain calls on slots. Never call from another thread; never block.
#pragma once

#include <napi.h>
#include <sys/epoll.h>
#include <uv.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "address.h"
#include "flow_table.h"
#include "quota.h"

namespace symsplice {

class Reactor : public Napi::ObjectWrap<Reactor> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit Reactor(const Napi::CallbackInfo& info);
  ~Reactor() override;

 private:
  static constexpr size_t kReadSize = 4096;  // unless told otherwise: a handshake fits many times
  static constexpr uint32_t kConnectionInterest = EPOLLIN | EPOLLRDHUP | EPOLLET;

  enum class Kind : uint8_t { kFree, kListener, kConnection, kConnecting, kLingering };
  struct Slot {
    int fd = -1;
    Kind kind = Kind::kFree;
    bool held = false;      // read no further: the bytes stay in the kernel
    bool missed = false;    // something came while it was held, and epoll has told so
    bool awaiting = false;  // JavaScript wants to hear when the kernel takes bytes again
    bool ended = false;     // FIN was told
    uint32_t interest = 0;  // what epoll has been asked for
  };
  // The part that libuv refers to; it outlives the wrapper until uv_close has ended.
  struct Watch {
    uv_poll_t poll;
    Reactor* reactor;  // null once stopped
    napi_async_cleanup_hook_handle hook;
  };

  // Calls from JavaScript, documented in src/native.ts.
  Napi::Value Listen(const Napi::CallbackInfo& info);
  Napi::Value Adopt(const Napi::CallbackInfo& info);
  Napi::Value Connect(const Napi::CallbackInfo& info);
  Napi::Value AlignWith(const Napi::CallbackInfo& info);
  Napi::Value Send(const Napi::CallbackInfo& info);
  Napi::Value AwaitWritable(const Napi::CallbackInfo& info);
  Napi::Value Descriptor(const Napi::CallbackInfo& info);
  Napi::Value Local(const Napi::CallbackInfo& info);
  Napi::Value Quiet(const Napi::CallbackInfo& info);
  Napi::Value Hold(const Napi::CallbackInfo& info);
  Napi::Value Release(const Napi::CallbackInfo& info);
  Napi::Value Pause(const Napi::CallbackInfo& info);
  Napi::Value Resume(const Napi::CallbackInfo& info);
  Napi::Value Take(const Napi::CallbackInfo& info);
  Napi::Value Linger(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value Stop(const Napi::CallbackInfo& info);

  static void OnReadable(uv_poll_t* poll, int status, int events);
  static void OnEnvironmentExit(napi_async_cleanup_hook_handle hook, void* data);

  void Turn();
  void AcceptFrom(int slot);
  void MoveOn(int slot, uint32_t events);
  void TellWritable(int slot);
  void Withhold(int slot, uint32_t events, bool nothing_read);
  void ReadFrom(int slot, uint32_t events);
  void FinishConnect(int slot);
  void DrainLingering(int slot);
  bool Drained(int slot);
  void Emit(int event, int slot, int value, size_t length);
  void EnsureRoom();
  void Deliver();

  Slot* At(const Napi::CallbackInfo& info, Kind kind);
  int DescriptorOf(const Napi::Value& slot) const;
  int Register(int fd, Kind kind, uint32_t events);
  void SetInterest(int slot, uint32_t events);
  void Free(int slot);
  void CloseAll();

  int epoll_ = -1;
  Watch* watch_ = nullptr;
  std::vector<Slot> slots_;
  std::vector<int> free_;
  // Slots freed while a batch is under way stay unused until it ends, so that an event which
  // was collected for the old connection cannot reach a new one.
  std::vector<int> freed_in_turn_;
  bool in_turn_ = false;

  int32_t* records_ = nullptr;
  size_t capacity_ = 0;  // records
  size_t count_ = 0;
  uint8_t* bytes_ = nullptr;
  size_t bytes_size_ = 0;
  size_t bytes_used_ = 0;
  size_t read_size_ = kReadSize;
  Napi::Reference<Napi::TypedArray> records_reference_;
  Napi::Reference<Napi::TypedArray> bytes_reference_;
  Napi::ObjectReference quota_reference_;
  Quota* quota_ = nullptr;  // where the listeners take their seats; null: there is no limit
  std::weak_ptr<FlowTable> table_;  // prepares connections whose client is named; gone: nothing does
  Napi::FunctionReference on_batch_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

void InitReactor(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
