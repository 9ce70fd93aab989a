// SPDX-License-Identifier: MIT
// Stage relay of the sockmap backend: one direction, most of it moved by bpf/sockmap.bpf.c.
//
// The verdict program redirects what it can and leaves the rest in the source's receive queue;
// this class copies that rest. Order is kept by taking turns, see include/splice/sockmap.h:
//   1. A byte can be read here only after the verdict has counted it as passed. From then on the
//      verdict passes everything, because `copied` in the map is behind.
//   2. Nothing is copied before all that was redirected earlier has entered the target's send
//      queue (Drained): the kernel sends redirected segments later, from a worker.
//   3. Only when the source is empty and all is written does Publish tell the verdict, which
//      redirects again when no byte was passed meanwhile: behind ours in the same queue.
//
// Two traps of the kernel are met here. recv() answers 0 as soon as FIN has come, also while
// passed bytes still wait for the kernel's worker: an end counts only when as many bytes were
// read as were passed. And that worker serves both directions of a socket in one queue, so that
// bytes passed on it wait behind bytes redirected to it: the target's send buffer is made as large
// as the bound on redirected bytes, and so the worker never has to wait for a slow peer.
//
// Insert and the counters may be used from the JavaScript thread; Work from the watcher only.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "half.h"
#include "splice/sockmap.h"

namespace symsplice {

// Descriptors of the maps, and the bound that new entries get.
struct SockmapMaps {
  int peers = -1;
  int halves = -1;
  int copied = -1;
  uint64_t limit = SPLICE_SOCKMAP_LIMIT_DEFAULT;
};

class SockmapHalf {
 public:
  enum class Result {
    kIdle,        // waits for an event
    kYield,       // has used its turn and could go on
    kDraining,    // waits for redirected bytes to reach the target: ask again soon
    kEnded,       // the source's FIN was seen, and every byte before it is with the target
    kFromFailed,  // error(): reading failed
    kToFailed,    // error(): writing failed
    kLost,        // the verdict could not help losing bytes: the stream has a hole
  };

  SockmapHalf(const SockmapMaps& maps, int from, int to)
      : maps_(maps), from_(from), to_(to), copy_(std::make_unique<Half>(from, to)) {}

  // Bytes to be written before anything is read; before Prepare only.
  void Prefix(std::span<const uint8_t> bytes, bool counted);

  // Makes the entries of this direction. 0 or an errno; then there are none.
  int Prepare();
  // Gives the source to the verdict's map of targets, `to` as its target. 0 or an errno.
  int Insert();
  // Removes all entries. Discards what the kernel still holds: only when drained, or for a reset.
  void Remove();

  Result Work(Workspace* workspace);

  // Events of the two sockets.
  void SourceEvent() { signalled_ = true; }
  void TargetEvent() { copy_->writable = true; }

  int error() const { return error_; }
  // Bytes of the stream that were handed to the target, by the verdict and by copying.
  uint64_t redirected() const;
  uint64_t moved() const { return redirected() + copied_.load(std::memory_order_relaxed); }
  // For the thread's look from time to time. `sum` grows while anything moves in the verdict or
  // here; `lost`: the verdict had to drop bytes (no memory, or a target that was just reset).
  struct Look {
    uint64_t sum;
    bool lost;
  };
  Look LookAt() const;
  // Bytes that have entered the target's send queue since the connection began.
  uint64_t Progress() const;

 private:
  bool Read(splice_sockmap_half* out) const;
  int StableProgress(uint64_t* out) const;
  // Bytes written to the target here, the reply included.
  uint64_t written() const { return reply_ + copied_.load(std::memory_order_relaxed); }
  bool Drained() const;
  Result End() const;
  void Account();
  void Publish();
  void WidenTarget();

  const SockmapMaps& maps_;
  const int from_;
  const int to_;
  uint64_t cookie_ = 0;  // of the source: the key of every entry
  uint64_t base_ = 0;    // Progress of the target at the hand-over
  uint64_t prefixed_ = 0;
  uint64_t reply_ = 0;   // of the prefixed, bytes that are not of the stream
  std::unique_ptr<Half> copy_;
  uint64_t copied_before_ = 0;          // by halves that took a false end for the end
  std::atomic<uint64_t> copied_{0};     // bytes of the stream
  bool copying_ = false;
  bool signalled_ = true;  // the source may have something: bytes may wait since before
  int error_ = 0;
};

// Why these two sockets cannot be carried by a sockmap, or nullptr. Looks only.
const char* RefuseSockmap(int client, int upstream);

}  // namespace symsplice
