// SPDX-License-Identifier: MIT
#include "tap.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include "arguments.h"
#include "error.h"
#include "socket.h"

namespace symsplice {
namespace {

double NumberOr(const Napi::Object& object, const char* key, double fallback) {
  const Napi::Value value = object.Get(key);
  return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : fallback;
}

uint64_t CountOr(const Napi::Object& object, const char* key, uint64_t fallback) {
  const double value = NumberOr(object, key, -1);
  return std::isfinite(value) && value >= 0 ? static_cast<uint64_t>(value) : fallback;
}

std::vector<uint8_t> CopyOf(const Napi::Value& value) {
  const auto bytes = BytesOf(value);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

// Duplicates of the descriptors that are lent; all or none.
class Tap::Lent {
 public:
  ~Lent() {
    for (const int fd : fds_) close(fd);
  }
  // The duplicate, -1 where there is none to lend, another negative errno.
  int Lend(int fd) {
    if (fd < 0) return -1;
    const int duplicate = DuplicateSocket(fd);
    if (duplicate < 0) {
      error_ = -duplicate;
      return -1;
    }
    fds_.push_back(duplicate);
    return duplicate;
  }
  int error() const { return error_; }
  void Keep() { fds_.clear(); }

 private:
  std::vector<int> fds_;
  int error_ = 0;
};

namespace {

// 0, or why a body cannot be written there: at places of our choosing, and to be read as well
// where a client may have to be sent it.
int RefuseFile(int file, bool to_client) {
  if (file < 0) return 0;
  const int flags = fcntl(file, F_GETFL);
  if (flags < 0) return errno;
  const int mode = flags & O_ACCMODE;
  if (mode == O_RDONLY || (to_client && mode == O_WRONLY)) return EBADF;
  return (flags & O_APPEND) != 0 ? EINVAL : 0;
}

}  // namespace

void Tap::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Tap", DefineClass(env, "Tap",
                                 {
                                     InstanceMethod<&Tap::Relay>("relay"),
                                     InstanceMethod<&Tap::Send>("send"),
                                     InstanceMethod<&Tap::Counters>("counters"),
                                     InstanceMethod<&Tap::Abort>("abort"),
                                     InstanceMethod<&Tap::Stop>("stop"),
                                 }));
}

// new Tap({ fillThreads, sendThreads, pipeSize, widePipeSize }, onReports)
Tap::Tap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Tap>(info) {
  Napi::Env env = info.Env();
  if (info.Length() < 2 || !info[0].IsObject() || !info[1].IsFunction()) {
    ThrowType(env, "Tap(settings: object, onReports: function)");
    return;
  }
  const auto settings = info[0].As<Napi::Object>();
  const TapSettings pipes{CountOr(settings, "pipeSize", 128 * 1024),
                          CountOr(settings, "widePipeSize", 1024 * 1024)};
  reports_ =
      std::make_unique<ReportQueue>(env, info[1].As<Napi::Function>(), [this] { StopThreads(); });
  int error = StartThreads(&fillers_, CountOr(settings, "fillThreads", 1), pipes);
  if (error == 0) {
    error = StartThreads(&senders_, CountOr(settings, "sendThreads", 1), pipes);
  }
  if (error != 0) {
    StopThreads();
    ThrowErrno(env, error, "tap thread");
    return;
  }
  Ref();  // running: not to be collected before stop()
}

int Tap::StartThreads(Threads* threads, size_t count, const TapSettings& settings) {
  for (size_t i = 0; i < std::max<size_t>(1, count); i++) {
    threads->push_back(std::make_unique<TapThread>(settings, reports_.get()));
    if (const int error = threads->back()->Start(); error != 0) return error;
  }
  return 0;
}

// relay(source, client, file, settings) -> id. -1: no client, no file.
Napi::Value Tap::Relay(const Napi::CallbackInfo& info) {
  TapOrder order;
  Lent lent;
  order.source = lent.Lend(info[0].As<Napi::Number>().Int32Value());
  order.client = lent.Lend(info[1].As<Napi::Number>().Int32Value());
  order.file = lent.Lend(info[2].As<Napi::Number>().Int32Value());
  if (lent.error() != 0) return ThrowErrno(info.Env(), lent.error(), "fcntl");
  if (order.source < 0) return ThrowErrno(info.Env(), EBADF, "source");
  if (const int error = RefuseFile(order.file, order.client >= 0); error != 0) {
    return ThrowErrno(info.Env(), error, "open");
  }
  const auto settings = info[3].As<Napi::Object>();
  order.head = CopyOf(settings.Get("head"));
  order.without_client = settings.Get("withoutClient").ToBoolean().Value();
  order.source_idle_ms = CountOr(settings, "sourceIdleMs", 0);
  Threads* const threads = order.file >= 0 ? &fillers_ : &senders_;
  return Start(info, threads, std::move(order), &lent);
}

