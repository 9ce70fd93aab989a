// SPDX-License-Identifier: MIT
// The questions that the kernel module is asked, by its generic netlink family (kernel/uapi/
// symsplice.h has the manual of each). Any thread: a lock lets one ask at a time. The kernel answers
// within send(2), so nobody waits here.
//
// Functions return 0 or a positive errno. ENOENT of Open(): the module is not loaded. EBADMSG:
// the kernel answered what this version does not understand.
#pragma once

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
  const ModuleFamily& family() const { return family_; }

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
  // While flows go, one that stays may be missing.
  int Dump(std::vector<ModuleFlow>* out);
  int GetStats(ModuleStats* out);

 private:
  using OnMessage = std::function<void(const NetlinkMessage&)>;

  // Sends, and takes in all that belongs to the answer.
  int Ask(NetlinkRequest* request, const OnMessage& on_message);
  int AskForAnswer(NetlinkRequest* request, ModuleAnswer* out);
  NetlinkRequest Request(uint8_t command, uint16_t flags) const;

  std::mutex mutex_;  // guards everything below
  int socket_ = -1;
  uint32_t sequence_ = 0;
  ModuleFamily family_;  // constant once opened
  std::vector<uint8_t> buffer_;
};

// The socket on which events come, with room for so many bytes of those that wait. A descriptor, or a
// negative errno.
int OpenModuleEvents(const ModuleFamily& family, int room);
// What has come. True: some were lost.
bool ReadModuleEvents(int socket, const std::function<void(const ModuleEvent&)>& on_event);

}  // namespace symsplice
