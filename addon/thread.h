// SPDX-License-Identifier: MIT
// How the addon starts a thread of its own.
#pragma once

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

namespace symsplice {

// 0, or an errno: EAGAIN at a limit of threads or memory. All signals are blocked in it: they are for
// JavaScript's thread.
template <typename Body>
int StartThread(const char* name, Body body, std::thread* out) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  try {
    *out = std::thread(std::move(body));
  } catch (const std::system_error& failure) {
    error = failure.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error == 0) pthread_setname_np(out->native_handle(), name);
  return error;
}

}  // namespace symsplice
