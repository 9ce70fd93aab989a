// SPDX-License-Identifier: MIT
#include "quota.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "error.h"

namespace symsplice {

// The pools of the process. The only state that environments share: that is its purpose.
Quota::Pools& Quota::AllPools() {
  static Pools pools;
  return pools;
}

std::shared_ptr<Quota::Table> Quota::NewTable() {
  Pools& pools = AllPools();
  std::lock_guard<std::mutex> lock(pools.mutex);
  std::erase_if(pools.tables, [](const auto& entry) { return entry.second.expired(); });
  auto table = std::make_shared<Table>(pools.next++);
  pools.tables.emplace(table->pool, table);
  return table;
}

std::shared_ptr<Quota::Table> Quota::FindTable(uint32_t pool) {
  Pools& pools = AllPools();
  std::lock_guard<std::mutex> lock(pools.mutex);
  const auto found = pools.tables.find(pool);
  return found == pools.tables.end() ? nullptr : found->second.lock();
}

// With the lock held, so that no Wake in the list can be on its way out.
void Quota::Table::Relieve() {
  if (waiting.empty() || static_cast<double>(seats) >= seat_limit) return;
  for (Wake* wake : waiting) uv_async_send(&wake->async);
  waiting.clear();
}

void Quota::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Quota", DefineClass(env, "Quota",
                                   {
                                       InstanceMethod<&Quota::Pool>("pool"),
                                       InstanceMethod<&Quota::Seats>("seats"),
                                       InstanceMethod<&Quota::LimitSeats>("limitSeats"),
                                       InstanceMethod<&Quota::LeaveSeat>("leaveSeat"),
                                       InstanceMethod<&Quota::Enter>("enter"),
                                       InstanceMethod<&Quota::Leave>("leave"),
                                       InstanceMethod<&Quota::Close>("close"),
                                   }));
}

// new Quota(pool | undefined, onRelieved)
Quota::Quota(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Quota>(info) {
  Napi::Env env = info.Env();
  if (info.Length() < 2 || !info[1].IsFunction()) {
    ThrowType(env, "Quota(pool: number | undefined, onRelieved: function)");
    return;
  }
  table_ = info[0].IsNumber() ? FindTable(info[0].As<Napi::Number>().Uint32Value()) : NewTable();
  if (table_ == nullptr) {
    ThrowErrno(env, ENOENT, "quota");
    return;
  }
  on_relieved_ = Napi::Persistent(info[1].As<Napi::Function>());
  context_ = std::make_unique<Napi::AsyncContext>(env, "symsplice:quota");
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  wake_ = new Wake{};
  wake_->quota = this;
  wake_->async.data = wake_;
  uv_async_init(loop, &wake_->async, [](uv_async_t* async) {
    auto* wake = static_cast<Wake*>(async->data);
    if (wake->quota != nullptr) wake->quota->Relieved();
  });
  uv_unref(reinterpret_cast<uv_handle_t*>(&wake_->async));
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle, void* data) {
        auto* wake = static_cast<Wake*>(data);
        if (wake->quota != nullptr) wake->quota->Shut();
      },
      wake_, &wake_->hook);
}

Quota::~Quota() { Shut(); }

// Nobody signals any more once this has the lock. Idempotent.
void Quota::Shut() {
  if (wake_ == nullptr) return;
  {
    std::lock_guard<std::mutex> lock(table_->mutex);
    std::erase(table_->waiting, wake_);
  }
  wake_->quota = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&wake_->async), [](uv_handle_t* handle) {
    auto* wake = static_cast<Wake*>(handle->data);
    napi_remove_async_cleanup_hook(wake->hook);
    delete wake;
  });
  wake_ = nullptr;
}

bool Quota::TakeSeat() {
  std::lock_guard<std::mutex> lock(table_->mutex);
  if (static_cast<double>(table_->seats) < table_->seat_limit) {
    table_->seats++;
    return true;
  }
  auto& waiting = table_->waiting;
  if (wake_ != nullptr && std::find(waiting.begin(), waiting.end(), wake_) == waiting.end()) {
    waiting.push_back(wake_);
  }
  return false;
}

void Quota::LeaveSeat() {
  std::lock_guard<std::mutex> lock(table_->mutex);
  if (table_->seats > 0) table_->seats--;
  table_->Relieve();
}

void Quota::Relieved() {
  Napi::HandleScope scope(Env());
  CallFromEvent(Env(), on_relieved_, {}, *context_);
}

Napi::Value Quota::Pool(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), table_->pool);
}

Napi::Value Quota::Seats(const Napi::CallbackInfo& info) {
  std::lock_guard<std::mutex> lock(table_->mutex);
  return Napi::Number::New(info.Env(), static_cast<double>(table_->seats));
}

Napi::Value Quota::LimitSeats(const Napi::CallbackInfo& info) {
  std::lock_guard<std::mutex> lock(table_->mutex);
  table_->seat_limit = info[0].As<Napi::Number>().DoubleValue();
  table_->Relieve();
  return info.Env().Undefined();
}

Napi::Value Quota::LeaveSeat(const Napi::CallbackInfo& info) {
  LeaveSeat();
  return info.Env().Undefined();
}

// enter(key, limit) -> false, counting nothing, when there are `limit` under that key.
Napi::Value Quota::Enter(const Napi::CallbackInfo& info) {
  std::string key = info[0].As<Napi::String>().Utf8Value();
  const double limit = info[1].As<Napi::Number>().DoubleValue();
  std::lock_guard<std::mutex> lock(table_->mutex);
  const auto found = table_->counts.find(key);
  const uint32_t count = found == table_->counts.end() ? 0 : found->second;
  const bool entered = count < limit;
  if (entered) {
    if (count == 0) {
      table_->counts.emplace(std::move(key), 1);
    } else {
      found->second++;
    }
  }
  return Napi::Boolean::New(info.Env(), entered);
}

Napi::Value Quota::Leave(const Napi::CallbackInfo& info) {
  const std::string key = info[0].As<Napi::String>().Utf8Value();
  std::lock_guard<std::mutex> lock(table_->mutex);
  const auto found = table_->counts.find(key);
  if (found != table_->counts.end() && --found->second == 0) table_->counts.erase(found);
  return info.Env().Undefined();
}

Napi::Value Quota::Close(const Napi::CallbackInfo& info) {
  Shut();
  return info.Env().Undefined();
}

void InitQuota(Napi::Env env, Napi::Object exports) { Quota::Init(env, exports); }

}  // namespace symsplice
