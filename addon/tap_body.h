// SPDX-License-Identifier: MIT
// Stage relay: the body of one message on its way from an origin's socket to a client's and, by a
// tap in between, into a file; or from a file to a client.
//
//   source --splice--> pipe --tee--> pipe --splice--> client
//                        \--splice--> file --sendfile--> client that has fallen behind
//
// Runs on its tap thread only; counters may be read from any. Its rules:
//
// 1. What was taken from the source goes into the file in the same turn, before anything more is
//    taken. So between two turns a body that is tapped holds no pipe and no buffer.
// 2. A client is teed only what comes next for it, and only when it can take some. What it did not
//    take at once, and all that follows while it is behind, it is sent from the file; the source
//    does not wait for it. Once it has caught up, it is teed again.
// 3. A file that takes no more ends the tap, not the body: from there on the client is given the
//    pipe itself, and the source waits for the client, as in a relay without a file.
// 4. Nothing beyond the body is taken from the source, and nothing of the client is read.
// 5. Source, file and client are three parts, and each ends, and is reported, by itself: an origin
//    is free for its next request while a slow client still reads.
// 6. A body that is cut never looks whole: until its client has all of it, a close of the client's
//    socket, by whomever, is a reset.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "file_reader.h"
#include "growth.h"
#include "pipe_pool.h"
#include "report_queue.h"

namespace symsplice {

class TapBody;

// How a part of a body ended. src/native.ts has the same numbers.
enum class TapEnd : int {
  kComplete = 0,  // all of the body
  kShort = 1,     // its source, file or growth ended before that
  kReset = 2,     // the connection broke; with the errno
  kIdle = 3,      // not a byte for its idle time
  kAborted = 4,   // by the caller
  kUnwanted = 5,  // nobody was left to take the bytes
  kError = 6,     // the file failed; with the errno
};

// Part numbers as reported. src/native.ts has the same.
enum class TapPartKind : int { kSource = 0, kFile = 1, kClient = 2 };

// One of a body's parts. A part that a body has not is as one that has ended and was reported.
struct TapPart {
  TapBody* body = nullptr;  // epoll hands back the part
  int fd = -1;
  bool open = false;
  bool reported = true;
  bool watched = false;  // is in the epoll set
  TapEnd end = TapEnd::kComplete;
  int error = 0;
  uint64_t idle_ms = 0;    // 0: never
  uint64_t active_ms = 0;  // of the last byte, or of the last look while none was due
};

// What a body is lent for one turn by its thread.
struct TapWorkspace {
  PipePool* pipes;       // for bodies without a file: a slow client holds one
  PipePool* wide_pipes;  // for taps, whose writes get cheaper with their size
  std::vector<uint8_t> buffer;  // copies go through here
  GrowthWatcher* watcher;
  uint64_t now_ms;
};

struct TapOrder {
  uint64_t id = 0;
  // Descriptors, owned; -1: there is none. Without a source the client is sent the file.
  int source = -1;
  int file = -1;
  int client = -1;
  uint64_t offset = 0;            // where in the file the body begins
  uint64_t length = UINT64_MAX;   // UINT64_MAX: to the end of the source, or of the growth
  std::vector<uint8_t> prefix;    // for the client alone, before the body; not counted
  std::vector<uint8_t> head;      // bytes of the body that were read from the source before
  std::shared_ptr<Growth> growth; // advanced with a source, followed without; may be null
  bool without_client = false;    // a client that is lost does not end the fill
  uint64_t source_idle_ms = 0;
  uint64_t client_idle_ms = 0;
};

class TapBody {
 public:
  // Takes the descriptors.
  explicit TapBody(TapOrder order);
  // Closes them, and what was in pipes is gone.
  ~TapBody();
  TapBody(const TapBody&) = delete;
  TapBody& operator=(const TapBody&) = delete;

  TapPart source;
  TapPart file;
  TapPart client;
  uint64_t started_ms = 0;  // 0: not begun
  bool ready = false;       // is on the ready list
  bool over = false;        // is on the finished list: do not touch again
  // When it wants its turn without an event, because a disk is slow to read; 0: it does not.
  uint64_t retry_ms = 0;
  bool retrying = false;    // is on the list of those

  uint64_t id() const { return id_; }

