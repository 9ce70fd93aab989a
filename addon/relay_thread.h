// SPDX-License-Identifier: MIT
// Stages relay and teardown of the backends that move bytes through this process: one epoll
// thread and the flows it owns. Everything but Add, End, Stop and the counters happens in the
// thread itself, so flows need no locks.
//
// Every event has an owner: epoll is edge-triggered, an event only marks a half as readable or
// writable and puts its flow on the ready list, and a flow leaves that list only when both
// halves wait for an event (h2o #3075 and sozu #1323 are what happens otherwise).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "half.h"
#include "report_queue.h"

namespace symsplice {

// Two connections and what moves between them.
struct Flow {
  // What epoll hands back: which flow, which of its sockets.
  struct Side {
    Flow* flow;
    bool is_client;
  };

  Flow(uint64_t id, int client, int upstream)
      : id(id), client(client), upstream(upstream), up(client, upstream), down(upstream, client) {}

  const uint64_t id;
  const int client;
  const int upstream;
  Half up;
  Half down;
  bool up_open = true;    // this direction still moves
  bool down_open = true;
  bool bounded = false;   // one direction, to a limit; the sockets are only lent to us
  uint64_t idle_ms = 0;   // 0: never
  Side client_side{this, true};
  Side upstream_side{this, false};
  bool taken = false;     // the thread knows it
  bool ready = false;     // is on the ready list
  bool over = false;      // is on the finished list: do not touch again
  uint64_t started_ms = 0;
  // Read by the JavaScript thread.
  std::atomic<uint64_t> active_ms{0};
  std::atomic<int> state{0};  // enum splice_flow_state
};

class RelayThread {
 public:
  struct Settings {
    size_t pipe_size;
    uint64_t splice_after;
  };

  RelayThread(const Settings& settings, ReportQueue* reports);
  // Ends every flow without a report: descriptors are closed, pipes too.
  ~RelayThread();
  RelayThread(const RelayThread&) = delete;
  RelayThread& operator=(const RelayThread&) = delete;

  // Any thread. 0, or the errno with which starting the thread failed.
  int Start();
  void Add(std::unique_ptr<Flow> flow);
  // Ends a flow by RST to both sides; ignored when it is gone.
  void End(uint64_t id);
  // False when the flow is gone. out: bytes up, bytes down, state, ms since the last byte.
  bool Counters(uint64_t id, double out[4]);
  size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  void Run();
  void Signal();
  void TakeIncoming();
  void Mark(const Flow::Side& side, uint32_t events);
  void Enqueue(Flow* flow);
  void Work(Flow* flow);
  // Moves one direction; true when the flow is over.
  bool Advance(Flow* flow, Half* half, bool* open, bool is_up);
  void Finish(Flow* flow, int reason, int error);
  void ExpireIdle();
  int Timeout() const;

  Workspace workspace_;
  PipePool pipes_;
  ReportQueue* reports_;
  int epoll_ = -1;
  int wake_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> signalled_{false};
  std::atomic<size_t> size_{0};
  uint64_t now_ms_ = 0;
  uint64_t next_scan_ms_ = 0;
  uint64_t scan_every_ms_ = 1000;

  std::mutex mutex_;  // guards the three below
  std::unordered_map<uint64_t, std::unique_ptr<Flow>> flows_;
  std::vector<Flow*> incoming_;
  std::vector<uint64_t> ending_;

  std::vector<Flow*> ready_;
  std::vector<Flow*> finished_;
};

}  // namespace symsplice
