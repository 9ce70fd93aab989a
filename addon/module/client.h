// SPDX-License-Identifier: MIT
// The questions that the kernel module is asked, by its generic netlink family (kernel/uapi/
// symsplice.h has the manual of each). Any thread: a lock lets one ask at a time. The kernel answers
// within send(2), so nobody waits here.
//
// Functions return 0 or a positive errno. ENOENT of Open() and Find(), and of GetStats(), which asks
// for nothing that may be missing: the module is not loaded, or was loaded anew, which Find() says.
// EBADMSG: the kernel answered what this version does not understand.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "module/messages.h"

namespace symsplice {

class ModuleClient {
 public:
  ModuleClient() = default;
  ~ModuleClient();
  ModuleClient(const ModuleClient&) = delete;
  ModuleClient& operator=(const ModuleClient&) = delete;

  // Finds the family. Where the module is installed, the kernel loads it for the question.
  int Open();
  // The same, also for the second time, without having the kernel load anything: whoever unloads a
  // module means it.
  int Find();
  uint32_t events() const { return events_; }

  int Init(int listener);
  // `out` is set when 0 is returned; a refusal is an answer, too.
  int Intend(int client, int server, ModuleAnswer* out);
  int Cancel(int client);
  // `owed`: bytes that will still be written to client and server; `idle_ms` 0: never.
  int Splice(int client, int server, const uint32_t owed[2], uint32_t idle_ms, ModuleAnswer* out);
  int Abort(uint64_t flow);
  // Of all of this network namespace.
  int AbortAll();
  int GetFlow(uint64_t flow, ModuleFlow* out);
  // Every flow that is there all the while.
  int Dump(std::vector<ModuleFlow>* out);
  int GetStats(ModuleStats* out);

 private:
  using OnMessage = std::function<void(const NetlinkMessage&)>;

  int Connect();
  int Take(const ModuleFamily& family);
  // Sends, and takes in all that belongs to the answer.
  int Ask(NetlinkRequest* request, const OnMessage& on_message);
  int AskForAnswer(NetlinkRequest* request, ModuleAnswer* out);
  NetlinkRequest Request(uint8_t command, uint16_t flags) const;

  std::mutex mutex_;  // guards everything below
  int socket_ = -1;
  uint32_t sequence_ = 0;
  std::vector<uint8_t> buffer_;

  // The family's numbers, which it gets when the module is loaded. Not guarded.
  std::atomic<uint16_t> family_{0};
  std::atomic<uint32_t> events_{0};
};

// The socket on which events of `group` come, with room for so many bytes of those that wait. A
// descriptor, or a negative errno.
int OpenModuleEvents(uint32_t group, int room);
// Those of the module that was loaded since, too. 0, or a positive errno.
int JoinModuleEvents(int socket, uint32_t group);
// What has come. True: some were lost.
bool ReadModuleEvents(int socket, const std::function<void(const ModuleEvent&)>& on_event);

}  // namespace symsplice
