// SPDX-License-Identifier: MIT
// Stage teardown: the thread that hears of the module's events. The table's; it decides nothing.
#pragma once

#include <atomic>
#include <thread>

namespace symsplice {

class ModuleTable;

class ModuleWatch {
 public:
  explicit ModuleWatch(ModuleTable* table) : table_(table) {}
  // Joins the thread.
  ~ModuleWatch();
  ModuleWatch(const ModuleWatch&) = delete;
  ModuleWatch& operator=(const ModuleWatch&) = delete;

  // Owns `events` from the call on. 0, or the errno with which starting failed.
  int Start(int events);

 private:
  void Run();
  // True: some were lost.
  bool Read();
  void Search();

  ModuleTable* table_;
  int events_ = -1;
  int wake_ = -1;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace symsplice
