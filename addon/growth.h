// SPDX-License-Identifier: MIT
// Stage relay: how far a file has been filled, for those who send what is there already.
//
// One who fills (a TapBody with a source, or JavaScript) and any number who follow, on any threads
// of the process, workers' too: a growth has a number by which each of them finds it. What lies
// below `filled` is in the file for good and is never written again, so nobody needs a lock to
// send it. Whether a fill that has ended was good is for its owner to say, not for the one who
// moves the bytes: a file may be filled by several bodies, one behind the other.
#pragma once

#include <napi.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace symsplice {

// Who waits for growth. Called on any thread, under the growth's lock: only to queue an order.
class GrowthWatcher {
 public:
  virtual void Grown(uint64_t id) = 0;

 protected:
  ~GrowthWatcher() = default;
};

class Growth {
 public:
  enum class State : int { kGrowing, kComplete, kFailed };

  static std::shared_ptr<Growth> Make(uint64_t filled);
  // Null when nobody holds it any more.
  static std::shared_ptr<Growth> Find(uint64_t number);
  ~Growth();
  Growth(const Growth&) = delete;
  Growth& operator=(const Growth&) = delete;

  uint64_t number() const { return number_; }
  // Position in the file below which every byte is there. To be read after state(): what was
  // filled before the end is then seen.
  uint64_t filled() const { return filled_.load(std::memory_order_acquire); }
  State state() const { return state_.load(std::memory_order_acquire); }

  // Never backwards.
  void Advance(uint64_t filled);
  // The first end counts.
  void End(bool complete);

  // True: `watcher` is told once, when more than `beyond` is filled or the end has come. False:
  // it is so already. Not to be called again before the watcher was told.
  bool Await(uint64_t beyond, GrowthWatcher* watcher, uint64_t id);
  // After this the watcher is not told any more.
  void Forget(const GrowthWatcher* watcher, uint64_t id);

 private:
  struct Waiting {
    GrowthWatcher* watcher;
    uint64_t id;
  };

  Growth(uint64_t number, uint64_t filled) : number_(number), filled_(filled) {}
  void Tell();

  const uint64_t number_;
  std::atomic<uint64_t> filled_;
  std::atomic<State> state_{State::kGrowing};
  std::mutex mutex_;
  std::vector<Waiting> waiting_;
};

void InitGrowth(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