// send(file, client, settings) -> id
Napi::Value Tap::Send(const Napi::CallbackInfo& info) {
  TapOrder order;
  Lent lent;
  order.file = lent.Lend(info[0].As<Napi::Number>().Int32Value());
  order.client = lent.Lend(info[1].As<Napi::Number>().Int32Value());
  if (lent.error() != 0) return ThrowErrno(info.Env(), lent.error(), "fcntl");
  if (order.client < 0) return ThrowErrno(info.Env(), EBADF, "client");
  if (order.file < 0) return ThrowErrno(info.Env(), EBADF, "file");
  return Start(info, &senders_, std::move(order), &lent);
}

// The rest of what both are told, and the thread with the fewest bodies.
Napi::Value Tap::Start(const Napi::CallbackInfo& info, Threads* threads, TapOrder order,
                       Lent* lent) {
  if (threads->empty()) return ThrowErrno(info.Env(), ESHUTDOWN, "tap");
  const auto settings = info[info.Length() - 1].As<Napi::Object>();
  order.id = next_++;
  order.offset = CountOr(settings, "offset", 0);
  order.length = CountOr(settings, "length", UINT64_MAX);
  order.prefix = CopyOf(settings.Get("prefix"));
  order.client_idle_ms = CountOr(settings, "clientIdleMs", 0);
  const uint64_t growth = CountOr(settings, "growth", 0);
  if (growth != 0) {
    order.growth = Growth::Find(growth);
    if (order.growth == nullptr) return ThrowErrno(info.Env(), ENOENT, "growth");
  }
  lent->Keep();
  const uint64_t id = order.id;
  for (const int fd : {order.source, order.client}) {
    if (fd < 0) continue;
    SetNoDelay(fd);
    // splice(2) asks the descriptor, not its own flag, whether it may wait for the socket.
    SetNonBlocking(fd);
  }
  // One report for each part.
  if (order.source >= 0) reports_->Hold();
  if (order.source >= 0 && order.file >= 0) reports_->Hold();
  if (order.client >= 0) reports_->Hold();
  (*std::min_element(threads->begin(), threads->end(),
                     [](const auto& a, const auto& b) { return a->size() < b->size(); }))
      ->Add(std::move(order));
  return Napi::Number::New(info.Env(), static_cast<double>(id));
}

Napi::Value Tap::Counters(const Napi::CallbackInfo& info) {
  const auto id = FlowIdOf(info[0]);
  auto out = info[1].As<Napi::Float64Array>();
  TapWords words;
  const auto has = [&](const auto& thread) { return thread->Counters(id, &words); };
  const bool found = out.ElementLength() >= words.size() &&
                     (std::any_of(fillers_.begin(), fillers_.end(), has) ||
                      std::any_of(senders_.begin(), senders_.end(), has));
  if (found) std::copy(words.begin(), words.end(), out.Data());
  return Napi::Boolean::New(info.Env(), found);
}

Napi::Value Tap::Abort(const Napi::CallbackInfo& info) {
  const auto id = FlowIdOf(info[0]);
  const auto aborts = [id](const auto& thread) { return thread->Abort(id); };
  if (!std::any_of(fillers_.begin(), fillers_.end(), aborts)) {
    std::any_of(senders_.begin(), senders_.end(), aborts);
  }
  return info.Env().Undefined();
}

Napi::Value Tap::Stop(const Napi::CallbackInfo& info) {
  if (reports_ != nullptr) {
    StopThreads();
    Unref();
  }
  return info.Env().Undefined();
}

// All threads first, their memory then: one that fills tells those that follow.
void Tap::StopThreads() {
  for (const auto& thread : fillers_) thread->Stop();
  for (const auto& thread : senders_) thread->Stop();
  fillers_.clear();
  senders_.clear();
  reports_.reset();
}

void InitTap(Napi::Env env, Napi::Object exports) { Tap::Init(env, exports); }

}  // namespace symsplice
