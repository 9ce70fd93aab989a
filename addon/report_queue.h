// SPDX-License-Identifier: MIT
// Stage teardown: how the end of a flow travels from a relay thread to JavaScript.
//
// Push() may be called from any thread. JavaScript is called on its own thread with all that
// has gathered, as a Float64Array of kReportWords numbers a flow (src/native.ts names them).
// The queue keeps the event loop alive only while Hold()s outnumber delivered reports, as a
// Node socket would.
#pragma once

#include <napi.h>
#include <uv.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace symsplice {

constexpr size_t kReportWords = 8;
using ReportWords = std::array<double, kReportWords>;

// The report of a flow. What else is reported through a queue has a shape of its own, of as many
// words (tap_body.h).
struct Report {
  uint64_t id;
  int reason;  // enum splice_close_reason
  int error;   // errno, 0 when none
  uint64_t bytes_up;
  uint64_t bytes_down;
  double duration_ms;
  int packet_status = 0;  // enum PacketStatus
  int packet_answer = 0;  // enum splice_packet_answer, or one of the addon's own

  ReportWords words() const;
};

class ReportQueue {
 public:
  // `on_exit` is called when the environment goes away first; it must end the threads that push
  // and delete this queue.
  ReportQueue(Napi::Env env, Napi::Function on_reports, std::function<void()> on_exit);
  // Only on the JavaScript thread, after every thread that pushes has ended.
  ~ReportQueue();
  ReportQueue(const ReportQueue&) = delete;
  ReportQueue& operator=(const ReportQueue&) = delete;

  void Push(const Report& report) { PushWords(report.words()); }
  void PushWords(const ReportWords& report);
  // The same for the JavaScript thread, which then calls DeliverNow() or Wake().
  void PushQuietly(const Report& report);
  void Wake() { uv_async_send(&wake_->async); }

  // On the JavaScript thread, outside of any call from JavaScript: delivers without a wake-up.
  void DeliverNow() { Deliver(); }

  // On the JavaScript thread: one more flow will report.
  void Hold();

 private:
  // What libuv refers to; it outlives the queue until uv_close has ended.
  struct Watch {
    uv_async_t async;
    ReportQueue* queue;  // null once deleted
    napi_async_cleanup_hook_handle hook;
  };

  void Deliver();

  Napi::Env env_;
  Napi::FunctionReference on_reports_;
  Napi::AsyncContext context_;
  std::function<void()> on_exit_;
  Watch* wake_;
  size_t held_ = 0;
  std::mutex mutex_;
  std::vector<ReportWords> reports_;
};

}  // namespace symsplice
