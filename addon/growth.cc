// SPDX-License-Identifier: MIT
#include "growth.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "error.h"

namespace symsplice {
namespace {

// Of the whole process: workers have addons of their own, but these are the same for all.
struct Table {
  std::mutex mutex;
  uint64_t next = 1;
  std::unordered_map<uint64_t, std::weak_ptr<Growth>> growths;
};

Table& TheTable() {
  static Table* const table = new Table;  // never freed: threads may outlive static destructors
  return *table;
}

}  // namespace

std::shared_ptr<Growth> Growth::Make(uint64_t filled) {
  Table& table = TheTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  const uint64_t number = table.next++;
  std::shared_ptr<Growth> growth(new Growth(number, filled));
  table.growths.emplace(number, growth);
  return growth;
}

std::shared_ptr<Growth> Growth::Find(uint64_t number) {
  Table& table = TheTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  const auto found = table.growths.find(number);
  return found == table.growths.end() ? nullptr : found->second.lock();
}

Growth::~Growth() {
  Table& table = TheTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  table.growths.erase(number_);
}

void Growth::Advance(uint64_t filled) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (filled <= filled_.load(std::memory_order_relaxed)) return;
  filled_.store(filled, std::memory_order_release);
  Tell();
}

void Growth::End(bool complete) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (state() != State::kGrowing) return;
  state_.store(complete ? State::kComplete : State::kFailed, std::memory_order_release);
  Tell();
}

void Growth::Tell() {
  for (const Waiting& waiting : waiting_) waiting.watcher->Grown(waiting.id);
  waiting_.clear();
}

bool Growth::Await(uint64_t beyond, GrowthWatcher* watcher, uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (state() != State::kGrowing || filled() > beyond) return false;
  waiting_.push_back({watcher, id});
  return true;
}

void Growth::Forget(const GrowthWatcher* watcher, uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::erase_if(waiting_, [&](const Waiting& waiting) {
    return waiting.watcher == watcher && waiting.id == id;
  });
}

namespace {

// JavaScript's hold on a growth: new Growth(filled). Left to the collector without an end, it
// fails, so that nobody waits for ever.
class GrowthObject : public Napi::ObjectWrap<GrowthObject> {
 public:
  static void Init(Napi::Env env, Napi::Object exports) {
    exports.Set("Growth", DefineClass(env, "Growth",
                                      {
                                          InstanceMethod<&GrowthObject::Number>("number"),
                                          InstanceMethod<&GrowthObject::Filled>("filled"),
                                          InstanceMethod<&GrowthObject::Advance>("advance"),
                                          InstanceMethod<&GrowthObject::End>("end"),
                                      }));
  }

  explicit GrowthObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GrowthObject>(info) {
    growth_ = Growth::Make(CountOf(info[0]));
  }

  ~GrowthObject() override {
    if (growth_ != nullptr) growth_->End(false);
  }

 private:
  static uint64_t CountOf(const Napi::Value& value) {
    const double count = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
    return std::isfinite(count) && count > 0 ? static_cast<uint64_t>(count) : 0;
  }

  Napi::Value Number(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(growth_->number()));
  }

  Napi::Value Filled(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(growth_->filled()));
  }

  Napi::Value Advance(const Napi::CallbackInfo& info) {
    growth_->Advance(CountOf(info[0]));
    return info.Env().Undefined();
  }

  Napi::Value End(const Napi::CallbackInfo& info) {
    growth_->End(info[0].ToBoolean().Value());
    return info.Env().Undefined();
  }

  std::shared_ptr<Growth> growth_;
};

}  // namespace

void InitGrowth(Napi::Env env, Napi::Object exports) { GrowthObject::Init(env, exports); }

}  // namespace symsplice
