// SPDX-License-Identifier: MIT
// Stage relay: one direction of a flow, from one socket to the other.
//
// Runs on its relay loop's thread only; the counter may be read from any. It starts by copying
// through the loop's buffer and goes over to splice(2) once the direction proves bulky: below
// a few KiB a copy is cheaper than a pipe (HAProxy and 3proxy found the same).
//
// Readiness is edge-triggered, so `readable` and `writable` are what is known, not what epoll
// says now: an event sets them, only EAGAIN clears them.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "pipe_pool.h"

namespace symsplice {

// What a half is lent for one turn by its loop.
struct Workspace {
  PipePool* pipes;
  std::vector<uint8_t> buffer;   // copies go through here
  uint64_t splice_after;         // bytes of a direction before splice(2); UINT64_MAX: never
  bool small_only = false;       // a half that has grown is not served: it moves on
};

class Half {
 public:
  enum class Result {
    kBlocked,     // waits for an event
    kYield,       // has used its turn, or grown too big for this loop, and could go on
    kEnded,       // the source's FIN was read, and every byte before it written
    kLimited,     // the bound was reached, and every byte before it written
    kFromFailed,  // error(): reading failed
    kToFailed,    // error(): writing failed
  };

  Half(int from, int to) : from_(from), to_(to) {}
  ~Half();
  Half(const Half&) = delete;
  Half& operator=(const Half&) = delete;

  // Bytes to be written before anything is read. `counted` ones belong to the stream.
  void Prefix(std::span<const uint8_t> bytes, bool counted);
  // Reads at most `bytes` from the source, prefixed counted bytes included.
  void Limit(uint64_t bytes) { left_ = bytes; }

  // Moves until something blocks, ends or fails, or the turn's share is used up.
  Result Move(Workspace* workspace);

  int error() const { return error_; }
  bool pending() const { return in_pipe_ > 0 || held_.size() > held_done_; }
  // Read or prefixed, and still to be written.
  size_t pending_bytes() const { return in_pipe_ + held_.size() - held_done_; }
  // Bytes of the stream that have left the source, written or not.
  uint64_t taken() const { return moved() + pending_bytes() - uncounted_; }
  // It has shown to carry much: reads fill the buffer, and enough was read for splice(2).
  bool grown(uint64_t splice_after) const { return bulky_ && read_ >= splice_after; }
  // Bytes of the stream that `to` has taken.
  uint64_t moved() const { return moved_.load(std::memory_order_relaxed); }

  bool readable = false;
  bool writable = true;
  // The source announced FIN, an error or urgent data: a short read no longer means "empty".
  bool attentive = false;
  // The source's connection is broken. Reading tells it too, but not while the target is blocked,
  // and not behind a FIN.
  bool broken = false;

 private:
  enum class Flow { kGo, kBlocked, kFailed };

  Flow WriteHeld();
  Flow WritePipe(PipePool* pipes);
  // > 0 bytes read, 0 end of stream, < 0 a negative errno
  ssize_t ReadByCopy(Workspace* workspace);
  ssize_t ReadBySplice(Workspace* workspace);
  Flow WriteFailed(int error);
  void Count(size_t bytes);

  const int from_;
  const int to_;
  Pipe pipe_;
  size_t in_pipe_ = 0;
  std::vector<uint8_t> held_;  // read or prefixed, not yet written
  size_t held_done_ = 0;
  size_t uncounted_ = 0;       // of the bytes written next, how many are not of the stream
  uint64_t left_ = UINT64_MAX;
  uint64_t read_ = 0;
  bool bulky_ = false;
  bool ended_ = false;
  int error_ = 0;
  std::atomic<uint64_t> moved_{0};
};

}  // namespace symsplice
