// SPDX-License-Identifier: MIT
// Stages relay and teardown of the splice backend: an epoll set and the flows in it. It runs on
// one thread, whichever calls Turn(): a relay thread (relay_thread.h), or JavaScript's own for
// flows that are young and small (relay_inline.h). Flows need no locks.
//
// Every event has an owner: epoll is edge-triggered, an event only marks a half as readable or
// writable and puts its flow on the ready list, and a flow leaves that list only when both
// halves wait for an event (h2o #3075 and sozu #1323 are what happens otherwise).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "half.h"
#include "report_queue.h"
#include "transit.h"

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
  bool bounded = false;   // one direction, to a limit; ours are duplicates of lent sockets
  bool read_before = false;  // by somebody else, perhaps up to a FIN
  uint64_t idle_ms = 0;   // 0: never
  uint64_t started_ms = 0;  // 0: not begun
  Side client_side{this, true};
  Side upstream_side{this, false};
  bool ready = false;     // is on the ready list
  bool leaving = false;   // is on the leaving list
  bool over = false;      // is on the finished list: do not touch again
  bool client_watched = false;    // is in the epoll set
  bool upstream_watched = false;
  std::unique_ptr<Transit> transit;  // null: the pump carries it to its end
  uint64_t poll_ms = 0;              // when `transit` is asked again; 0: it is not on the timers
  // Read by the JavaScript thread.
  std::atomic<uint64_t> active_ms{0};
  std::atomic<int> state{0};  // enum splice_flow_state
};

struct RelaySettings {
  size_t pipe_size;       // bytes asked of each pipe
  uint64_t splice_after;  // bytes of a direction before splice(2)
  TransitPolicy transit;  // which flows a table takes over
};

class RelayLoop {
 public:
  RelayLoop(const RelaySettings& settings, ReportQueue* reports);
  // Ends every flow without a report: by RST to both sides.
  ~RelayLoop();
  RelayLoop(const RelayLoop&) = delete;
  RelayLoop& operator=(const RelayLoop&) = delete;

  // 0, or the errno with which the epoll set could not be made.
  int Open();
  int epoll() const { return epoll_; }

  // Any thread: the flow is known, and found by Counters(). Admit() must follow in the loop's.
  Flow* Insert(std::unique_ptr<Flow> flow);
  // False when the flow is gone, or has been given up to a table.
  bool Counters(uint64_t id, FlowWords* out);
  // False also when no table carries the flow.
  bool Detail(uint64_t id, DetailWords* out);
  bool Has(uint64_t id);
  size_t size() const { return size_.load(std::memory_order_relaxed); }

  // The loop's own thread from here on.

  // Begins to carry a flow that was inserted.
  void Admit(Flow* flow);
  // Ends a flow by RST to both sides, also when it has gone from this thread to a table meanwhile;
  // false when it is not here.
  bool End(uint64_t id);
  // One wait and all that follows from it. `wake` is called when the descriptor that the caller
  // added to the epoll set with a null pointer is readable.
  template <typename Wake>
  void Turn(int timeout_ms, Wake wake);
  // Frees flows that End() or Admit() finished between two turns; true when there were any.
  bool Reap();
  // How long the next wait may be, -1 for ever.
  int Timeout() const;

  // The flows that should leave this loop: bulky ones, and those that began before `before_ms`.
  // They are out of the epoll set and forgotten here.
  std::vector<std::unique_ptr<Flow>> TakeGrown(uint64_t before_ms);
  // The loop runs on the JavaScript thread: bulky flows are put aside for TakeGrown() instead of
  // served, and whoever runs the loop delivers its reports.
  void set_inline() { inline_ = workspace_.small_only = true; }

  static uint64_t NowMs();

 private:
  int Wait(int timeout_ms);
  void Mark(const Flow::Side& side, uint32_t events);
  void Serve();
  void Enqueue(Flow* flow);
  void Work(Flow* flow);
  // Moves one direction; true when the flow is over.
  bool Advance(Flow* flow, Half* half, bool* open, bool is_up);
  void Unwatch(Flow* flow);
  void Finish(Flow* flow, int reason, int error);
  void ExpireIdle();

  // relay_transit.cc: flows on their way from the pump to a table.
  void TryTransit(Flow* flow);
  void Install(Flow* flow);
  void PayDebts(Flow* flow);
  void PollTransits();
  void StepTransit(Flow* flow);
  static bool RelayedStill(Flow* flow);
  uint64_t IdleSince(const Flow& flow) const;
  void GiveUpSockets(Flow* flow);
  void Arm(Flow* flow, uint64_t due_ms);
  void Forget(Flow* flow);

  static constexpr int kEvents = 256;

  Workspace workspace_;
  PipePool pipes_;
  ReportQueue* reports_;
  int epoll_ = -1;
  const TransitPolicy& policy_;
  bool inline_ = false;
  std::atomic<size_t> size_{0};
  uint64_t now_ms_ = 0;
  uint64_t next_scan_ms_ = UINT64_MAX;  // never
  std::set<std::pair<uint64_t, Flow*>> timers_;  // whose transits are to be asked, and when

  std::mutex mutex_;  // guards the map, not the flows in it
  std::unordered_map<uint64_t, std::unique_ptr<Flow>> flows_;

  std::vector<Flow*> ready_;
  std::vector<Flow*> turn_;
  std::vector<Flow*> leaving_;
  std::vector<Flow*> finished_;
  struct Collected {
    void* pointer;
    uint32_t events;
  };
  std::vector<Collected> collected_;
};

template <typename Wake>
void RelayLoop::Turn(int timeout_ms, Wake wake) {
  const int n = Wait(timeout_ms);
  for (int i = 0; i < n; i++) {
    if (collected_[i].pointer == nullptr) {
      wake();
    } else {
      Mark(*static_cast<Flow::Side*>(collected_[i].pointer), collected_[i].events);
    }
  }
  Serve();
}

}  // namespace symsplice
