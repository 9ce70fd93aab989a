// SPDX-License-Identifier: MIT
// Stages relay and teardown of the sockmap backend: the thread that watches its flows.
//
// The verdict program moves the bytes; this thread copies those it left, passes FIN and RST on,
// and counts time. Like addon/relay_thread.h it owns its flows alone and lets every event only
// mark a direction. What differs: a direction may have to wait for the kernel's worker, which
// tells nobody when it is done; such flows are asked again, at growing intervals.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "report_queue.h"
#include "sockmap_half.h"

namespace symsplice {

struct SockmapFlow {
  struct Side {
    SockmapFlow* flow;
    bool is_client;
  };
  // A direction and what its thread knows of it.
  struct Direction {
    SockmapHalf half;
    bool open = true;
    uint64_t retry_at_us = 0;  // 0: waits for nothing but events
    uint64_t retry_us = 0;
  };

  SockmapFlow(uint64_t id, int client, int upstream, const SockmapMaps& maps)
      : id(id), client(client), upstream(upstream), up{{maps, client, upstream}},
        down{{maps, upstream, client}} {}

  const uint64_t id;
  const int client;
  const int upstream;
  Direction up;
  Direction down;
  uint64_t idle_ms = 0;  // 0: never
  Side client_side{this, true};
  Side upstream_side{this, false};
  bool ready = false;    // is on the ready list
  bool waiting = false;  // is on the waiting list
  bool over = false;     // is on the finished list: do not touch again
  uint64_t started_ms = 0;
  size_t place = 0;       // in the thread's list of live flows
  uint64_t activity = 0;  // sum at the last look
  std::atomic<uint64_t> active_ms{0};
  std::atomic<int> state{0};  // enum splice_flow_state
};

class SockmapThread {
 public:
  SockmapThread(const SockmapMaps& maps, ReportQueue* reports);
  // Ends every flow without a report: by RST to both sides, with its map entries removed.
  ~SockmapThread();
  SockmapThread(const SockmapThread&) = delete;
  SockmapThread& operator=(const SockmapThread&) = delete;

  // 0, or the errno with which starting the thread failed.
  int Start();
  // Inserts both sockets and takes the flow. An errno when the kernel refused: then nothing was
  // read, written or kept, and the sockets are the caller's as before.
  int Add(std::unique_ptr<SockmapFlow> flow);
  // Ends a flow by RST to both sides; ignored when it is gone.
  void End(uint64_t id);
  // False when the flow is gone. out: bytes up, bytes down, state, ms since the last byte, and of
  // the bytes those redirected up and down.
  bool Counters(uint64_t id, double out[6]);
  const SockmapMaps& maps() const { return maps_; }

 private:
  void Run();
  void Signal();
  void TakeIncoming();
  void Mark(const SockmapFlow::Side& side, uint32_t events);
  void Enqueue(SockmapFlow* flow);
  void Work(SockmapFlow* flow);
  // Moves one direction; true when the flow is over.
  bool Advance(SockmapFlow* flow, bool is_up);
  void Retry(SockmapFlow::Direction* direction);
  void AwaitRetry(SockmapFlow* flow);
  void Finish(SockmapFlow* flow, int reason, int error);
  void Scan();
  uint64_t WaitMicroseconds() const;  // UINT64_MAX: for ever

  const SockmapMaps maps_;
  Workspace workspace_;
  ReportQueue* reports_;
  int epoll_ = -1;
  int wake_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  uint64_t now_us_ = 0;
  uint64_t next_scan_us_ = 0;
  uint64_t scan_every_us_ = 1000000;

  std::mutex mutex_;  // guards the three below
  std::unordered_map<uint64_t, std::unique_ptr<SockmapFlow>> flows_;
  std::vector<SockmapFlow*> incoming_;
  std::vector<uint64_t> ending_;

  std::vector<SockmapFlow*> live_;  // what the thread knows and has not finished, in no order
  std::vector<SockmapFlow*> ready_;
  std::vector<SockmapFlow*> waiting_;  // flows with a retry_at_us
  std::vector<SockmapFlow*> finished_;
};

}  // namespace symsplice
