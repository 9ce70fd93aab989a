// SPDX-License-Identifier: MIT
#include "report_queue.h"

#include <algorithm>
#include <utility>

#include "error.h"

namespace symsplice {

ReportWords Report::words() const {
  return {static_cast<double>(id),
          static_cast<double>(reason),
          static_cast<double>(error),
          static_cast<double>(bytes_up),
          static_cast<double>(bytes_down),
          duration_ms,
          static_cast<double>(packet_status),
          static_cast<double>(packet_answer)};
}

ReportQueue::ReportQueue(Napi::Env env, Napi::Function on_reports, std::function<void()> on_exit)
    : env_(env),
      on_reports_(Napi::Persistent(on_reports)),
      context_(env, "symsplice:reports"),
      on_exit_(std::move(on_exit)),
      wake_(new Watch{}) {
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  wake_->queue = this;
  wake_->async.data = wake_;
  uv_async_init(loop, &wake_->async, [](uv_async_t* async) {
    auto* wake = static_cast<Watch*>(async->data);
    if (wake->queue != nullptr) wake->queue->Deliver();
  });
  uv_unref(reinterpret_cast<uv_handle_t*>(&wake_->async));
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle, void* data) {
        auto* wake = static_cast<Watch*>(data);
        if (wake->queue != nullptr) {
          const std::function<void()> on_exit = std::move(wake->queue->on_exit_);
          on_exit();
        }
      },
      wake_, &wake_->hook);
}

ReportQueue::~ReportQueue() {
  wake_->queue = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&wake_->async),
           [](uv_handle_t* handle) {
             auto* wake = static_cast<Watch*>(handle->data);
             napi_remove_async_cleanup_hook(wake->hook);
             delete wake;
           });
}

void ReportQueue::PushWords(const ReportWords& report) {
  bool first;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    first = reports_.empty();
    reports_.push_back(report);
  }
  if (first) Wake();
}

void ReportQueue::PushQuietly(const Report& report) {
  std::lock_guard<std::mutex> lock(mutex_);
  reports_.push_back(report.words());
}

void ReportQueue::Hold() {
  if (held_++ == 0) uv_ref(reinterpret_cast<uv_handle_t*>(&wake_->async));
}

void ReportQueue::Deliver() {
  std::vector<ReportWords> reports;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    reports.swap(reports_);
  }
  if (reports.empty()) return;
  Napi::HandleScope scope(env_);
  // Refused by a worker that is being ended: then nobody is left who would hear of it.
  const size_t count = reports.size() * kReportWords;
  void* data = nullptr;
  napi_value buffer;
  napi_value words;
  if (napi_create_arraybuffer(env_, count * sizeof(double), &data, &buffer) != napi_ok ||
      napi_create_typedarray(env_, napi_float64_array, count, buffer, 0, &words) != napi_ok) {
    return;
  }
  auto* word = static_cast<double*>(data);
  for (const ReportWords& report : reports) word = std::copy(report.begin(), report.end(), word);
  held_ -= std::min(held_, reports.size());
  if (held_ == 0) uv_unref(reinterpret_cast<uv_handle_t*>(&wake_->async));
  CallFromEvent(env_, on_reports_, {words}, context_);
}

}  // namespace symsplice