  // The first turn: what was read before is handed on.
  void Begin(TapWorkspace* workspace);
  // An event of one of its sockets.
  void Mark(const TapPart& part, uint32_t events);
  void MarkGrown() { awaiting_ = false; }
  // Moves until everything waits. True when it has used its turn up and could go on.
  bool Work(TapWorkspace* workspace);
  // Ends the parts that were idle too long. When the next one may be due; UINT64_MAX: none.
  uint64_t Expire(uint64_t now_ms);
  void Abort();
  // It cannot be watched: nothing of it begins.
  void Fail(int error);
  bool ended() const { return !source.open && !file.open && !client.open; }
  // After this nobody calls back: for one who follows a growth, before its thread is gone.
  void Leave(const GrowthWatcher* watcher);

  // The report of a part that has ended.
  ReportWords Report(TapPartKind kind, uint64_t now_ms) const;

  // Any thread. Bytes taken from the source, in the file, taken by the client's socket.
  uint64_t taken() const { return taken_.load(std::memory_order_relaxed); }
  uint64_t written() const { return written_.load(std::memory_order_relaxed); }
  uint64_t sent() const { return sent_.load(std::memory_order_relaxed); }

 private:
  void End(TapPart* part, TapEnd end, int error = 0);

  // tap_body.cc: from the source into the file.
  void Receive(TapWorkspace* workspace);
  bool WantsSource() const;
  // > 0 bytes, 0 end of stream, < 0 a negative errno
  ssize_t TakeByCopy(TapWorkspace* workspace);
  ssize_t TakeBySplice(TapWorkspace* workspace);
  void SourceEnded();
  void HandOn(std::span<const uint8_t> bytes);
  void Tee(TapWorkspace* workspace);
  void DropTee();
  void WritePipe();
  void WriteBytes(std::span<const uint8_t> bytes);
  void Wrote(size_t bytes);
  void FileFailed(int error);
  void SkipIntake(uint64_t to);
  void Conclude();

  // tap_client.cc: to the client.
  void Deliver(TapWorkspace* workspace);
  bool HasForClient() const;
  // > 0 bytes, 0 none to send now, < 0 a negative errno
  ssize_t DeliverSome(TapWorkspace* workspace);
  ssize_t SendPrefix();
  ssize_t SendBytes(std::span<const uint8_t> bytes, bool more);
  ssize_t SendHeld();
  ssize_t SendPipe(const Pipe& pipe, size_t* left);
  ssize_t SendFile(TapWorkspace* workspace);
  void AwaitGrowth(TapWorkspace* workspace);
  void ClientLost(TapEnd end, int error);
  void ConcludeClient();
  bool prefix_sent() const { return prefix_done_ == prefix_.size(); }
  // Position that the client has reached when all that was teed to it is sent.
  uint64_t client_at() const { return sent() + in_client_pipe_; }
  // Position below which the file has the body.
  uint64_t in_file() const;

  const uint64_t id_;
  const bool relays_;  // from a source
  const uint64_t offset_;
  const uint64_t length_;
  const bool without_client_;
  const std::shared_ptr<Growth> growth_;

  // Positions are counted from the body's first byte.
  std::atomic<uint64_t> taken_{0};
  std::atomic<uint64_t> written_{0};
  std::atomic<uint64_t> sent_{0};

  // The intake: bytes taken from the source that the file, or without one the client, must get.
  Pipe intake_;
  PipePool* intake_pool_ = nullptr;
  size_t in_intake_ = 0;       // bytes in the pipe; `held_` is empty then
  std::vector<uint8_t> held_;  // or in memory
  size_t held_done_ = 0;
  uint64_t intake_at_ = 0;     // position of its first byte
  bool bulky_ = false;         // reads fill the buffer: splice(2) is worth it
  bool readable_ = false;
  bool attentive_ = false;     // FIN, an error or urgent data was announced
  bool broken_ = false;        // the source's connection is

  Pipe client_pipe_;
  size_t in_client_pipe_ = 0;
  bool writable_ = true;
  std::vector<uint8_t> prefix_;
  size_t prefix_done_ = 0;
  std::vector<uint8_t> head_;
  FileReader reader_;
  bool awaiting_ = false;      // the growth will tell

  size_t intake_left() const { return in_intake_ + held_.size() - held_done_; }
};

}  // namespace symsplice
