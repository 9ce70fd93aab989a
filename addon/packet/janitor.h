// SPDX-License-Identifier: MIT
// Stages relay and teardown of flows without sockets: the thread that hears of their ends, sweeps
// the slots, and closes sockets that are not needed any more. The table's; it decides nothing.
#pragma once

#include <bpf/libbpf.h>

#include <atomic>
#include <thread>

namespace symsplice {

class PacketTable;

class Janitor {
 public:
  explicit Janitor(PacketTable* table) : table_(table) {}
  // Joins the thread.
  ~Janitor();
  Janitor(const Janitor&) = delete;
  Janitor& operator=(const Janitor&) = delete;

  // 0, or the errno with which starting failed.
  int Start(int events_fd);
  // Any thread: there is something to close soon.
  void Wake();

 private:
  void Run();

  PacketTable* table_;
  ring_buffer* events_ = nullptr;
  int wake_ = -1;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace symsplice
