// SPDX-License-Identifier: MIT
// Between handshake and splice: descriptors that JavaScript holds as bare numbers.
//
// The reactor hands a connection out, and the next call gives it to whoever carries it. A worker
// thread that is terminated stops between any two calls: the number would be lost with it, and the
// connection would stay open, silent, for as long as the process lives. So each environment knows
// which numbers are on their way, and resets what is left when it goes. Whoever takes one over in
// native code, or closes it, says so; from Node's own sockets no word comes, so an entry is also
// forgotten once JavaScript has returned, and nothing is closed under a number that has meanwhile
// become another socket's. On the JavaScript thread only.
#pragma once

#include <napi.h>
#include <sys/types.h>

#include <vector>

namespace symsplice {

class HandedOut {
 public:
  // Once for each environment, before anything is handed out.
  static void Init(Napi::Env env);
  static HandedOut& Of(Napi::Env env) { return *env.GetInstanceData<HandedOut>(); }

  HandedOut() = default;
  // The environment is gone, with everything in it that closes what it owns.
  ~HandedOut();
  HandedOut(const HandedOut&) = delete;
  HandedOut& operator=(const HandedOut&) = delete;

  void Give(int fd);
  // It has an owner, or is about to be closed. Does nothing for a number that was not handed out.
  void Received(int fd);
  // JavaScript was called, and came back by itself.
  void Returned() { entries_.clear(); }

 private:
  struct Entry {
    int fd;
    ino_t socket;  // numbers of descriptors come back at once, those of sockets do not
  };
  std::vector<Entry> entries_;
};

}  // namespace symsplice
