// SPDX-License-Identifier: MIT
// Stages relay and teardown of bodies: a thread, its epoll set and the bodies in it.
//
// Apart from the relay threads (relay_thread.h), for bodies touch files. A write to a regular file
// knows no EAGAIN: when the disk is behind the kernel lets the writer sleep, and four seconds in
// one call have been measured. So bodies that go into a file are given threads of their own by
// tap.cc, where only their like wait with them; a pool of threads for the writes alone would cost
// two wake-ups a pipe, and would help nobody, since a body must not run ahead of its file. All
// other bodies have threads that do not sleep: reading from a file can be kept from it
// (file_reader.h). Like a relay loop a tap thread owns its bodies alone; other threads queue
// orders and read counters.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "pipe_pool.h"
#include "report_queue.h"
#include "tap_body.h"

namespace symsplice {

struct TapSettings {
  size_t pipe_size;       // bytes asked of each pipe
  size_t wide_pipe_size;  // of those that are tapped
};

using TapWords = std::array<double, 3>;  // bytes taken, written, sent

class TapThread : public GrowthWatcher {
 public:
  TapThread(const TapSettings& settings, ReportQueue* reports);
  // Stop() with what it left undone.
  ~TapThread();
  TapThread(const TapThread&) = delete;
  TapThread& operator=(const TapThread&) = delete;

  // 0, or the errno with which starting failed.
  int Start();
  // Joins the thread and ends every body without a report. What was lent is left as it is.
  void Stop();

  // Any thread from here on.
  void Add(TapOrder order);
  // False when the body is gone.
  bool Abort(uint64_t id);
  bool Counters(uint64_t id, TapWords* out);
  size_t size() const { return size_.load(std::memory_order_relaxed); }
  void Grown(uint64_t id) override;

 private:
  void Run();
  void Signal();
  void TakeOrders();
  TapBody* Find(uint64_t id);
  void Admit(TapBody* body);
  bool Watch(TapPart* part, uint32_t interest);
  void Enqueue(TapBody* body);
  void Serve(TapBody* body);
  // Reports what has ended of a body, and puts it aside when that is all.
  void Settle(TapBody* body);
  void ExpireIdle();
  void Reap();
  int Timeout() const;

  ReportQueue* const reports_;
  PipePool pipes_;
  PipePool wide_pipes_;
  TapWorkspace workspace_;
  int epoll_ = -1;
  int wake_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> signalled_{false};
  std::atomic<size_t> size_{0};
  uint64_t next_scan_ms_ = UINT64_MAX;  // never

  std::mutex mutex_;  // guards the map, not the bodies in it
  std::unordered_map<uint64_t, std::unique_ptr<TapBody>> bodies_;
  std::mutex orders_mutex_;  // guards the orders; a growth's lock may be held around it
  std::vector<TapBody*> admitting_;
  std::vector<uint64_t> aborting_;
  std::vector<uint64_t> grown_;

  std::vector<TapBody*> ready_;
  std::vector<TapBody*> turn_;
  std::vector<TapBody*> retrying_;  // they wait for a disk
  std::vector<TapBody*> finished_;
};

}  // namespace symsplice
