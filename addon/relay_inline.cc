// SPDX-License-Identifier: MIT
#include "relay_inline.h"

#include <algorithm>
#include <utility>

namespace symsplice {
namespace {

constexpr uint64_t kSweepMs = 50;
constexpr uint64_t kShortestSweepMs = 5;
// Not 0: up to libuv 1.48 a timer that starts itself anew with 0 runs again before anything else
// does, and JavaScript would get no turn while a flow is busy.
constexpr uint64_t kSoonMs = 1;
constexpr uint64_t kYoungMs = 100;  // older flows move on to a thread, if not sooner to a table

}  // namespace

RelayInline::RelayInline(Napi::Env env, const RelaySettings& settings, ReportQueue* reports,
                         Grown grown)
    : loop_(settings, reports), reports_(reports), grown_(std::move(grown)), young_ms_(kYoungMs) {
  if (settings.transit.table != nullptr) young_ms_ = std::min(kYoungMs, settings.transit.after_ms);
  error_ = loop_.Open();
  if (error_ != 0) return;
  loop_.set_inline();
  uv_loop_t* uv = nullptr;
  napi_get_uv_event_loop(env, &uv);
  watch_ = new Watch{};
  watch_->owner = this;
  watch_->open_handles = 2;
  watch_->poll.data = watch_;
  watch_->timer.data = watch_;
  uv_poll_init(uv, &watch_->poll, loop_.epoll());
  uv_timer_init(uv, &watch_->timer);
  uv_poll_start(&watch_->poll, UV_READABLE, [](uv_poll_t* poll, int, int) {
    auto* watch = static_cast<Watch*>(poll->data);
    if (watch->owner != nullptr) watch->owner->Turn();
  });
  // The report queue keeps the event loop alive while flows live.
  uv_unref(reinterpret_cast<uv_handle_t*>(&watch_->poll));
  uv_unref(reinterpret_cast<uv_handle_t*>(&watch_->timer));
}

RelayInline::~RelayInline() {
  if (watch_ == nullptr) return;
  watch_->owner = nullptr;
  const auto closed = [](uv_handle_t* handle) {
    auto* watch = static_cast<Watch*>(handle->data);
    if (--watch->open_handles == 0) delete watch;
  };
  uv_close(reinterpret_cast<uv_handle_t*>(&watch_->poll), closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&watch_->timer), closed);
}

void RelayInline::Add(std::unique_ptr<Flow> flow) {
  loop_.Admit(loop_.Insert(std::move(flow)));
  Settle();
  KeepTime();
}

bool RelayInline::End(uint64_t id) {
  if (!loop_.End(id)) return false;
  Settle();
  return true;
}

// JavaScript is calling: a report must not come before its call has returned.
void RelayInline::Settle() {
  if (loop_.Reap()) reports_->Wake();
}

void RelayInline::Turn() {
  loop_.Turn(0, [] {});
  MoveOn(0);
  // A half that used its turn up goes on at the next; libuv would only wait for events.
  KeepTime();
  reports_->DeliverNow();
}

void RelayInline::Sweep() {
  sweeping_ = false;
  const uint64_t now = RelayLoop::NowMs();
  // Served too: flows with left-over bytes, or that have yielded, may have no event to come.
  loop_.Turn(0, [] {});
  MoveOn(now > young_ms_ ? now - young_ms_ : 0);
  KeepTime();
  reports_->DeliverNow();
}

void RelayInline::MoveOn(uint64_t before_ms) {
  for (std::unique_ptr<Flow>& flow : loop_.TakeGrown(before_ms)) grown_(std::move(flow));
}

// The timer runs while flows are here: soon when some are ready, else at the sweep's pace.
void RelayInline::KeepTime() {
  if (loop_.size() == 0) return;
  const bool soon = loop_.Timeout() == 0;
  if (sweeping_ && !soon) return;
  sweeping_ = true;
  uv_timer_start(
      &watch_->timer,
      [](uv_timer_t* timer) {
        auto* watch = static_cast<Watch*>(timer->data);
        if (watch->owner != nullptr) watch->owner->Sweep();
      },
      soon ? kSoonMs : std::clamp(young_ms_ / 2, kShortestSweepMs, kSweepMs), 0);
}

}  // namespace symsplice
