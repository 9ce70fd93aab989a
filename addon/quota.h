// SPDX-License-Identifier: MIT
// Stage accept: how many connections there are, in all and under a key (a client, a user),
// counted over all threads that share a pool.
//
// Each server has its own Quota; Quotas with the same pool number share one table. A seat is
// taken before a connection is accepted, so a full server accepts not one too many however many
// threads listen. The table goes with the last Quota of its pool. A thread that dies keeps what
// it held: the server does not go on without it.
#pragma once

#include <napi.h>
#include <uv.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace symsplice {

class Quota : public Napi::ObjectWrap<Quota> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit Quota(const Napi::CallbackInfo& info);
  ~Quota() override;

  // For the reactor, on the JavaScript thread. False: there is none, and the owner's onRelieved
  // will be called when that may have changed.
  bool TakeSeat();
  void LeaveSeat();

 private:
  // What libuv refers to; it outlives the wrapper until uv_close has ended.
  struct Wake {
    uv_async_t async;
    Quota* quota;  // null once closed
    napi_async_cleanup_hook_handle hook;
  };
  struct Table {
    explicit Table(uint32_t pool_number) : pool(pool_number) {}
    void Relieve();

    const uint32_t pool;
    std::mutex mutex;  // guards everything below
    double seat_limit = std::numeric_limits<double>::infinity();
    uint64_t seats = 0;
    std::unordered_map<std::string, uint32_t> counts;
    std::vector<Wake*> waiting;  // were refused a seat; signalled, all, when one becomes free
  };
  struct Pools {
    std::mutex mutex;
    uint32_t next = 1;
    std::unordered_map<uint32_t, std::weak_ptr<Table>> tables;
  };
  static Pools& AllPools();
  static std::shared_ptr<Table> NewTable();
  static std::shared_ptr<Table> FindTable(uint32_t pool);

  // Calls from JavaScript, documented in src/native.ts.
  Napi::Value Pool(const Napi::CallbackInfo& info);
  Napi::Value Seats(const Napi::CallbackInfo& info);
  Napi::Value LimitSeats(const Napi::CallbackInfo& info);
  Napi::Value LeaveSeat(const Napi::CallbackInfo& info);
  Napi::Value Enter(const Napi::CallbackInfo& info);
  Napi::Value Leave(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  void Relieved();
  void Shut();

  std::shared_ptr<Table> table_;
  Wake* wake_ = nullptr;
  Napi::FunctionReference on_relieved_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

void InitQuota(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
