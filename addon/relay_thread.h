// SPDX-License-Identifier: MIT
// Stage relay: a relay loop in a thread of its own. Other threads give it orders through a queue.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "relay_loop.h"

namespace symsplice {

class RelayThread {
 public:
  RelayThread(const RelaySettings& settings, ReportQueue* reports) : loop_(settings, reports) {}
  // Joins the thread and ends every flow without a report.
  ~RelayThread();
  RelayThread(const RelayThread&) = delete;
  RelayThread& operator=(const RelayThread&) = delete;

  // 0, or the errno with which starting failed.
  int Start();

  // Any thread from here on.
  void Add(std::unique_ptr<Flow> flow);
  // Ends a flow by RST to both sides; ignored when it is gone.
  void End(uint64_t id);
  bool Has(uint64_t id) { return loop_.Has(id); }
  bool Counters(uint64_t id, FlowWords* out) { return loop_.Counters(id, out); }
  bool Detail(uint64_t id, DetailWords* out) { return loop_.Detail(id, out); }
  size_t size() const { return loop_.size(); }

 private:
  void Run();
  void Signal();
  void TakeOrders();

  RelayLoop loop_;
  int wake_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> signalled_{false};

  std::mutex mutex_;  // guards the orders
  std::vector<Flow*> admitting_;
  std::vector<uint64_t> ending_;
};

}  // namespace symsplice
